// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const bpffs = "/sys/fs/bpf"

// pinned is where enforcers of a test leave what survives.
func pinned(t *testing.T) Survival {
	dir := filepath.Join(bpffs, "test-"+strconv.Itoa(int(time.Now().UnixNano())))
	t.Cleanup(func() {
		_, err := Cleanup(dir)
		require.NoError(t, err)
	})
	return Survival{Dir: dir}
}

// left lists what is pinned.
func left(t *testing.T, s Survival) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(s.Dir, func(path string, _ fs.DirEntry, err error) error {
		if path != s.Dir {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// A process that is killed leaves its programs, and the next one takes them over
// as they are, with the same revision and all records.
func TestKernelAdoption(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith)
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	first := startEnforcer(t, o)
	r := first.said()
	require.True(t, r.Stats.Survives, r.Unpinned)
	require.Nil(t, r.Stats.Adopted)
	require.True(t, attempt("file"))
	first.kill()
	for range 10 {
		require.True(t, attempt("file"), "nobody is there")
	}

	begin := time.Now()
	second := startEnforcer(t, o)
	r = second.said()
	t.Logf("from the start to the policy in force: %s", time.Since(begin))
	require.NotNil(t, r.Stats.Adopted)
	require.Equal(t, uint32(1), r.Stats.Adopted.Revision)
	require.Equal(t, uint32(1), r.Revision, "the same policy is the same revision")
	require.True(t, attempt("file"))
	r = second.awaits("refused", 11)
	require.Equal(t, uint64(12), r.Stats.Refused, "the total survives")
	require.Equal(t, uint32(2), second.do("swap 1").Revision)
	require.True(t, attempt("file"))
	second.kill()

	third := startEnforcer(t, o)
	r = third.said()
	require.Equal(t, uint32(2), r.Stats.Adopted.Revision)
	require.Equal(t, uint32(3), r.Revision, "another policy")
	require.True(t, attempt("file"))
	third.end("close")
	require.False(t, attempt("file"), "closed: nothing is left")
	require.Empty(t, left(t, o.Survival))
}

// survivalCycles is how often a process is killed.
func survivalCycles() int {
	if kerneltest.Long() {
		return 1000
	}
	return 10
}

// The component is killed again and again at any moment, in the middle of its
// start, of a swap, of its work: nothing that is forbidden passes meanwhile.
// Without pins much does.
func TestKernelNothingPassesWhileKilled(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith)
	cgroup := newContainer(t)
	for _, c := range []struct {
		name   string
		pinned bool
		cycles int
	}{{"pinned", true, survivalCycles()}, {"not pinned", false, 2}} {
		t.Run(c.name, func(t *testing.T) {
			var in intruder
			o := orders{Cgroup: cgroup}
			if c.pinned {
				o.Survival = pinned(t)
			}
			e := startEnforcer(t, o)
			e.said()
			in.start()
			begin := time.Now()
			idle := 0 // kills before the policy was in force
			usual := 2 * time.Second
			cycle := 0
			for ; cycle < c.cycles || in.attempts.Load() <= 100; cycle++ {
				e.kill()
				if rand.IntN(4) == 0 {
					o.Policy = rand.IntN(2)
				}
				started := time.Now()
				e = startEnforcer(t, o)
				inForce := make(chan bool, 1)
				go func() { inForce <- e.stdout.Scan() }()
				select {
				case ok := <-inForce:
					require.True(t, ok, "the enforcer ended by itself")
					usual = time.Since(started)
					time.Sleep(rand.N(100 * time.Millisecond))
				case <-time.After(rand.N(usual * 3 / 2)):
					idle++
					usual += usual / 8
				}
				if c.pinned && !assert.Zero(t, in.passed.Load(), "in cycle %d, after %s", cycle, time.Since(begin)) {
					break
				}
				if cycle%50 == 49 {
					t.Logf("%d kills, %d attempts, after %s", cycle+1, in.attempts.Load(), time.Since(begin))
				}
			}
			e.kill()
			in.end()
			t.Logf("%d kills, %d of them before the policy was in force, %d attempts, %d passed, in %s; last start %s",
				cycle, idle, in.attempts.Load(), in.passed.Load(), time.Since(begin), usual)
			require.Equal(t, c.pinned, in.passed.Load() == 0)
		})
	}
}

// lapse waits until nothing is refused any more, and returns when that was.
func lapse(t *testing.T) time.Time {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(10 * time.Millisecond) {
		if !attempt("file") {
			return time.Now()
		}
	}
	require.FailNow(t, "still refused")
	return time.Time{}
}

// refused asserts that for that long everything is refused.
func refused(t *testing.T, d time.Duration) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(10 * time.Millisecond) {
		require.True(t, attempt("file"), "after %s", time.Since(begin))
	}
}

