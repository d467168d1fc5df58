// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// orders are what an enforcer is started with.
type orders struct {
	Survival Survival
	Cgroup   uint64 // of the test, the one container
	Policy   int    // of guarded
	Version  string // "": this one; else as if the programs were others
	Few      bool   // has the few capabilities that the manifests grant
	Filtered bool   // may call only what a container runtime allows without CAP_SYS_ADMIN
	Apart    bool   // is in a pid namespace of its own
}

// report is an enforcer's answer to every command.
type report struct {
	Stats    Stats
	Unpinned string
	Revision uint32
	Events   map[string]uint64 // received, by what became of the operation
	Error    string
	Busy     bool
}

// guarded refuse to make files in the test's folder, in ways that need different
// hooks; the last one, which guards their contents, nearly all.
var guarded = []string{`
file:
  selectors: [{name: make, operation: [createFile], targetFilePath: [/tmp/survival/**]}]
  responses: [{match: [make], actions: [alert, block]}]
`, `
file:
  selectors:
    - {name: change, operation: [createFile, deleteFile], targetFilePath: [/tmp/survival/**]}
    - {name: other, operation: [createFile], targetFilePath: [/nowhere/*]}
  responses: [{match: [change], actions: [alert, block]}, {match: [other], actions: [log]}]
`, `
file:
  selectors: [{name: contents, operation: [createFile, modifyFile], targetFilePath: [/tmp/survival/**]}]
  responses: [{match: [contents], actions: [alert, block]}]
`}

// enforcer is a process of its own with a probe, which can be killed.
type enforcer struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
}

func startEnforcer(t *testing.T, o orders) *enforcer {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	root, err := os.Open("/sys/fs/cgroup")
	require.NoError(t, err)
	defer root.Close()
	cmd := exec.Command("/proc/self/exe", string(text))
	cmd.Env = []string{boxEnv + "=enforcer"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(root.Fd()), Pdeathsig: unix.SIGKILL}
	if o.Apart {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	}
	e := &enforcer{t: t, cmd: cmd}
	e.stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	e.stdout = bufio.NewScanner(out)
	require.NoError(t, cmd.Start())
	t.Cleanup(e.kill)
	return e
}

// said waits for the answer to a command. The first one, to none, comes when the
// enforcer's policy is in force.
func (e *enforcer) said() (r report) {
	e.t.Helper()
	require.True(e.t, e.stdout.Scan(), "the enforcer ended")
	require.NoError(e.t, json.Unmarshal(e.stdout.Bytes(), &r))
	require.Empty(e.t, r.Error)
	return r
}

func (e *enforcer) do(command string) report {
	e.t.Helper()
	_, err := fmt.Fprintln(e.stdin, command)
	require.NoError(e.t, err)
	return e.said()
}

// awaits waits until the enforcer has received that many events.
func (e *enforcer) awaits(what string, n uint64) (r report) {
	e.t.Helper()
	for begin := time.Now(); time.Since(begin) < 10*time.Second; {
		if r = e.do("stats"); r.Events[what] >= n {
			return r
		}
	}
	require.FailNow(e.t, "events are missing", "%d %s of %d", r.Events[what], what, n)
	return r
}

// end has the enforcer leave or close, and waits for its end.
func (e *enforcer) end(command string) {
	e.t.Helper()
	e.do(command)
	require.NoError(e.t, e.cmd.Wait())
}

