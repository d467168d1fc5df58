// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package bypass is a collection of ways round a policy that guards files: each is one small operation, which reports
// what it did. Whether a policy holds against them is for whoever runs them to find out.
package bypass

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
	"github.com/elastic/cloud-defend/testing/progs/view"
)

// Policy guards what the techniques are after. In a container that it is about, each of them is to be refused.
const Policy = `
file:
  selectors:
    - name: guarded
      operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile]
      targetFilePath: [/guard/**, /kept/*/inner/file]
    - name: exempt # which exempts no folder that it is in
      targetFilePath: [/guard/*/exempt, /kept/*/inner/exempt]
    - name: marker
      operation: [createFile]
      targetFilePath: [` + Marker + `]
  responses:
    - match: [guarded]
      exclude: [exempt]
      actions: [alert, block]
    - match: [marker]
      actions: [alert]
process:
  selectors:
    - name: programs
      operation: [exec]
      processExecutable: [/guard/**]
    - name: named
      operation: [exec]
      processName: [named]
  responses:
    - match: [programs, named]
      actions: [alert, block]
`

// Marker is a file whose creation the policy reports and lets through.
const Marker = "/tmp/marker"

// Technique is one way.
type Technique struct {
	// Name says what is done, in the words of the published table.
	Name string
	// As is the operation of the policy language that it counts as.
	As string
	// Why is the reason where it is open, in the published table.
	Why string
	// in is the folder in which the guarded one is; empty for one on the container's root.
	in string
	// prepare, if not nil, does what is done before there is a policy.
	prepare func(*place) error
	do      func(*place) error
}

// Techniques are all of them.
func Techniques() []Technique {
	var all []Technique
	for _, group := range [][]Technique{paths, contents, descriptors, names, parents, attributes, errands, mounts, volumes, scopes, programs} {
		all = append(all, group...)
	}
	return all
}

// Attempt is what became of a technique.
type Attempt struct {
	// Guard is the folder in which the technique's file is guarded.
	Guard string `json:",omitempty"`
	// Errno is the answer of the kernel that ended it, such as "EPERM"; empty if every step was done.
	Errno string `json:",omitempty"`
	// Effect is what it achieved, empty for nothing.
	Effect string `json:",omitempty"`
	// Fault is set where the attempt itself was wrong.
	Fault string `json:",omitempty"`
}

// Stage holds what the techniques need from before the policy until they are tried.
type Stage struct {
	self   string // a program that does a Step where StepEnv is set
	places map[string]*place
}

// place is where a technique is tried: guard is the folder that the policy guards, free one that it does not.
type place struct {
	*Stage
	guard, free string
	in          string // the folder that guard is in
	// file is guarded and holds kept; program is guarded and runs.
	file, program string
	fd            int    // from before the policy
	mapping       []byte // the same
	handle        unix.FileHandle
	effect        string // beyond what can be seen in guard
}

// kept is the content of every guarded file, evil what is put in its place.
const (
	kept = "kept\n"
	evil = "evil\n"
)

// Prepare makes the places of all techniques. The volumes are mounted already. Self is a program that does a Step where StepEnv is set.
func Prepare(self string) (*Stage, error) {
	s := &Stage{self: self, places: map[string]*place{}}
	for i, t := range Techniques() {
		p := &place{Stage: s, fd: -1, in: cmp.Or(t.in, "/guard"), free: fmt.Sprintf("/free/%02d", i)}
		p.guard = fmt.Sprintf("%s/%02d", p.in, i)
		if err := p.make(t); err != nil {
			return nil, fmt.Errorf("prepare %q: %w", t.Name, err)
		}
		s.places[t.Name] = p
	}
	return s, nil
}

func (p *place) make(t Technique) error {
	p.file, p.program = p.guard+"/file", p.guard+"/program"
	if err := errors.Join(os.MkdirAll(p.guard, 0o755), os.MkdirAll(p.free, 0o755), fill(p.file, kept), fill(p.free+"/file", evil),
		os.WriteFile(p.program, program.Image(), 0o755)); err != nil {
		return err
	}
	if t.prepare == nil {
		return nil
	}
	return p.alone(t.prepare)
}

// Try tries a technique in a thread of its own, which may spoil its root and its namespaces.
func (s *Stage) Try(t Technique) Attempt {
	p := s.places[t.Name]
	before, err := view.Look(p.guard)
	if err != nil {
		return Attempt{Fault: err.Error()}
	}
	a := Attempt{Guard: p.guard}
	if err := p.alone(t.do); err != nil {
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			return Attempt{Fault: err.Error()}
		}
		a.Errno = unix.ErrnoName(errno)
	}
	after, err := view.Look(p.guard)
	if err != nil {
		return Attempt{Fault: err.Error()}
	}
	a.Effect = p.effect
	if change := before.Compare(after); change != "" {
		a.Effect = change
	}
	return a
}

// alone calls do in a thread that shares neither root nor working directory with others, and that ends with it.
func (p *place) alone(do func(*place) error) error {
	done := make(chan error)
	go func() { // ends with do
		runtime.LockOSThread() // for good
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = do(p)
		}
		done <- err
	}()
	return <-done
}

func fill(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
