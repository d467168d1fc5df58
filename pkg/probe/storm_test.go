// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// ground is what storms rage on: two policies, and this process as a container.
type ground struct {
	p      *Probe
	cgroup uint64
	rules  [2]*stormRules
}

// storm does real file operations on every processor, without pause, and keeps
// what each operation was answered and what the kernel recorded of it.
type storm struct {
	*ground
	t *testing.T

	// begun is the newest revision whose swap has been called, applied the
	// newest whose swap has returned.
	begun, applied atomic.Uint32
	// returned is when the swap to a revision returned, by the boot clock.
	returned map[uint32]int64
	swaps    []time.Duration

	places   []int // that operations are done in
	actors   []*actor
	running  sync.WaitGroup
	stop     atomic.Bool
	waits    atomic.Int64 // of actors, for room in the rings
	received atomic.Int64
	marked   [2]int              // marks that were made, and records of them that came
	passed   int                 // marks that were let through though both policies refuse them
	records  map[uint32][]record // by thread
	done     chan struct{}
}

// record is one as it came. Late: the ring had a mark of a newer revision before it.
type record struct {
	*event.Event
	late bool
}

// actor is a thread that does operations, each on files of its own.
type actor struct {
	storm  *storm
	cpu    int
	tid    uint32
	rnd    *rand.Rand
	exists [stormPlaces]bool
	did    []operation
	fault  error
}

// operation is one system call and its answer.
type operation struct {
	name       string
	places     []int // the second one is where a rename came from
	begin, end int64 // by the boot clock
	// applied is the revision that the operation may not be judged by an older
	// than, begun the one that it may not be judged by a newer than.
	applied, begun uint32
	errno          syscall.Errno
}

// roomInRings is how many operations may be ahead of their records.
const roomInRings = 4096

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{p: openProbe(t), rules: newStormRules(t)}
	g.enterCgroup(t)
	t.Cleanup(func() {
		_, err := g.p.Swap(compile(t, stormOver), nil)
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll("/tmp/storm"))
	})
	for place := range stormPlaces {
		require.NoError(t, os.MkdirAll(stormPlace(place), 0o755))
	}
	require.NoError(t, os.WriteFile(stormPlace(7)+"/mark", nil, 0o600))
	return g
}