func (e *enforcer) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// serveEnforcer is the process.
func serveEnforcer() {
	var o orders
	if err := json.Unmarshal([]byte(os.Args[1]), &o); err != nil {
		say(report{Error: err.Error()})
		return
	}
	layoutVersion += o.Version
	if o.Few {
		if err := keepFewCapabilities(); err != nil {
			say(report{Error: err.Error()})
			return
		}
	}
	if o.Filtered {
		if err := forbidMounting(); err != nil {
			say(report{Error: err.Error()})
			return
		}
	}
	p, err := Open(Options{TestDirs: []string{"/tmp"}, Survival: o.Survival})
	if err != nil {
		say(report{Error: err.Error(), Busy: errors.As(err, new(*Busy))})
		return
	}
	var mu sync.Mutex
	events := map[string]uint64{}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for ev := range p.Events() {
			if filepath.Dir(ev.Path.Name) != "/tmp/survival" {
				continue
			}
			mu.Lock()
			switch {
			case ev.Outcome == event.OutcomeRefused:
				events["refused"]++
			case ev.Decision.Lapsed:
				events["lapsed"]++
			default:
				events["other"]++
			}
			mu.Unlock()
		}
	}()
	answer := func(revision uint32, err error) {
		r := report{Stats: p.Stats(), Revision: revision, Events: map[string]uint64{}}
		mu.Lock()
		for k, v := range events {
			r.Events[k] = v
		}
		mu.Unlock()
		if r.Stats.Unpinned != nil {
			r.Unpinned, r.Stats.Unpinned = r.Stats.Unpinned.Error(), nil
		}
		if err != nil {
			r.Error = err.Error()
		}
		say(r)
	}
	swap := func(which int) {
		rs, err := compileText(guarded[which])
		if err != nil {
			answer(0, err)
			return
		}
		answer(p.Swap(rs, map[uint64]Scope{o.Cgroup: {Bits: Bits{every, every}}}))
	}
	go func() {
		for ; ; time.Sleep(100 * time.Millisecond) {
			_ = p.KeepAlive()
		}
	}()
	swap(o.Policy)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "swap 0":
			swap(0)
		case "swap 1":
			swap(1)
		case "stats":
			p.Drain(time.Second)
			answer(0, nil)
		case "leave":
			p.Drain(time.Second)
			p.Leave()
			<-received
			answer(0, nil)
			return
		case "close":
			p.Drain(time.Second)
			p.Close()
			<-received
			answer(0, nil)
			return
		}
	}
}

// keepFewCapabilities drops all but BPF, PERFMON and SYS_RESOURCE.
func keepFewCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, capability := range []int{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_RESOURCE} {
		data[capability/32].Effective |= 1 << (capability % 32)
		data[capability/32].Permitted |= 1 << (capability % 32)
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func say(r report) { _ = json.NewEncoder(os.Stdout).Encode(r) }

func compileText(text string) (*ruleset.Ruleset, error) {
	pol, _, err := policy.Parse("test.yml", []byte(text))
	if err != nil {
		return nil, err
	}
	return ruleset.Compile(pol)
}

// intruder is the container: it does again and again what is forbidden.
type intruder struct {
	attempts, passed atomic.Int64
	stop             atomic.Bool
	running          sync.WaitGroup
}

// newContainer makes the test's process a container, and its folder.
func newContainer(t *testing.T) (cgroup uint64) {
	t.Helper()
	const dir, folder = "/sys/fs/cgroup/survival", "/tmp/survival"
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	var info unix.Stat_t
	require.NoError(t, unix.Stat(dir, &info))
	move := func(to string) {
		require.NoError(t, os.WriteFile(filepath.Join(to, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0o644))
	}
	move(dir)
	t.Cleanup(func() {
		move("/sys/fs/cgroup")
		require.NoError(t, os.Remove(dir))
		require.NoError(t, os.RemoveAll(folder))
	})
	return info.Ino
}

// attempt tries once, and reports whether it was refused.
func attempt(name string) bool {
	path := "/tmp/survival/" + name
	err := unix.Mknod(path, unix.S_IFREG|0o600, 0)
	if err == nil {
		_ = unix.Unlink(path)
	}
	return errors.Is(err, unix.EPERM)
}

func (i *intruder) start() {
	for cpu := range runtime.NumCPU() {
		i.running.Go(func() {
			for !i.stop.Load() {
				if !attempt(fmt.Sprint("new", cpu)) {
					i.passed.Add(1)
				}
				i.attempts.Add(1)
				// A ring that is always full, and a processor that nobody else
				// gets, would say nothing about restarts.
				time.Sleep(200 * time.Microsecond)
			}
		})
	}
}

func (i *intruder) end() {
	i.stop.Store(true)
	i.running.Wait()
}
