// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// wholeEvents is how many events TestKernelStormIsWhole compares.
func wholeEvents() int {
	if kerneltest.Long() {
		return 1_000_000
	}
	return 10_000
}

// whole is a storm in which every event is compared with what its actor did, and
// what is missing with what was counted as lost.
type whole struct {
	*ground
	t        *testing.T
	revision uint32
	exe      string // this program
	folder   string // where it is
	start    uint64 // when it began
	doers    []*doer
	byThread map[uint32]*doer
	byComm   map[string]*doer
	children map[child]*born

	running  sync.WaitGroup
	produced atomic.Int64
	received atomic.Int64
	gone     atomic.Int64 // counted as lost
	room     *sync.Cond   // in the rings
	flooding atomic.Bool
	stop     atomic.Bool
	held     sync.Mutex // by whoever wants no event to be received
	done     chan struct{}

	delivered [2]map[string]int // by ring and kind
	unsettled [2]int            // creations without an outcome
	foreign   [2]int            // events of others
	bytes     [2]uint64         // of all records
	corrupt   int
	fault     string // the first one
}

const eventsRing, alertsRing = 0, 1

// doer is a thread that acts. It writes down when each act began: an event is of
// the last one that had begun.
type doer struct {
	id    int
	comm  string
	old   [2]relic
	task  event.Task // as in its first event
	files []step
	tries []step

	mu    sync.Mutex
	tid   uint32
	acts  []done
	ran   []*ran
	fault error
}

// done is an act by what it is made from, and whether its record came.
type done struct {
	begin int64 // by the boot clock
	life  uint32
	step  uint8
	come  bool
}

func (w *whole) act(d *doer, life uint32, n int) *act {
	a := &act{place: int(life &^ flood % 3), mode: wholeModes[life/3&1], old: d.old[life/3&1]}
	if a.place == placeRefused {
		a.step = &d.tries[n]
	} else {
		a.step = &d.files[n]
	}
	folder := wholeFolder(a.place, d.id, life)
	for i := range standing {
		a.paths[i] = folder + "/" + wholeName(life, i)
	}
	a.paths[standing] = a.old.path
	return a
}

// live takes one life from begin to end, each act after the one before it.
func (w *whole) live(d *doer, life uint32) error {
	steps := len(d.files)
	if life&^flood%3 == placeRefused {
		steps = len(d.tries)
	}
	for n := range steps {
		a := w.act(d, life, n)
		d.mu.Lock()
		d.acts = append(d.acts, done{begin: bootClock(), life: life, step: uint8(n)})
		d.mu.Unlock()
		err := a.call(a)
		if want := a.place == placeRefused; want != errors.Is(err, unix.EPERM) || !want && err != nil {
			return fmt.Errorf("%s of %q: %w", a.name, a.paths[a.path], err)
		}
		w.produced.Add(1)
	}
	return nil
}

// run lives until the storm is over, with no more events on their way than the
// rings have room for, unless it is to flood them.
func (w *whole) run(d *doer, ready *sync.WaitGroup) {
	runtime.LockOSThread() // for good: the thread ends with this
	d.mu.Lock()
	d.tid = uint32(unix.Gettid())
	d.mu.Unlock()
	name := append([]byte(d.comm), 0)
	err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	ready.Done()
	ready.Wait()
	for life := uint32(d.id); !w.stop.Load() && err == nil; life++ {
		switch {
		case d.files == nil:
			err = w.spawn(d, life)
		case w.flooding.Load():
			err = w.live(d, life|flood)
		default:
			err = w.live(d, life)
		}
		w.await()
	}
	d.mu.Lock()
	d.fault = err
	d.mu.Unlock()
}

// await waits for room in the rings, unless they are to be flooded.
func (w *whole) await() {
	w.room.L.Lock()
	defer w.room.L.Unlock()
	for w.produced.Load() > w.received.Load()+w.gone.Load()+roomInRings/4 && !w.flooding.Load() && !w.stop.Load() {
		w.room.Wait()
	}
}

// receive compares every event until that of the file called end.
func (w *whole) receive() {
	defer close(w.done)
	for ev := range w.p.Events() {
		w.held.Lock()
		ring := eventsRing
		if ev.Kind == event.File && ev.Decision.Alert|ev.Decision.Block != 0 || ev.Decision.Copied || ev.Outcome == event.OutcomeRefused {
			ring = alertsRing
		}
		end := ev.Path.Name == wholePlaces[placeRefused]+"/end"
		if kind, fault := w.compare(ev); fault != "" {
			w.corrupt++
			if w.fault == "" {
				w.fault = fmt.Sprintf("%.2000s\n%.2000s", fault, fmt.Sprintf("%+v", ev))
			}
		} else if kind != "" {
			w.delivered[ring][kind]++
		} else {
			w.foreign[ring]++
		}
		w.bytes[ring] += recordBytes(ev)
		w.held.Unlock()
		if w.received.Add(1)%(roomInRings/16) == 0 {
			w.room.Broadcast()
		}
		if end {
			return
		}
	}
}

