// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
)

// child is a process by what the kernel knows it by.
type child struct {
	pid   uint32
	start uint64
}

// ran is what is known of a process that a doer started, or could not.
type ran struct {
	place                int
	pid                  int // 0 where the program was refused
	seen                 uint32
	execs, copies, tries int
	args                 []string
}

// born is a child by its events.
type born struct {
	of    *doer
	task  event.Task
	is    *ran
	forks int
	ends  int
}

// exitFailed is how Go ends a child that could not run its program.
const exitFailed = 253

// argvOf names the run in the arguments; some have more than a record holds.
func argvOf(d *doer, life uint32) []string {
	argv := []string{"busybox", "sh", "-c", fmt.Sprintf("exit %d", life%200), fmt.Sprintf("%d-%d", d.id, life), "a\nb\xff", ""}
	if life%8 == 4 {
		argv = append(argv, strings.Repeat("long ", 2000))
	}
	return append(argv, "last")
}

// recorded is what a record has of argv, and whether that was cut. Before the exec,
// arguments are read one by one, of each as many bytes.
func recorded(argv []string, refused bool) (args []string, cut bool) {
	if refused {
		for _, arg := range argv {
			args = append(args, arg[:min(len(arg), 1023)])
			cut = cut || len(arg) > 1023
		}
		return args, cut
	}
	raw := strings.Join(argv, "\x00") + "\x00"
	if len(raw) <= int(bpfLimitsMAX_ARGS) {
		return argv, false
	}
	return strings.Split(strings.TrimSuffix(raw[:bpfLimitsMAX_ARGS], "\x00"), "\x00"), true
}

