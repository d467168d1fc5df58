// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// layoutVersion is part of the layout: one more when what user space puts into
// maps changes its meaning while the programs stay the same.
var layoutVersion = "1"

// layout names what this process can take over: the same programs, fitted to
// the same surroundings.
func layout(opts Options, slots uint32) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d %d\n", layoutVersion, opts.CgroupController, opts.Only, slots)
	h.Write(_BpfBytes)
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// The names of pins begin with what they are of. None has a dot, which bpf file
// systems reserve.
const (
	pinnedMap     = "map_"
	pinnedPolicy  = "policy_"
	pinnedProgram = "prog_"
	pinnedLink    = "link_"
	pinnedTold    = "told"
	unfinished    = "_new"
	setAside      = "_old"
)

// pins is the folder of all layouts, locked, and our own in it.
type pins struct {
	lock *lock
	root string
	dir  string // of our own layout; empty: nothing is pinned
	told *told
}

// openPins locks the folder. It returns a fault where the folder is of no use.
func openPins(s Survival, layout string) (p *pins, fault, err error) {
	if s.Dir == "" {
		return nil, nil, nil
	}
	if fault := makeRoot(s.Dir); fault != nil {
		return nil, fault, nil
	}
	l, err := lockFolder(s.Dir, s.wait())
	if err != nil {
		return nil, nil, err
	}
	p = &pins{lock: l, root: s.Dir, told: &told{}}
	if !s.Off {
		p.dir = filepath.Join(s.Dir, layout)
	}
	return p, nil, nil
}

// makeRoot makes a folder that is root's alone: whoever may write there can
// detach what is in it.
func makeRoot(dir string) error {
	var fsys unix.Statfs_t
	parent := filepath.Dir(dir)
	if err := unix.Statfs(parent, &fsys); err != nil {
		return fmt.Errorf("look for a bpf file system at %s: %w", parent, err)
	}
	if fsys.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("%s is no bpf file system: say mount -t bpf bpf %[1]s", parent)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of what survives: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("look at the folder of what survives: %w", err)
	}
	if st.Mode != unix.S_IFDIR|0o700 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s has mode %o and belongs to user %d: remove it", dir, st.Mode, st.Uid)
	}
	return writable(dir)
}

// writable fails on a file system that was mounted read-only.
func writable(dir string) error {
	probe := filepath.Join(dir, "writable")
	if err := os.Mkdir(probe, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write to %s: %w", dir, err)
	}
	return os.Remove(probe)
}

// keeps reports whether anything is pinned.
func (p *pins) keeps() bool { return p != nil && p.dir != "" }

func (p *pins) path(kind, name string) string {
	return filepath.Join(p.dir, kind+strings.ReplaceAll(name, ".", "_"))
}

// maps opens the maps of our layout; none where there is no such folder.
func (p *pins) maps(specs map[string]*ebpf.MapSpec) (map[string]*ebpf.Map, error) {
	if !p.keeps() {
		return nil, nil //nolint:nilnil // nothing was left
	}
	if _, err := os.Lstat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was left
	}
	found := map[string]*ebpf.Map{}
	for name := range specs {
		m, err := ebpf.LoadPinnedMap(p.path(pinnedMap, name), nil)
		if err != nil {
			closeMaps(found)
			return nil, fmt.Errorf("open pinned map %s: %w", name, err)
		}
		found[name] = m
	}
	return found, nil
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// create makes our layout's folder, with these maps in it.
func (p *pins) create(maps map[string]*ebpf.Map) error {
	final := p.dir
	p.dir += unfinished
	defer func() { p.dir = final }()
	if err := removeLayout(p.dir); err != nil {
		return err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return fmt.Errorf("make the layout's folder: %w", err)
	}
	for name, m := range maps {
		// A clone's pin is its own: this folder is going to have another name.
		c, err := m.Clone()
		if err == nil {
			err = c.Pin(p.path(pinnedMap, name))
			c.Close()
		}
		if err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	if err := p.told.create(filepath.Join(p.dir, pinnedTold)); err != nil {
		return err
	}
	if err := os.Rename(p.dir, final); err != nil {
		return fmt.Errorf("name the layout's folder: %w", err)
	}
	return nil
}

// pin makes an attachment outlive the process.
func (p *pins) pin(name string, a *attachment) error {
	if !p.keeps() {
		return nil
	}
	if err := a.prog.Pin(p.path(pinnedProgram, name)); err != nil {
		return fmt.Errorf("pin program %s: %w", name, err)
	}
	if err := a.link.Pin(p.path(pinnedLink, name)); err != nil {
		return fmt.Errorf("pin the link of %s: %w", name, err)
	}
	return nil
}

// attachment opens what is pinned of a program. What is there of one that was
// not pinned whole is removed.
func (p *pins) attachment(name string) *attachment {
	program, hook := p.path(pinnedProgram, name), p.path(pinnedLink, name)
	prog, err := ebpf.LoadPinnedProgram(program, nil)
	if err == nil {
		var l link.Link
		if l, err = link.LoadPinnedLink(hook, nil); err == nil {
			return &attachment{prog: prog, link: l}
		}
		prog.Close()
	}
	_, _ = os.Remove(hook), os.Remove(program)
	return nil
}

// pinPolicy makes a policy outlive the process, if it is or will be in force.
func (p *pins) pinPolicy(m *ebpf.Map, revision uint32) error {
	if !p.keeps() {
		return nil
	}
	if err := m.Pin(p.path(pinnedPolicy, fmt.Sprint(revision))); err != nil {
		return fmt.Errorf("pin policy: %w", err)
	}
	return nil
}

// policy opens the pinned policy with that id, and removes the others.
func (p *pins) policy(id uint32) (*ebpf.Map, error) {
	names, err := filepath.Glob(p.path(pinnedPolicy, "*"))
	if err != nil {
		return nil, err
	}
	var found *ebpf.Map
	for _, name := range names {
		m, err := ebpf.LoadPinnedMap(name, nil)
		if err == nil && found == nil && mapID(m) == id {
			found = m
			continue
		}
		if err == nil {
			m.Close()
		}
		_ = os.Remove(name)
	}
	if found == nil {
		return nil, errors.New("the policy in force is not among those pinned")
	}
	return found, nil
}

func mapID(m *ebpf.Map) uint32 {
	info, err := m.Info()
	if err != nil {
		return 0
	}
	id, _ := info.ID()
	return uint32(id)
}

// setAside makes room for a new folder of our layout. What is in it stays
// attached.
func (p *pins) setAside() error {
	for n := 1; ; n++ {
		to := fmt.Sprint(p.dir, setAside, n)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(p.dir, to)
		}
	}
}

// others lists the folders of layouts that are not our own.
func (p *pins) others() []string {
	if p == nil {
		return nil
	}
	dirs, err := layouts(p.root)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return dir == p.dir })
}

// layouts lists the folders in the folder of all.
func layouts(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		dirs = append(dirs, filepath.Join(root, e.Name()))
	}
	return dirs, nil
}

// removeLayout detaches everything in a layout's folder and removes it.
func removeLayout(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	var faults []error
	for _, links := range []bool{true, false} {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), pinnedLink) == links {
				faults = append(faults, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}
	if err := errors.Join(append(faults, os.Remove(dir))...); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

// clear detaches everything, of all layouts.
func (p *pins) clear() error {
	dirs, err := layouts(p.root)
	for _, dir := range dirs {
		err = errors.Join(err, removeLayout(dir))
	}
	return err
}

func (p *pins) close() {
	if p != nil {
		p.told.close()
		p.lock.close()
	}
}
