// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// KernelsEnv names a folder of .deb files that is looked into before the cache and the archive.
const KernelsEnv = "CLOUD_DEFEND_KERNELS"

// ErrWithdrawn is the error for a withdrawable set that is nowhere to be had.
var ErrWithdrawn = errors.New("not in the archive any more")

// Cache keeps downloaded and unpacked packages. Several processes may use one folder: one at a time fills it, and a file
// or folder gets its final name only when it is whole.
type Cache struct {
	// Dir is the cache's folder, usually DefaultDir.
	Dir string
	// Extra is one more folder of .deb files, looked into first; empty for none.
	Extra string
	// Log receives a line for each thing done, with its duration.
	Log io.Writer
}

// Open returns the user's cache, with the folder of KernelsEnv as the extra one. Progress goes to log.
func Open(log io.Writer) (*Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache folder: %w", err)
	}
	dir = filepath.Join(dir, "cloud-defend")
	if err := os.MkdirAll(filepath.Join(dir, "debs"), 0o755); err != nil {
		return nil, err
	}
	return &Cache{Dir: dir, Extra: os.Getenv(KernelsEnv), Log: log}, nil
}

// Unpack fetches a set's packages and returns a folder in which all of them are unpacked side by side.
func (c *Cache) Unpack(ctx context.Context, set Set) (string, error) {
	dir := filepath.Join(c.Dir, "unpacked", set.Name+"-"+set.key())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := c.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // somebody else has done it in the meantime
	}
	debs, err := c.fetch(ctx, set)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", set.Name, err)
	}
	return dir, c.unpackInto(ctx, dir, set.Name, debs)
}

func (c *Cache) unpackInto(ctx context.Context, dir, name string, debs []string) error {
	start := time.Now()
	temp, err := c.tempDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, deb := range debs {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, temp).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	c.logf("unpacked %s in %s", name, took(start))
	return os.Rename(temp, dir)
}

// lock waits until no other process fills the cache.
func (c *Cache) lock() (unlock func(), err error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the cache: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// key changes whenever a package of the set does.
func (s Set) key() string {
	h := sha256.New()
	for _, p := range s.Packages {
		fmt.Fprintln(h, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func (c *Cache) fetch(ctx context.Context, set Set) ([]string, error) {
	var debs []string
	var missing []Package
	for _, p := range set.Packages {
		if path, ok := c.find(p); ok {
			debs = append(debs, path)
		} else {
			missing = append(missing, p)
		}
	}
	for _, p := range missing {
		path, err := c.download(ctx, p)
		if errors.Is(err, errGone) && set.Withdrawable {
			return nil, fmt.Errorf("%w (%w); a folder with a copy can be named in %s", ErrWithdrawn, err, KernelsEnv)
		}
		if err != nil {
			return nil, err
		}
		debs = append(debs, path)
	}
	return debs, nil
}

// find looks for a copy of p; the name of a .deb is only a hint, its digest decides.
func (c *Cache) find(p Package) (string, bool) {
	for _, dir := range []string{c.Extra, filepath.Join(c.Dir, "debs")} {
		if dir == "" {
			continue
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if strings.HasPrefix(e.Name(), p.Name+"_") && checkDigest(path, p.SHA256) == nil {
				return path, true
			}
		}
	}
	return "", false
}

func checkDigest(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if have := hex.EncodeToString(h.Sum(nil)); have != want {
		return fmt.Errorf("%s: sha256 is %s, pinned is %s", filepath.Base(path), have, want)
	}
	return nil
}

func (c *Cache) tempDir() (string, error) {
	dir := filepath.Join(c.Dir, "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "")
}

func (c *Cache) logf(format string, args ...any) {
	fmt.Fprintf(c.Log, format+"\n", args...)
}

func took(start time.Time) string { return time.Since(start).Round(100 * time.Millisecond).String() }