// After a crash everything is refused until the deadline, and nothing after it;
// records say so. The next process does not refuse before it has a policy, and
// delivers what was recorded.
func TestKernelDeadlineAfterCrash(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	o.Survival.Crash = 8 * time.Second
	e := startEnforcer(t, o)
	e.said()
	refused(t, 10*time.Second) // put off
	e.kill()
	killed := time.Now()
	refused(t, 2*time.Second)
	require.Less(t, lapse(t).Sub(killed), 10*time.Second)
	require.False(t, attempt("file"))

	e = startEnforcer(t, o)
	r := e.said()
	require.True(t, r.Stats.Adopted.Lapsed)
	require.True(t, attempt("file"))
	r = e.awaits("lapsed", 2)
	require.NotZero(t, r.Stats.Adopted.Since.Refused)
	e.end("close")
}

// SIGTERM and the end of the last input look alike: enforcement goes on for a
// shorter while.
func TestKernelDeadlineAfterLeave(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	o.Survival.Stop = 8 * time.Second // of 15 minutes
	e := startEnforcer(t, o)
	e.said()
	begin := time.Now()
	e.end("leave")
	left := time.Now()
	refused(t, time.Second)
	lapsed := lapse(t)
	require.Greater(t, lapsed.Sub(begin), 8*time.Second)
	require.Less(t, lapsed.Sub(left), 10*time.Second)
}

// What is taken over in time goes on without a gap and is not shortened any more.
func TestKernelLeaveAndAdopt(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	e := startEnforcer(t, o)
	e.said()
	var in intruder
	in.start()
	e.end("leave")
	e = startEnforcer(t, o)
	e.said()
	in.end()
	require.Zero(t, in.passed.Load())
	require.NotZero(t, in.attempts.Load())
	r := e.awaits("refused", uint64(in.attempts.Load())*9/10)
	t.Logf("%d attempts, %d received by the second process, %d lost, counts since the first left %+v",
		in.attempts.Load(), r.Events["refused"], r.Stats.LostAlerts, r.Stats.Adopted.Since)
	require.Equal(t, uint64(in.attempts.Load()), r.Stats.Refused, "the totals of both")
	e.end("close")
}

// Records that find no room while nobody reads are counted, and the next process
// says so.
func TestKernelLossIsToldAtAdoption(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	e := startEnforcer(t, o)
	e.said()
	e.kill()
	attempts := uint64(0)
	for ; attempts < 20_000; attempts++ { // more than 4 MiB of records
		require.True(t, attempt("file"))
	}
	e = startEnforcer(t, o)
	r := e.said()
	since := r.Stats.Adopted.Since
	require.Equal(t, attempts, since.Refused)
	require.NotZero(t, since.LostAlerts)
	r = e.awaits("refused", attempts-since.LostAlerts)
	require.Equal(t, attempts, r.Events["refused"]+r.Stats.LostAlerts, "each is delivered or counted as lost")
	e.end("close")
}

