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

	"github.com/stretchr/testify/require"

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
	return Survival{Dir: dir, Crash: time.Minute, Stop: 30 * time.Second}
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
	kerneltest.Require(t)
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
func survivalCycles(t *testing.T) int {
	text := os.Getenv("CLOUD_DEFEND_KILLS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// The component is killed again and again at any moment, in the middle of its
// start, of a swap, of its work: nothing that is forbidden passes meanwhile.
// Without pins much does.
func TestKernelNothingPassesWhileKilled(t *testing.T) {
	kerneltest.Require(t)
	cgroup := newContainer(t)
	for _, c := range []struct {
		name   string
		pinned bool
		cycles int
	}{{"pinned", true, survivalCycles(t)}, {"not pinned", false, 2}} {
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
			killed := map[bool]int{}
			slowest := 2 * time.Second
			for range c.cycles {
				e.kill()
				o.Policy = rand.IntN(len(guarded))
				started := time.Now()
				e = startEnforcer(t, o)
				inForce := make(chan struct{})
				go func() {
					for e.stdout.Scan() {
						slowest = time.Since(started)
						close(inForce)
						break
					}
				}()
				select {
				case <-inForce:
					time.Sleep(time.Duration(rand.Int64N(int64(100 * time.Millisecond))))
					killed[true]++
				case <-time.After(time.Duration(rand.Int64N(int64(slowest * 3 / 2)))):
					killed[false]++
				}
			}
			e.kill()
			in.end()
			t.Logf("%d kills, %d of them before the policy was in force, %d attempts, %d passed, in %s; last start %s",
				c.cycles, killed[false], in.attempts.Load(), in.passed.Load(), time.Since(begin), slowest)
			require.Greater(t, in.attempts.Load(), int64(100))
			require.Equal(t, c.pinned, in.passed.Load() == 0)
		})
	}
}
