// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package semantics says what each kind of call on a file or a process is to a policy, and makes these calls. Whether a
// kernel is of the same mind is for whoever runs them to find out.
package semantics

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
	"github.com/elastic/cloud-defend/testing/progs/view"
)

// FileOperations and ProcessOperations are those of the policy language.
var (
	FileOperations    = []string{"createExecutable", "modifyExecutable", "createFile", "modifyFile", "deleteFile", "openFile"}
	ProcessOperations = []string{"fork", "exec"}
)

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
	// guarded: the process that makes the call has a guarded program.
	guarded bool
	// prepare, if not nil, does what is done before there is a policy.
	prepare func(*place) error
	do      func(*place) error
}

// Rows are all of them, Files before Processes.
func Rows() []Row { return slices.Concat(Files(), Processes()) }

// Files are calls on files.
func Files() []Row { return slices.Concat(opens, contents, attributes, names, others) }

// Processes are calls that start processes and programs.
func Processes() []Row { return slices.Concat(tasks, execs) }

// Policy guards the folders of the calls. Actions are those of its responses, in YAML. A container is in the scope of
// the selectors of one operation, see Selectors.
func Policy(actions string) string {
	files, processes := "  responses:\n", "  responses:\n"
	text := "file:\n  selectors:\n"
	for _, op := range FileOperations {
		text += fmt.Sprintf("    - {name: %s, operation: [%[1]s], targetFilePath: [%s]}\n", op, guarded)
		files += fmt.Sprintf("    - {match: [%s], actions: [%s]}\n", op, actions)
	}
	text += "    - {name: marker, operation: [createFile], targetFilePath: [" + Marker + "]}\n" + files
	text += "    - {match: [marker], actions: [alert]}\nprocess:\n  selectors:\n"
	for _, op := range ProcessOperations {
		text += fmt.Sprintf("    - {name: %s, operation: [%[1]s], processExecutable: [%s]}\n", op, guarded)
		processes += fmt.Sprintf("    - {match: [%s], actions: [%s]}\n", op, actions)
	}
	text += "    - {name: nameless, operation: [exec], processName: [\"" + nameless + "\", " + named + "]}\n" + processes
	return text + fmt.Sprintf("    - {match: [nameless], actions: [%s]}\n", actions)
}

const guarded = "/semantics/*/*/guard/**"

// Selectors are those of the policy that are about an operation, and the marker's, as bits.
func Selectors(op string) (file, process uint64) {
	file = 1 << len(FileOperations)
	if i := slices.Index(FileOperations, op); i >= 0 {
		file |= 1 << i
	}
	if i := slices.Index(ProcessOperations, op); i >= 0 {
		process = 1 << i
	}
	if op == "exec" {
		process |= 1 << len(ProcessOperations)
	}
	return file, process
}

// Marker is a file whose creation the policy reports and lets through.
const Marker = "/tmp/semantics"

// Stage holds what the calls need from before the policy, for several rounds of all of them.
type Stage struct {
	rounds [][]*place
	actors map[int]*actor // by row
}

// place is where a call is made: guard is the folder that the policy is about, free one that it is not.
type place struct {
	guard, free   string
	file, program string // guarded, and there
	self          string
	fd            int    // from before the policy
	memory        []byte // the same
	before        view.View
	result        Result
}

func newPlace(guard, free string) *place {
	return &place{fd: -1, guard: guard, free: free, file: guard + "/file", program: guard + "/program"}
}

func placeOf(round, row int) *place {
	return newPlace(folder(round, row)+"/guard", folder(round, row)+"/free")
}

// folder is the one in which a call of a round is made.
func folder(round, row int) string { return fmt.Sprintf("/semantics/%02d/%02d", round, row) }

// actors is the round in whose folders are the programs of actors, which are the same in all rounds.
const actors = 99

// Find tells which call of a round an event is about, by one of its paths.
func Find(round int, path string) (int, bool) {
	for i, row := range Rows() {
		if strings.HasPrefix(path, folder(round, i)+"/") || strings.HasPrefix(path, folder(actors, i)+"/") ||
			row.Call == inMemory && strings.Contains(path, nameless) {
			return i, true
		}
	}
	return 0, false
}

// Prepare makes the places of that many rounds. Self is a program that will Act where ActorEnv is set.
func Prepare(self string, rounds int) (*Stage, error) {
	s := &Stage{actors: map[int]*actor{}}
	for round := range rounds {
		var places []*place
		for i, row := range Rows() {
			p := placeOf(round, i)
			p.self = self
			if err := p.fill(row); err != nil {
				return nil, fmt.Errorf("prepare %q: %w", row.Call, err)
			}
			places = append(places, p)
		}
		s.rounds = append(s.rounds, places)
	}
	for i, row := range Rows() {
		if !row.guarded {
			continue
		}
		p := placeOf(actors, i)
		err := p.fill(row)
		if err == nil {
			s.actors[i], err = startActor(self, row, p)
		}
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", row.Call, err)
		}
	}
	return s, nil
}

// fill makes what is in a place before a call.
func (p *place) fill(row Row) error {
	err := errors.Join(os.MkdirAll(p.guard, 0o755), os.MkdirAll(p.free, 0o755))
	for _, folder := range []string{p.guard, p.free} {
		err = errors.Join(err, os.WriteFile(folder+"/file", []byte("kept\n"), 0o644), os.WriteFile(folder+"/program", program.Image(), 0o755))
	}
	if err == nil && row.prepare != nil {
		err = row.prepare(p)
	}
	if err == nil {
		p.before, err = view.Look(p.guard)
	}
	return err
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

func resultOf(err error) (r Result) {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		r.Errno = unix.ErrnoName(errno)
	case err != nil:
		r.Fault = err.Error()
	}
	return r
}

// Run makes all calls of a round.
func (s *Stage) Run(round int) {
	for i, row := range Rows() {
		p := s.rounds[round][i]
		if a := s.actors[i]; a != nil {
			p.result = a.make()
		} else {
			p.result = resultOf(row.do(p))
		}
	}
}

// Results are those of all rounds, by round and call; no more is done. No policy may be about the guarded folders any
// more, since what changed there is read.
func (s *Stage) Results() ([][]Result, error) {
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
	var err error
	for _, a := range s.actors {
		err = errors.Join(err, a.end())
	}
	return all, err
}