// enterCgroup makes this process the container.
func (g *ground) enterCgroup(t *testing.T) {
	t.Helper()
	const dir = "/sys/fs/cgroup/storm"
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var info unix.Stat_t
	require.NoError(t, unix.Stat(dir, &info))
	g.cgroup = info.Ino
	move := func(to string) {
		require.NoError(t, os.WriteFile(filepath.Join(to, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0o644))
	}
	move(dir)
	runChild(t, "/proc/self/exe") // or all that comes would be a runtime's
	t.Cleanup(func() {
		move("/sys/fs/cgroup")
		require.NoError(t, os.Remove(dir))
		require.NoError(t, g.p.Forget(g.cgroup))
	})
}

func (g *ground) newStorm(t *testing.T, places ...int) *storm {
	t.Helper()
	s := &storm{ground: g, t: t, places: places,
		returned: map[uint32]int64{}, records: map[uint32][]record{}, done: make(chan struct{})}
	for cpu := range runtime.NumCPU() {
		a := &actor{storm: s, cpu: cpu, rnd: rand.New(rand.NewPCG(rand.Uint64(), 1))}
		for place := range stormPlaces {
			_, err := os.Lstat(a.file(place))
			a.exists[place] = err == nil // from the storm before
		}
		s.actors = append(s.actors, a)
	}
	t.Cleanup(func() {
		s.stop.Store(true)
		s.running.Wait()
	})
	return s
}

// scope are the bits of all containers: this process, and some others.
func (g *ground) scope(revision uint32) map[uint64]Scope {
	bits := Bits{g.rules[revision&1].bits(revision)}
	scope := map[uint64]Scope{g.cgroup: {Bits: bits}}
	for i := range uint64(63) {
		scope[1<<40+i] = Scope{Bits: bits}
	}
	return scope
}

// swapper puts a ruleset in force; see Probe.Swap.
type swapper func(*ruleset.Ruleset, map[uint64]Scope) (uint32, error)

// swap puts the next revision in force and takes its time.
func (s *storm) swap(by swapper) {
	s.t.Helper()
	revision := s.p.Stats().Revision + 1
	s.begun.Store(revision)
	start := bootClock()
	got, err := by(s.rules[revision&1].Ruleset, s.scope(revision))
	end := bootClock()
	require.NoError(s.t, err)
	require.Equal(s.t, revision, got)
	s.returned[revision] = end
	s.applied.Store(revision)
	s.swaps = append(s.swaps, time.Duration(end-start))
	s.mark()
}

func (s *storm) swapAll(swaps int, by swapper) {
	s.t.Helper()
	for range swaps {
		s.swap(by)
	}
}

// mark makes a record in each ring, by operations that both policies judge
// alike: none of an older revision may follow.
func (s *storm) mark() {
	s.t.Helper()
	s.marked[0] += 2
	require.NoError(s.t, unix.Chmod(stormPlace(7)+"/mark", 0o600))
	err := unix.Mknod(stormPlace(4)+"/mark", unix.S_IFREG|0o600, 0)
	if !errors.Is(err, unix.EPERM) {
		s.passed++
		require.NoError(s.t, err)
		require.NoError(s.t, unix.Unlink(stormPlace(4)+"/mark"))
	}
}

// rage lets the actors loose during what is done meanwhile, and returns when
// every record has arrived.
func (s *storm) rage(meanwhile func()) {
	s.t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * runtime.NumCPU()))
	before := s.p.Stats()
	s.swap(s.p.Swap)
	s.swaps = nil
	go s.receive()
	for _, a := range s.actors {
		s.running.Go(a.run)
	}
	s.alone(meanwhile)
	s.stop.Store(true)
	s.running.Wait()
	for _, a := range s.actors {
		require.NoError(s.t, a.fault)
	}
	// An alert comes after the events before it; both policies refuse this one.
	require.ErrorIs(s.t, os.WriteFile(stormPlace(4)+"/end", nil, 0o644), unix.EPERM)
	select {
	case <-s.done:
	case <-time.After(2 * time.Minute): // an emulated machine decodes slowly
		require.FailNow(s.t, "the last record did not arrive")
	}
	after := s.p.Stats()
	faults := func(s Stats) []uint64 {
		return []uint64{s.LostAlerts, s.LostEvents, s.NoScratch, s.Malformed, s.Unsettled}
	}
	require.Equal(s.t, faults(before), faults(after), "lost alerts, lost events, no scratch memory, malformed, unsettled")
}

// alone runs in a thread that stays on one processor and goes before the actor
// there.
func (s *storm) alone(run func()) {
	s.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	require.NoError(s.t, unix.SchedGetaffinity(0, &before))
	require.NoError(s.t, stayOn(0))
	require.NoError(s.t, unix.Setpriority(unix.PRIO_PROCESS, 0, -10))
	run()
	require.NoError(s.t, unix.Setpriority(unix.PRIO_PROCESS, 0, 0))
	require.NoError(s.t, unix.SchedSetaffinity(0, &before))
}

// stayOn binds the thread to a processor.
func stayOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// receive takes records until that of the file called end. It is the only
// receiver, and ends then.
func (s *storm) receive() {
	var marks [2]uint32 // newest revision that marked each ring
	for ev := range s.p.Events() {
		if ev.Kind != event.File || !strings.HasPrefix(ev.Path.Name, "/tmp/storm/") {
			continue // the test's own, on a thread that an actor may have got
		}
		ring := 0
		if ev.Decision.Alert|ev.Decision.Block != 0 {
			ring = 1
		}
		switch filepath.Base(ev.Path.Name) {
		case "end":
			close(s.done)
			return
		case "mark":
			marks[ring] = ev.Decision.Revision
			s.marked[1]++
		default:
			s.records[ev.Task.TID] = append(s.records[ev.Task.TID], record{ev, ev.Decision.Revision < marks[ring]})
			s.received.Add(1)
		}
	}
}

