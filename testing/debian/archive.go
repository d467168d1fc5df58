// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// keyring is where Debian's debian-archive-keyring package puts the keys of all suites, older and newer ones too.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// download gets p from the archive into the cache. It uses an apt state of its own, so that neither the machine's
// sources nor its package lists change, and one state per suite, so that a withdrawn suite fails alone.
func (c *Cache) download(ctx context.Context, p Package) (string, error) {
	start := time.Now()
	state := filepath.Join(c.Dir, "apt", p.Suite+"-"+p.Arch)
	if err := c.updateSuite(ctx, state, p); err != nil {
		return "", err
	}
	temp, err := c.tempDir()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	c.logf("downloading %s %s from %s", p.Name, p.Version, p.Suite)
	if err := apt(ctx, state, temp, p.Arch, "download", p.Name+"="+p.Version); err != nil {
		return "", fmt.Errorf("download %s %s from %s: %w", p.Name, p.Version, p.Suite, err)
	}
	got, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(got) != 1 {
		return "", fmt.Errorf("download %s: apt left %d packages: %w", p.Name, len(got), err)
	}
	if err := checkDigest(got[0], p.SHA256); err != nil {
		return "", err
	}
	path := filepath.Join(c.Dir, "debs", filepath.Base(got[0]))
	c.logf("downloaded %s %s in %s", p.Name, p.Version, took(start))
	return path, os.Rename(got[0], path)
}

// updateSuite makes the package list of p's suite, unless the one at hand is from today.
func (c *Cache) updateSuite(ctx context.Context, state string, p Package) error {
	stamp := filepath.Join(state, "updated")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < 24*time.Hour {
		return nil
	}
	start := time.Now()
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil {
			return err
		}
	}
	source, err := sourceLine(ctx, p.Suite)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"sources.list": source, "status": ""} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := apt(ctx, state, state, p.Arch, "update"); err != nil {
		return fmt.Errorf("read the package list of %s: %w", p.Suite, err)
	}
	c.logf("read the package list of %s in %s", p.Suite, took(start))
	return os.WriteFile(stamp, nil, 0o644)
}

// apt runs apt-get on the state folder alone. The folder may contain spaces: apt's own -o syntax takes them as they
// are.
func apt(ctx context.Context, state, dir, arch string, args ...string) error {
	options := []string{
		"Dir::Etc::sourcelist=" + filepath.Join(state, "sources.list"),
		"Dir::Etc::sourceparts=/dev/null",
		"Dir::State=" + state,
		"Dir::State::lists=" + filepath.Join(state, "lists"),
		"Dir::State::status=" + filepath.Join(state, "status"),
		"Dir::Cache=" + filepath.Join(state, "cache"),
		"APT::Architecture=" + arch,
		"APT::Architectures::=" + arch,
		"APT::Sandbox::User=root",
		"APT::Update::Error-Mode=any",
		"Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	}
	line := []string{"-q"}
	for _, o := range options {
		line = append(line, "-o", o)
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(line, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C") // gone reads its words
	out, err := cmd.CombinedOutput()
	if err != nil && gone.Match(out) {
		return fmt.Errorf("apt-get %s: %w: %w\n%s", args[0], errGone, err, out)
	}
	if err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// errGone: the archive was reached and has no such suite, package or version.
var errGone = errors.New("not in the archive")

// gone matches what apt says then. Anything else, such as a network that is down, must not pass for a withdrawal.
var gone = regexp.MustCompile(`404  Not Found|E: Version '.*' for '.*' was not found|E: Unable to locate package`)

// sourceLine is the sources.list line of a suite, on the mirror that the machine itself uses for its own release.
func sourceLine(ctx context.Context, suite string) (string, error) {
	// Unlike "apt-get indextargets", this knows the sources of a machine that has never read a package list.
	out, err := exec.CommandContext(ctx, "apt-get", "--print-uris", "update").Output()
	if err != nil {
		return "", fmt.Errorf("list apt's sources: %w", err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	site, err := mirror(string(out), codename(string(release)), strings.HasSuffix(suite, "-security"))
	if err != nil {
		return "", err
	}
	options := ""
	if _, err := os.Stat(keyring); err == nil {
		options = "[signed-by=" + keyring + "] "
	}
	return "deb " + options + site + " " + suite + " main\n", nil
}

var inRelease = regexp.MustCompile(`(?m)^'(.+)/dists/(.+)/InRelease' `)

// mirror picks, from the addresses that "apt-get update" would fetch, the site of the machine's own release; security
// suites live on a site of their own.
func mirror(uris, codename string, security bool) (string, error) {
	want := codename
	if security {
		want += "-security"
	}
	for _, m := range inRelease.FindAllStringSubmatch(uris, -1) {
		if site, release := m[1], m[2]; release == want {
			return site, nil
		}
	}
	return "", fmt.Errorf("apt has no source for %s: add it to /etc/apt/sources.list", want)
}

// codename reads VERSION_CODENAME out of an os-release file.
func codename(release string) string {
	for _, line := range strings.Split(release, "\n") {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return ""
}