// recordBytes is what the record of an event takes in its ring.
func recordBytes(ev *event.Event) uint64 {
	n := headerSize + len(ev.Decision.Aspects.Known())*aspectSize + len(ev.Path.Name) + len(ev.PathFrom.Name) + len(ev.WorkingDirectory.Name)
	if ev.Kind == event.File || ev.Kind == event.Exec && ev.Outcome == event.OutcomeRefused {
		n += len(ev.Executable.Name) // else it is the path
	}
	args := 0
	for _, arg := range ev.Args {
		args += len(arg) + 1
	}
	if ev.ArgsCut && ev.Outcome != event.OutcomeRefused {
		args = int(bpfLimitsMAX_ARGS)
	}
	return ringBytes(n + args)
}

// ringBytes is what so many bytes take with their header.
func ringBytes(n int) uint64 { return uint64(n+7)&^7 + 8 }

// compare returns what kind of event it is, "" for those of others, and what is
// wrong with it.
func (w *whole) compare(ev *event.Event) (kind, fault string) {
	switch ev.Kind {
	case event.File:
		d := w.byThread[ev.Task.TID]
		if d == nil || int(ev.Task.PID) != os.Getpid() {
			return "", ""
		}
		return w.compareFile(d, ev)
	case event.Fork, event.Exec, event.Exit:
		return w.compareProcess(ev)
	}
	return "", ""
}

func (w *whole) compareFile(d *doer, ev *event.Event) (kind, fault string) {
	at := int64(ev.Time.Sub(w.p.BootTime()))
	d.mu.Lock()
	defer d.mu.Unlock()
	n := sort.Search(len(d.acts), func(i int) bool { return d.acts[i].begin > at }) - 1
	if n < 0 {
		return "", "of before the first act"
	}
	did := &d.acts[n]
	a := w.act(d, did.life, int(did.step))
	if did.come {
		return a.name, "a second event of " + a.name
	}
	did.come = true
	if d.task == (event.Task{}) {
		d.task = ev.Task
		if t := d.task; t.TID != d.tid || t.Comm != d.comm || int(t.ParentPID) != os.Getppid() || t.UID != 0 || t.Start != w.begun(t.Start) {
			return a.name, "task of " + a.name
		}
	}
	want := w.wantFile(a)
	want.Task = d.task
	if ev.Outcome == event.OutcomeUnknown && a.name == "create" {
		w.unsettled[min(a.place, alertsRing)]++
		want.Outcome = event.OutcomeUnknown
	}
	return a.name, differs(ev, want)
}

// begun is when this program began, as the first event says.
func (w *whole) begun(start uint64) uint64 {
	if w.start == 0 {
		w.start = start
	}
	return w.start
}

func (w *whole) wantFile(a *act) *event.Event {
	executable := a.mode >> 6 & 1
	ev := &event.Event{
		Kind: event.File, Hook: "lsm__" + a.hook, Action: a.action, FileMode: unix.S_IFREG | a.mode,
		Path: event.Path{Name: a.paths[a.path]}, Executable: event.Path{Name: w.exe},
		Scope: event.Scope{State: event.Known, CgroupID: w.cgroup},
		Decision: event.Decision{
			Revision: w.revision, Operation: uint8(a.operation[executable]), Selectors: 1 << a.place,
		},
	}
	ends := uint16(1)
	if a.from >= 0 {
		ev.PathFrom.Name = a.paths[a.from]
		ends = 2
	}
	bit := uint64(1) << a.place
	ev.Decision.Aspects.Count = ends
	for i := range ends {
		ev.Decision.Aspects.First[i] = event.Aspect{Must: bit, May: bit}
	}
	switch a.place {
	case placeLogged:
		ev.Decision.Log = bit
	case placeAlerted:
		ev.Decision.Alert = bit
	case placeRefused:
		ev.Decision.Alert, ev.Decision.Block = bit, bit
		ev.Outcome = event.OutcomeRefused
	}
	if a.name == "create" && a.place != placeRefused {
		ev.Outcome = event.OutcomeSuccess
	}
	return ev
}