func bootClock() int64 {
	var ts unix.Timespec
	// cannot fail: the clock exists
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}

// run does operations until the storm is over. Its thread ends with it.
func (a *actor) run() {
	runtime.LockOSThread()
	a.tid = uint32(unix.Gettid())
	a.fault = stayOn(a.cpu)
	for !a.storm.stop.Load() && a.fault == nil {
		a.step()
		for n := int64(len(a.did)); n*int64(len(a.storm.actors)) > a.storm.received.Load()+roomInRings && !a.storm.stop.Load(); {
			a.storm.waits.Add(1)
			runtime.Gosched()
		}
	}
}

func (a *actor) file(place int) string {
	return fmt.Sprintf("%s/cpu%d", stormPlace(place), a.cpu)
}

// step does one operation that the state of the actor's files allows, so that
// only a policy can refuse it.
func (a *actor) step() {
	places := a.storm.places
	place, other := places[a.rnd.IntN(len(places))], places[a.rnd.IntN(len(places))]
	path := a.file(place)
	coin := a.rnd.IntN(3)
	switch {
	case !a.exists[place] && a.exists[other] && coin == 0:
		if a.do("rename", func() error { return unix.Rename(a.file(other), path) }, place, other) {
			a.exists[place], a.exists[other] = true, false
		}
	case !a.exists[place] && coin == 1:
		a.exists[place] = a.do("mknod", func() error { return unix.Mknod(path, unix.S_IFREG|0o644, 0) }, place)
	case !a.exists[place]:
		a.exists[place] = a.do("create", func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL) }, place)
	case coin == 0:
		a.do("chmod", func() error { return unix.Chmod(path, 0o600) }, place)
	case coin == 1:
		a.do("open", func() error { return openClose(path, unix.O_WRONLY) }, place)
	default:
		a.exists[place] = !a.do("unlink", func() error { return unix.Unlink(path) }, place)
	}
}

