// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package semantics says what each kind of call on a file is to a policy, and makes these calls. Whether a kernel is of
// the same mind is for whoever runs them to find out.
package semantics

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/view"
)

// Operations are those of the policy language that are about files.
var Operations = []string{"createExecutable", "modifyExecutable", "createFile", "modifyFile", "deleteFile", "openFile"}

// Row is a kind of call.
type Row struct {
	// Call says what is called, and on what, in the words of the published table.
	Call string
	// As is the operations that it counts as. With more than one, a rule about any of them decides.
	As []string
	// Also is an operation that it counts as, too, where the kernel does not tell the difference.
	Also string
	// Action is the event's event.action; empty where there is no event.
	Action string
	// Answer is the kernel's even without a policy, such as "EEXIST"; empty where the call works.
	Answer string
	// Quiet: it is refused, but where a rule only reports there is no event.
	Quiet bool
	// Note is a remark of the published table.
	Note string
	// prepare, if not nil, does what is done before there is a policy.
	prepare func(*place) error
	do      func(*place) error
}

// Rows are all of them.
func Rows() []Row { return slices.Concat(opens, contents, attributes, names, others) }

// Policy guards the folders of the calls. Its selectors are named as the operations that they are about; actions are
// those of its responses, in YAML. A container is in the scope of one of them.
func Policy(actions string) string {
	text := "file:\n  selectors:\n"
	for _, op := range Operations {
		text += fmt.Sprintf("    - {name: %s, operation: [%[1]s], targetFilePath: [/semantics/*/*/guard/**]}\n", op)
	}
	text += "    - {name: marker, operation: [createFile], targetFilePath: [" + Marker + "]}\n  responses:\n"
	for _, op := range Operations {
		text += fmt.Sprintf("    - {match: [%s], actions: [%s]}\n", op, actions)
	}
	return text + "    - {match: [marker], actions: [alert]}\n"
}

// Marker is a file whose creation the policy reports and lets through.
const Marker = "/tmp/semantics"

// Stage holds what the calls need from before the policy, for several rounds of all of them.
type Stage struct{ rounds [][]*place }

// place is where a call is made: guard is the folder that the policy is about, free one that it is not.
type place struct {
	guard, free   string
	file, program string // guarded, and there
	fd            int    // from before the policy
	memory        []byte // the same
	before        view.View
	result        Result
}

// Folder is the one in which a call of a round is made.
func Folder(round, row int) string { return fmt.Sprintf("/semantics/%02d/%02d", round, row) }

// Prepare makes the places of that many rounds.
func Prepare(rounds int) (*Stage, error) {
	s := &Stage{}
	for round := range rounds {
		var places []*place
		for i, row := range Rows() {
			p := &place{fd: -1, guard: Folder(round, i) + "/guard", free: Folder(round, i) + "/free"}
			p.file, p.program = p.guard+"/file", p.guard+"/program"
			err := errors.Join(os.MkdirAll(p.guard, 0o755), os.MkdirAll(p.free, 0o755))
			for path, mode := range map[string]os.FileMode{p.file: 0o644, p.program: 0o755, p.free + "/file": 0o644, p.free + "/program": 0o755} {
				err = errors.Join(err, os.WriteFile(path, []byte("kept\n"), mode))
			}
			if err == nil && row.prepare != nil {
				err = row.prepare(p)
			}
			if err == nil {
				p.before, err = view.Look(p.guard)
			}
			if err != nil {
				return nil, fmt.Errorf("prepare %q: %w", row.Call, err)
			}
			places = append(places, p)
		}
		s.rounds = append(s.rounds, places)
	}
	return s, nil
}

// Result is what became of a call.
type Result struct {
	// Errno is the answer of the kernel that ended it, such as "EPERM"; empty if every step was done.
	Errno string `json:",omitempty"`
	// Change is what is otherwise in the guarded folder, empty for nothing.
	Change string `json:",omitempty"`
	// Fault is set where the call could not be made.
	Fault string `json:",omitempty"`
}

// Missing tells whether the kernel does not know the call, by a result without a policy.
func (r Result) Missing() bool {
	return slices.Contains([]string{"ENOSYS", "EINVAL", "EOPNOTSUPP"}, r.Errno)
}

// Run makes all calls of a round.
func (s *Stage) Run(round int) {
	for i, row := range Rows() {
		p := s.rounds[round][i]
		if err := row.do(p); err != nil {
			var errno syscall.Errno
			if !errors.As(err, &errno) {
				p.result.Fault = err.Error()
				continue
			}
			p.result.Errno = unix.ErrnoName(errno)
		}
	}
}

// Results are those of all rounds, by round and call. No policy may be about the guarded folders any more, since what
// changed there is read.
func (s *Stage) Results() [][]Result {
	var all [][]Result
	for _, places := range s.rounds {
		var results []Result
		for _, p := range places {
			after, err := view.Look(p.guard)
			if err != nil {
				p.result.Fault = err.Error()
			}
			p.result.Change = p.before.Compare(after)
			results = append(results, p.result)
		}
		all = append(all, results)
	}
	return all
}