// differs names the first difference.
func differs(ev, want *event.Event) string {
	is := func(what string, got, want any) string { return fmt.Sprintf("%s is %+v, not %+v", what, got, want) }
	switch {
	case ev.Kind != want.Kind || ev.Hook != want.Hook || ev.Action != want.Action:
		return is("hook", ev.Hook, want.Hook)
	case ev.Outcome != want.Outcome:
		return is("outcome", ev.Outcome, want.Outcome)
	case ev.Task != want.Task:
		return is("task", ev.Task, want.Task)
	case ev.Parent != want.Parent:
		return is("parent", ev.Parent, want.Parent)
	case ev.Path != want.Path:
		return is("path", ev.Path, want.Path)
	case ev.PathFrom != want.PathFrom:
		return is("path from", ev.PathFrom, want.PathFrom)
	case ev.FileMode != want.FileMode:
		return is("mode", ev.FileMode, want.FileMode)
	case ev.Executable != want.Executable:
		return is("executable", ev.Executable, want.Executable)
	case !slices.Equal(ev.Args, want.Args) || ev.ArgsCut != want.ArgsCut:
		return is("args", ev.Args, want.Args)
	case ev.WorkingDirectory != want.WorkingDirectory:
		return is("folder", ev.WorkingDirectory, want.WorkingDirectory)
	case ev.ExitCode != want.ExitCode:
		return is("exit code", ev.ExitCode, want.ExitCode)
	case ev.Scope != want.Scope:
		return is("scope", ev.Scope, want.Scope)
	case ev.Decision != want.Decision:
		return is("decision", ev.Decision, want.Decision)
	}
	return ""
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(wholeRoot)) }) // once nothing is refused any more
	w := &whole{ground: newGround(t), t: t, byThread: map[uint32]*doer{}, byComm: map[string]*doer{}, children: map[child]*born{},
		delivered: [2]map[string]int{{}, {}}, done: make(chan struct{}), room: sync.NewCond(&sync.Mutex{})}
	var err error
	w.exe, err = os.Executable()
	require.NoError(t, err)
	w.folder, err = os.Getwd()
	require.NoError(t, err)
	makeTools(t)
	for id := range 4*runtime.NumCPU() + 2 {
		d := &doer{id: id, comm: fmt.Sprintf("d%d\n\xff \x01", id)}
		d.makeFolders(t)
		w.doers, w.byComm[d.comm] = append(w.doers, d), d
	}
	bits := Bits{every, every}
	w.revision, err = w.p.Swap(compile(t, wholePolicy), scopes(map[uint64]Bits{w.cgroup: bits}))
	require.NoError(t, err)
	hooks := w.p.Stats().Hooks
	for _, d := range w.doers[2:] { // the first two run programs
		d.files, d.tries = hooked(lifeSteps, hooks), hooked(refusedSteps, hooks)
	}
	return w
}

// begin lets the doers loose and receives their events.
func (w *whole) begin() {
	w.t.Helper()
	t := w.t
	t.Cleanup(func() {
		w.stop.Store(true)
		w.room.Broadcast()
		w.running.Wait()
	})
	var ready sync.WaitGroup
	ready.Add(len(w.doers) + 1)
	for _, d := range w.doers {
		w.running.Go(func() { w.run(d, &ready) })
	}
	for _, d := range w.doers {
		for tid := uint32(0); tid == 0; runtime.Gosched() {
			d.mu.Lock()
			tid = d.tid
			d.mu.Unlock()
			w.byThread[tid] = d
		}
	}
	go w.receive()
	ready.Done()
}

// Threads, more of them than processors, make every hook's records at once. Every
// event is whole: it says what its thread did, and no more. None is missing but
// those that are counted as lost, which are while nobody reads.
func TestKernelStormIsWhole(t *testing.T) {
	kerneltest.Require(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU()))
	w := newWhole(t)
	w.quiet()
	b := w.open()
	start := time.Now()
	w.begin()
	floods := 1
	if kerneltest.Long() {
		floods = 5
	}
	for i := range floods {
		upTo := int64(wholeEvents() * (i + 1) / (floods + 1))
		b.until("events", func() bool { return w.received.Load() >= upTo })
		if i == 0 {
			require.Zero(t, b.lost(), "with room in the rings")
		}
		b.flood()
	}
	b.until("events", func() bool { return w.received.Load() >= int64(wholeEvents()) })
	b.end()
	b.balance()
	t.Logf("%d threads on %d processors, %s: %d events in %.1fs, %d corrupt, %d times nobody read", len(w.doers), runtime.NumCPU(), w.p.Mode(),
		w.received.Load(), time.Since(start).Seconds(), w.corrupt, floods)
}
