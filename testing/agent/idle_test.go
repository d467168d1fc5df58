// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/agent"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// What an idle component may take.
const (
	idleMemory = 60e6
	// idleShare is of a processor.
	idleShare = 0.005
	// idleShareOfGuest finds a loop, no more. A guest takes for its own what the host gives to others: the same component
	// takes 2 % of a quiet host's and 24 % of a busy one's.
	idleShareOfGuest = 0.75
)

// An idle component on the machine itself, in whatever mode its kernel has.
func TestIdle(t *testing.T) {
	kerneltest.RequireLong(t)
	a, err := agent.Start()
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	c := &component{T: t, agent: a, program: filepath.Join(t.TempDir(), "cloud-defend"), dir: t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags=grpcnotrace", "-o", c.program, "../../cmd/cloud-defend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	es := openBooks(t)
	c.start()
	c.agent.Expect(map[agent.Key]agent.Unit{input: c.input(1, storms()), output: es.unit()})
	require.Eventually(t, func() bool { return strings.Contains(c.stderr.String(), `"policy in force"`) }, patience, 100*time.Millisecond)
	c.requireIdle(idleShare)
	c.unload(2, storms())
	c.stop()
}

// usage is what the kernel says of the component's process: reading the component's own figures would cost it time.
type usage struct {
	cpu    time.Duration
	memory int64 // resident bytes, what is mapped of the rings included
}

// tickHz is USER_HZ, the unit of times in /proc, which is 100 on all common architectures.
const tickHz = 100

func (c *component) usage() usage {
	c.Helper()
	stat := c.proc("stat")
	// proc(5) counts from the pid; the name in parentheses may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	ticks := c.number(fields[14-3]) + c.number(fields[15-3]) // utime and stime
	u := usage{cpu: time.Duration(ticks) * time.Second / tickHz}
	for line := range strings.Lines(c.proc("smaps_rollup")) {
		if words := strings.Fields(line); words[0] == "Rss:" {
			u.memory = c.number(words[1]) << 10
		}
	}
	return u
}

func (c *component) proc(file string) string {
	c.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.process.Process.Pid, file))
	require.NoError(c, err)
	return string(text)
}

func (c *component) number(text string) int64 {
	c.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(c, err)
	return n
}

// requireIdle looks for a while at a component that has nothing to do.
func (c *component) requireIdle(most float64) {
	c.Helper()
	long := 10 * time.Second
	if kerneltest.Long() {
		long = 5 * time.Minute
	}
	give := time.Now().Add(time.Minute) // what loading the programs took is given back first
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began, before := time.Now(), c.usage()
	peak := before
	for took := time.Duration(0); took < long; took = time.Since(began) {
		<-tick.C
		now := c.usage()
		if peak = (usage{now.cpu, max(peak.memory, now.memory)}); peak.memory >= idleMemory {
			require.Less(c, time.Now(), give, "memory is not given back: %+v\n%s", now, c.proc("smaps_rollup"))
			began, before, peak = time.Now(), now, now
		}
	}
	share := (peak.cpu - before.cpu).Seconds() / time.Since(began).Seconds()
	c.Logf("idle: %.2f %% of a processor, %.1f MB of memory", 100*share, float64(peak.memory)/1e6)
	require.Less(c, share, most)
}