func openClose(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// do reports whether the operation was done; the only other answer is EPERM.
func (a *actor) do(name string, call func() error, places ...int) bool {
	op := operation{name: name, places: places, applied: a.storm.applied.Load(), begin: bootClock()}
	err := call()
	op.end, op.begun = bootClock(), a.storm.begun.Load()
	if err != nil {
		op.errno = toErrno(err)
		if op.errno != unix.EPERM {
			a.fault = fmt.Errorf("%s in %v: %w", name, places, err)
		}
	}
	a.did = append(a.did, op)
	return err == nil
}

// judgement counts operations by what was wrong with their evaluation.
type judgement struct {
	operations, refused int
	// torn: the path was not judged by the whole of the revision's policy.
	// mixed: the container was not judged by the revision's bits.
	// unresolved: the container was taken for unknown.
	// answer: the caller was told something else than was recorded.
	// stale, early: judged by a revision that was replaced already, or that
	// nobody had asked for yet.
	// missing, surplus: no record, or more than one.
	torn, mixed, unresolved, answer, stale, early, missing, surplus int
	first                                                           string // of all faults
}

func (v judgement) faults() int {
	return v.torn + v.mixed + v.unresolved + v.answer + v.stale + v.early + v.missing + v.surplus
}

func (v *judgement) fault(count *int, op operation, what string, args ...any) {
	*count++
	if v.first == "" {
		v.first = fmt.Sprintf("%s in %v, revisions %d to %d: ", op.name, op.places, op.applied, op.begun) + fmt.Sprintf(what, args...)
	}
}

// judge compares each operation with its record.
func (s *storm) judge() judgement {
	v := judgement{answer: s.passed, missing: max(0, s.marked[0]-s.marked[1]), surplus: max(0, s.marked[1]-s.marked[0])}
	if v.faults() > 0 {
		v.first = fmt.Sprintf("%d marks made, %d recorded", s.marked[0], s.marked[1])
	}
	for _, a := range s.actors {
		v.operations += len(a.did)
		records := s.records[a.tid]
		slices.SortFunc(records, func(a, b record) int { return a.Time.Compare(b.Time) })
		for _, op := range a.did {
			var own []record
			for len(records) > 0 && s.clock(records[0].Event) <= op.end {
				own, records = append(own, records[0]), records[1:]
			}
			s.check(&v, op, own)
		}
		v.surplus += len(records)
	}
	return v
}

// clock is an event's time by the boot clock.
func (s *storm) clock(ev *event.Event) int64 { return int64(ev.Time.Sub(s.p.BootTime())) }

func (s *storm) check(v *judgement, op operation, records []record) {
	if op.errno != 0 {
		v.refused++
	}
	switch {
	case len(records) == 0:
		v.fault(&v.missing, op, "no record")
		return
	case len(records) > 1 || s.clock(records[0].Event) < op.begin:
		v.fault(&v.surplus, op, "records %s", s.summary(op, records))
		return
	}
	ev := records[0].Event
	d := ev.Decision
	if d.Revision < op.applied {
		v.fault(&v.stale, op, "judged by %d", d.Revision)
	} else if records[0].late && op.name != "create" { // which may wait for its fate
		v.fault(&v.stale, op, "judged by %d, recorded after the next was applied", d.Revision)
	} else if at, ok := s.returned[d.Revision+1]; ok && s.clock(ev) > at {
		v.fault(&v.stale, op, "judged by %d, %s after the next was applied", d.Revision, time.Duration(s.clock(ev)-at))
	}
	if d.Revision > op.begun {
		v.fault(&v.early, op, "judged by %d", d.Revision)
	}
	s.compare(v, op, ev)
}

// summary is what a fault shows of the records of an operation.
func (s *storm) summary(op operation, records []record) (out []string) {
	for _, ev := range records {
		out = append(out, fmt.Sprintf("%s %s by %d, outcome %d, %s after the begin of %s", ev.Hook, ev.Path.Name, ev.Decision.Revision, ev.Outcome,
			time.Duration(s.clock(ev.Event)-op.begin), time.Duration(op.end-op.begin)))
	}
	return out
}

func (s *storm) compare(v *judgement, op operation, ev *event.Event) {
	d := ev.Decision
	rules := s.rules[d.Revision&1]
	want := rules.judge(d.Revision, op.places...)
	var aspects event.Aspects
	for _, place := range op.places {
		set := rules.place[place] | rules.tags()
		aspects.First[aspects.Count] = event.Aspect{Must: set, May: set}
		aspects.Count++
	}
	switch {
	case d.Aspects != aspects:
		v.fault(&v.torn, op, "path matched %x instead of %x by revision %d", d.Aspects.Known(), aspects.Known(), d.Revision)
	case ev.Scope.State != event.Known || ev.Scope.CgroupID != s.cgroup || d.Unresolved:
		v.fault(&v.unresolved, op, "scope %+v by revision %d", ev.Scope, d.Revision)
	case d.Selectors != want.Selectors || d.Log != want.Log || d.Alert != want.Alert || d.Block != want.Block:
		v.fault(&v.mixed, op, "decision %+v instead of %+v", d, want)
	}
	if refused := ev.Outcome == event.OutcomeRefused; refused != (op.errno != 0) || refused != (d.Block != 0) {
		v.fault(&v.answer, op, "answer %v, but outcome %d and block %x", op.errno, ev.Outcome, d.Block)
	}
}