// Another version attaches its own programs before it detaches the old ones, and
// the old version does the same when it comes back.
func TestKernelAnotherLayout(t *testing.T) {
	kerneltest.RequireLong(t)
	kerneltest.Require(t, kerneltest.OnceWith)
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	e := startEnforcer(t, o)
	e.said()
	var in intruder
	in.start()
	for _, version := range []string{"next", ""} {
		e.kill()
		o.Version = version
		e = startEnforcer(t, o)
		r := e.said()
		require.Nil(t, r.Stats.Adopted)
		require.Len(t, r.Stats.Replaced, 1)
		t.Logf("replaced %+v", r.Stats.Replaced)
		require.NotZero(t, r.Stats.Replaced[0].UnreadAlerts)
		layouts, err := os.ReadDir(o.Survival.Dir)
		require.NoError(t, err)
		require.Len(t, layouts, 1)
	}
	in.end()
	require.Zero(t, in.passed.Load())
	t.Logf("%d attempts", in.attempts.Load())
	e.end("close")
	require.False(t, attempt("file"))
}

// One process enforces on a node. Another says who it is and attaches nothing,
// and takes over when that one has ended.
func TestKernelOneEnforcer(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	first := startEnforcer(t, o)
	first.said()
	o.Survival.Wait = 100 * time.Millisecond
	_, err := Open(Options{TestDirs: []string{"/tmp"}, Survival: o.Survival})
	busy := new(Busy)
	require.ErrorAs(t, err, &busy)
	require.Equal(t, first.cmd.Process.Pid, busy.PID)
	require.ErrorContains(t, err, "(exe)")
	_, err = Cleanup(o.Survival.Dir)
	require.ErrorAs(t, err, &busy)
	require.True(t, attempt("file"))
	o.Survival.Wait = 10 * time.Second
	second := startEnforcer(t, o)
	first.kill()
	require.NotNil(t, second.said().Stats.Adopted)
	require.True(t, attempt("file"))
	second.end("close")
}

// Cleanup removes what is left, says what it was, and nothing enforces any more.
func TestKernelCleanup(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t), Policy: 1}
	e := startEnforcer(t, o)
	e.said()
	e.kill()
	require.True(t, attempt("file"))
	removed, err := Cleanup(o.Survival.Dir)
	require.NoError(t, err)
	require.Len(t, removed, 1)
	t.Logf("%+v", removed)
	require.Greater(t, len(removed[0].Programs), 8)
	lapse(t)
	require.NoDirExists(t, o.Survival.Dir)
	removed, err = Cleanup(o.Survival.Dir)
	require.NoError(t, err)
	require.Empty(t, removed)
}

// Where nothing can be pinned, enforcement goes on all the same and the state
// says why it ends with the process.
func TestKernelNothingToPinIn(t *testing.T) {
	kerneltest.RequireLong(t)
	kerneltest.Require(t, kerneltest.OnceWith)
	cgroup := newContainer(t)
	bpfs := filepath.Join(t.TempDir(), "bpf")
	require.NoError(t, os.Mkdir(bpfs, 0o700))
	mount := func(options string) func(*testing.T) {
		return func(t *testing.T) {
			require.NoError(t, unix.Mount("bpf", bpfs, "bpf", 0, options))
			t.Cleanup(func() { require.NoError(t, unix.Unmount(bpfs, unix.MNT_DETACH)) })
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(*testing.T)
		says    string
	}{
		{"absent", func(*testing.T) {}, "no bpf file system"},
		{"read-only", func(t *testing.T) {
			mount("mode=0700")(t)
			require.NoError(t, unix.Mount("", bpfs, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}, "read-only file system"},
		{"somebody else's", func(t *testing.T) {
			mount("mode=1777")(t)
			require.NoError(t, os.Mkdir(bpfs+"/cloud-defend", 0o777))
			require.NoError(t, os.Chown(bpfs+"/cloud-defend", 1000, 1000))
		}, "belongs to user 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.prepare(t)
			e := startEnforcer(t, orders{Survival: Survival{Dir: bpfs + "/cloud-defend"}, Cgroup: cgroup})
			r := e.said()
			require.False(t, r.Stats.Survives)
			require.Contains(t, r.Unpinned, c.says)
			require.True(t, attempt("file"))
			e.kill()
			lapse(t)
		})
	}
}

// With survival off nothing is left, and what an earlier process left is replaced.
func TestKernelSurvivalOff(t *testing.T) {
	kerneltest.RequireLong(t)
	kerneltest.Require(t, kerneltest.OnceWith)
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	e := startEnforcer(t, o)
	e.said()
	var in intruder
	in.start()
	e.kill()
	o.Survival.Off = true
	e = startEnforcer(t, o)
	r := e.said()
	require.False(t, r.Stats.Survives)
	require.Empty(t, r.Unpinned)
	require.Len(t, r.Stats.Replaced, 1)
	in.end()
	require.Zero(t, in.passed.Load())
	require.Empty(t, left(t, o.Survival))
	e.kill()
	lapse(t)
}

// Whoever takes over needs no more rights than whoever loads.
func TestKernelAdoptionWithFewCapabilities(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t), Few: true}
	e := startEnforcer(t, o)
	require.True(t, e.said().Stats.Survives)
	e.kill()
	e = startEnforcer(t, o)
	r := e.said()
	require.NotNil(t, r.Stats.Adopted)
	require.Equal(t, uint32(1), r.Revision)
	require.Equal(t, uint32(2), e.do("swap 1").Revision)
	require.True(t, attempt("file"))
	e.kill()
	e = startEnforcer(t, o)
	require.Equal(t, uint32(2), e.said().Stats.Adopted.Revision)
	e.end("close")
	require.False(t, attempt("file"))
}