// spawn runs a program to its end, or is refused it.
func (w *whole) spawn(d *doer, life uint32) error {
	r := &ran{place: int(life % 3), args: argvOf(d, life)}
	d.mu.Lock()
	d.ran = append(d.ran, r)
	d.mu.Unlock()
	pid, err := syscall.ForkExec(wholePlaces[r.place]+"/tool", r.args, &syscall.ProcAttr{})
	w.produced.Add(3)
	if r.place == placeRefused {
		if !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("run what is refused: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	r.pid = pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if status.ExitStatus() != int(life%200) {
		return fmt.Errorf("the program ended with %#x", status)
	}
	return nil
}

// find is what a process's arguments say it is.
func (w *whole) find(args []string) (*doer, *ran, uint32) {
	if len(args) < 5 {
		return nil, nil, 0
	}
	id, number, _ := strings.Cut(args[4], "-")
	i, err := strconv.Atoi(id)
	life, err2 := strconv.Atoi(number)
	if err != nil || err2 != nil || i >= len(w.doers) {
		return nil, nil, 0
	}
	d := w.doers[i]
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := life - i; at >= 0 && at < len(d.ran) {
		return d, d.ran[at], uint32(life)
	}
	return nil, nil, 0
}

func (w *whole) compareProcess(ev *event.Event) (kind, fault string) {
	key := child{ev.Task.PID, ev.Task.Start}
	b := w.children[key]
	if b == nil {
		b = &born{}
		w.children[key] = b
	}
	switch {
	case ev.Kind == event.Fork && int(ev.Parent.PID) == os.Getpid():
		return "fork", w.compareFork(b, ev)
	case ev.Kind == event.Exec:
		return w.compareExec(b, ev)
	case ev.Kind == event.Exit && int(ev.Task.ParentPID) == os.Getpid():
		return "exit", w.compareExit(b, ev)
	}
	return "", ""
}

func (w *whole) compareFork(b *born, ev *event.Event) string {
	b.of, b.task = w.byComm[ev.Task.Comm], ev.Task
	if b.forks++; b.forks > 1 || b.of == nil {
		return "fork of a process that was there, or by nobody"
	}
	want := &event.Event{
		Kind: event.Fork, Hook: "tracepoint__sched_process_fork", Action: event.ActionFork, Outcome: event.OutcomeSuccess,
		Task: ev.Task, Parent: event.Parent{PID: uint32(os.Getpid()), Start: w.begun(ev.Parent.Start)},
		Path: event.Path{Name: w.exe}, Executable: event.Path{Name: w.exe},
		Scope:    event.Scope{State: event.Known, CgroupID: w.cgroup},
		Decision: event.Decision{Revision: w.revision, Operation: uint8(policy.Fork)},
	}
	if t := ev.Task; t.PID != t.TID || int(t.ParentPID) != os.Getpid() || t.ParentStart != w.start || t.UID != 0 {
		return "task of a fork"
	}
	return differs(ev, want)
}

func (w *whole) compareExec(b *born, ev *event.Event) (kind, fault string) {
	d, r, life := w.find(ev.Args)
	if r == nil {
		return "exec", "exec of nobody"
	}
	bit := uint64(1) << r.place
	tool := wholePlaces[r.place] + "/tool"
	want := &event.Event{
		Kind: event.Exec, Hook: "tracepoint__sched_process_exec", Action: event.ActionExec, Outcome: event.OutcomeSuccess, FileMode: unix.S_IFREG | 0o755,
		Parent: ev.Parent, Path: event.Path{Name: tool}, Executable: event.Path{Name: tool}, WorkingDirectory: event.Path{Name: w.folder},
		Scope: event.Scope{State: event.Known, CgroupID: w.cgroup},
		Decision: event.Decision{Revision: w.revision, Operation: uint8(policy.Exec), Selectors: bit,
			Aspects: event.Aspects{Count: 1, First: [event.MaxAspects]event.Aspect{{Must: bit, May: bit}}}},
	}
	want.Args, want.ArgsCut = recorded(argvOf(d, life), r.place == placeRefused)
	comm, count := "tool", &r.execs
	switch r.place {
	case placeLogged:
		kind, want.Decision.Log = "exec", bit
	case placeRefused:
		kind, count, comm = "refused exec", &r.tries, d.comm
		want.Hook, want.Outcome, want.Executable.Name, want.WorkingDirectory.Name = "lsm__bprm_check_security", event.OutcomeRefused, w.exe, ""
		want.Decision.Alert, want.Decision.Block = bit, bit
	default:
		kind, want.Decision.AlertCopy = "exec", true
		if ev.Decision.Copied {
			kind, count, want.Decision.AlertCopy, want.Decision.Copied, want.Decision.Alert = "exec copy", &r.copies, false, true, bit
		}
	}
	if *count++; *count > 1 {
		return kind, "a second " + kind
	}
	want.Task = ev.Task
	if b.task.PID != 0 {
		want.Task = b.task
		want.Task.Comm = comm
	}
	if b.is != nil && b.is != r || ev.Task.Comm != comm || r.seen != 0 && r.seen != ev.Task.PID {
		return kind, "exec by another process"
	}
	b.is, b.task, r.seen = r, ev.Task, ev.Task.PID
	return kind, differs(ev, want)
}

func (w *whole) compareExit(b *born, ev *event.Event) string {
	if b.ends++; b.ends > 1 {
		return "a second end"
	}
	want := &event.Event{
		Kind: event.Exit, Hook: "kprobe__taskstats_exit", Action: event.ActionEnd, Outcome: event.OutcomeSuccess, Task: ev.Task, ExitCode: ev.ExitCode,
	}
	if b.task.PID != 0 {
		want.Task = b.task
		want.Task.Comm = ev.Task.Comm // the exec that changes it may be lost
	}
	if b.is != nil {
		want.Task.Comm, want.ExitCode = b.task.Comm, exitOf(b.is)
	}
	return differs(ev, want)
}

func exitOf(r *ran) int32 {
	if r.place == placeRefused {
		return exitFailed
	}
	code, _ := strconv.Atoi(strings.TrimPrefix(r.args[3], "exit "))
	return int32(code)
}

// makeTools makes the programs that doers run.
func makeTools(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err)
	for _, place := range wholePlaces {
		require.NoError(t, os.MkdirAll(place, 0o755))
		require.NoError(t, os.WriteFile(place+"/tool", content, 0o755))
	}
}
