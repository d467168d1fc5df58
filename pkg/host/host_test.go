// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/elastic/go-sysinfo/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
)

const bootID = "afd1fa82-b435-43bb-b949-8e8d50e03c9a"

// root makes a host's root directory.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	return dir
}

func node() map[string]string {
	return map[string]string{
		"proc/stat":                      "btime 1700000000\n",
		"proc/sys/kernel/random/boot_id": bootID + "\n",
		"proc/sys/kernel/osrelease":      "5.10.161+\n",
		"proc/sys/kernel/version":        "#1 SMP Thu Jan 5\n",
		"etc/machine-id":                 "0123456789abcdef0123456789abcdef\n",
		"etc/os-release":                 "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\n",
	}
}

func TestReadsTheHostNotTheContainer(t *testing.T) {
	facts, err := Read(Options{Proc: filepath.Join(root(t, node()), "proc")})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(Facts{
		BootID:       bootID,
		PIDNamespace: 4026531836,
		MachineID:    "0123456789abcdef0123456789abcdef",
		OS: OS{
			Type: "linux", Family: "debian", Platform: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", Codename: "bookworm",
			Kernel: "5.10.161+ #1 SMP Thu Jan 5",
		},
	}, facts, cmpopts.IgnoreFields(Facts{}, "Hostname", "Architecture", "IPs", "MACs")))
	name, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, name, facts.Hostname)
	require.Contains(t, []string{"x86_64", "aarch64"}, facts.Architecture)
}

func TestReadWithoutOSRelease(t *testing.T) {
	files := node()
	delete(files, "etc/os-release")
	delete(files, "etc/machine-id")
	facts, err := Read(Options{Proc: filepath.Join(root(t, files), "proc")})
	require.NoError(t, err)
	require.Equal(t, OS{Type: "linux", Kernel: "5.10.161+ #1 SMP Thu Jan 5"}, facts.OS)
	require.Empty(t, facts.MachineID)
	require.NotEmpty(t, facts.Hostname)
}

// In a container that has only the host's /proc, its first process leads to its root.
func TestReadThroughTheFirstProcess(t *testing.T) {
	files := node()
	files["etc/hostname"] = "node-7\n"
	host := root(t, files)
	image := root(t, map[string]string{
		"etc/os-release":                     "ID=alpine\nNAME=Alpine\n",
		"hostproc/sys/kernel/random/boot_id": bootID + "\n",
	})
	proc := filepath.Join(image, "hostproc")
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "1/ns"), 0o755))
	require.NoError(t, os.Symlink(host, filepath.Join(proc, "1/root")))
	require.NoError(t, os.Symlink("uts:[1]", filepath.Join(proc, "1/ns/uts")))
	facts, err := Read(Options{Proc: proc})
	require.NoError(t, err)
	require.Equal(t, "debian", facts.OS.Platform)
	require.Equal(t, "node-7", facts.Hostname)
	require.NoError(t, os.Remove(filepath.Join(host, "etc/hostname")))
	facts, err = Read(Options{Proc: proc})
	require.NoError(t, err)
	require.NotEmpty(t, facts.Hostname)
}

// The root of a container that sees only itself is not the host's.
func TestRoot(t *testing.T) {
	proc := t.TempDir()
	root, ours := rootOf(proc, "pid:[7]")
	require.Equal(t, filepath.Dir(proc), root)
	require.False(t, ours, "nothing is known of the first process")
	require.NoError(t, os.Mkdir(filepath.Join(proc, "1"), 0o755))
	require.NoError(t, os.Symlink("/", filepath.Join(proc, "1/root")))
	for namespace, want := range map[string]bool{"pid:[7]": true, "pid:[4026531836]": false, "": false} {
		root, ours = rootOf(proc, namespace)
		require.Equal(t, "/", root)
		require.Equal(t, want, ours, namespace)
	}
}

func TestReadNeedsProc(t *testing.T) {
	for missing, want := range map[string]string{
		"proc/sys/kernel/random/boot_id": "no boot id in ",
		"proc/stat":                      "proc",
	} {
		files := node()
		delete(files, missing)
		dir := root(t, files)
		facts, err := Read(Options{Proc: filepath.Join(dir, "proc")})
		require.ErrorContains(t, err, want, missing)
		require.ErrorContains(t, err, dir, missing)
		require.Empty(t, facts)
	}
}

func TestReadThisMachine(t *testing.T) {
	facts, err := Read(Options{})
	require.NoError(t, err)
	require.Len(t, facts.BootID, len(bootID))
	require.Regexp(t, `^\S+ #\d+`, facts.OS.Kernel)
}

func TestAddressesAreWrittenAsECSWrites(t *testing.T) {
	var facts Facts
	facts.take(types.HostInfo{
		IPs:  []string{"127.0.0.1/8", "10.1.2.3/16", "::1/128", "fe80::42/64", "bad"},
		MACs: []string{"02:fc:00:00:00:01"},
	})
	require.Equal(t, []string{"10.1.2.3", "fe80::42"}, facts.IPs)
	require.Equal(t, []string{"02-FC-00-00-00-01"}, facts.MACs)
}

// Whatever the resolver of the machine says: a name, or why there is none.
func TestFQDN(t *testing.T) {
	name, err := FQDN(t.Context())
	require.Equal(t, err == nil, name != "", "%q, %v", name, err)
}