// Pins that cannot be taken over are replaced, as those of another version are.
func TestKernelBrokenPins(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	type broken struct {
		gone    string
		adopted bool
	}
	cases := []broken{{"map_users", false}, {"link_t_exec", true}}
	if kerneltest.Long() {
		cases = append(cases, broken{"policy_1", false}, broken{"told", false}, broken{"prog_x_open", true})
	}
	for _, c := range cases {
		t.Run(c.gone, func(t *testing.T) {
			e := startEnforcer(t, o)
			e.said()
			e.kill()
			var in intruder
			in.start()
			names, err := filepath.Glob(o.Survival.Dir + "/*/" + c.gone)
			require.NoError(t, err)
			require.Len(t, names, 1)
			require.NoError(t, os.Remove(names[0]))
			e = startEnforcer(t, o)
			r := e.said()
			require.Equal(t, c.adopted, r.Stats.Adopted != nil)
			require.Equal(t, c.adopted, len(r.Stats.Replaced) == 0)
			require.FileExists(t, names[0], "it is there again")
			layouts, err := os.ReadDir(o.Survival.Dir)
			require.NoError(t, err)
			require.Len(t, layouts, 1)
			in.end()
			require.Zero(t, in.passed.Load())
			e.end("close")
		})
	}
}

// Past the deadline, once nobody has read for so long that a ring is full, the
// programs do nothing at all any more.
func TestKernelDormant(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	o := orders{Survival: pinned(t), Cgroup: newContainer(t)}
	o.Survival.Crash = 2 * time.Second
	e := startEnforcer(t, o)
	e.said()
	e.kill()
	names, err := filepath.Glob(o.Survival.Dir + "/*/" + pinnedMap + bpfMapCounters)
	require.NoError(t, err)
	require.Len(t, names, 1)
	counters, err := ebpf.LoadPinnedMap(names[0], nil)
	require.NoError(t, err)
	defer counters.Close()
	lost := func() (n uint64) {
		require.NoError(t, counters.Lookup(uint32(bpfCounterCOUNT_LOST_ALERTS), &n))
		return n
	}
	lapse(t)
	for i := 0; lost() == 0 && i < 20_000; i++ {
		attempt("file")
	}
	require.NotZero(t, lost())
	attempt("file")
	asleep := lost()
	for range 100 {
		require.False(t, attempt("file"))
	}
	require.Equal(t, asleep, lost(), "nothing looks at them any more")

	e = startEnforcer(t, o)
	require.True(t, e.said().Stats.Adopted.Lapsed)
	require.True(t, attempt("file"), "awake again")
	e.end("close")
}
