// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// Threads of one processor try what is refused, so deep that hardly anything else takes their time: on a kernel that
// preempts itself they lose the processor in the program. None may take scratch memory along, or others would be refused
// blindly. With BPF LSM none gets through; without, those do that the kernel shows to no program, and are counted. On a
// kernel whose verifier does not let programs hold their processor, the blind refusals are the open end of this.
func TestKernelProcessorIsHeld(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, "7.0") // which preempts itself
	const (
		threads = 32
		depth   = 1500
	)
	g := newGround(t)
	deep := makeDeep(t, stormPlace(4), depth)
	_, err := g.p.Swap(hookRules(t, "modifyFile"), scopes(map[uint64]Bits{g.cgroup: refusedBits}))
	require.NoError(t, err)
	before := g.p.Stats()

	var attempts, passed atomic.Int64
	var stop atomic.Bool
	var running sync.WaitGroup
	for range threads {
		running.Go(func() {
			runtime.LockOSThread()
			_ = stayOn(0)
			for !stop.Load() {
				attempts.Add(1)
				fd, err := unix.Openat(deep, "file", unix.O_WRONLY|unix.O_CLOEXEC, 0)
				if err == nil {
					passed.Add(1)
					_ = unix.Close(fd)
				}
			}
		})
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			select {
			case <-g.p.Events():
			case <-time.After(time.Second):
				if stop.Load() {
					return
				}
			}
		}
	}()
	time.Sleep(4 * time.Second)
	stop.Store(true)
	running.Wait()
	<-received
	after := g.p.Stats()
	missed := after.Missed - before.Missed
	t.Logf("%d attempts, %d passed, %d not shown to the program, %d refused without scratch memory",
		attempts.Load(), passed.Load(), missed, after.Blind-before.Blind)
	require.Greater(t, attempts.Load(), int64(300))
	require.GreaterOrEqual(t, missed, uint64(passed.Load()), "each that passed is counted")
	require.Equal(t, before.Blind, after.Blind)
	if g.p.Mode() == LSM {
		require.Zero(t, passed.Load())
	}
}

// makeDeep makes a file that many folders below another, and returns the descriptor of its own.
func makeDeep(t *testing.T, in string, depth int) int {
	t.Helper()
	fd, err := unix.Open(in, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	for range depth {
		require.NoError(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		fd = next
	}
	require.NoError(t, unix.Mknodat(fd, "file", unix.S_IFREG|0o600, 0))
	t.Cleanup(func() {
		unix.Close(fd)
		require.NoError(t, os.RemoveAll(in))
	})
	return fd
}
