// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"context"
	flags "flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/elastic/mock-es/pkg/api"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/output/elasticsearch"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/queue"
)

var rate = flags.Int("rate", 0, "events a second in BenchmarkChain; 0 is as many as go through")

const lifeEvents = 9

var indexes = []string{ecs.StreamProcess: ecs.StreamProcess.Index("default"), ecs.StreamFile: ecs.StreamFile.Index("default")}

// shell is the parent of all other processes and leads their group and session.
const shell = 101

// life is the records of one process of a container, from its fork to its end.
func life(pid uint32) [lifeEvents][]byte {
	start := func(pid uint32) uint64 { return uint64(pid) * uint64(450*time.Microsecond) } // 20,000 events/s
	at, parent := start(pid), uint32(shell)
	if pid <= shell {
		parent = pid - 1
	}
	record := func(kind bpfKind, hook bpfHook, action bpfAction, i int, path, args string) []byte {
		const exe, cwd = "/usr/local/bin/python3.12", "/srv/app"
		return sample(func(r *bpfRecord) {
			r.Kind, r.Hook, r.Action, r.Outcome = uint8(kind), uint8(hook), uint8(action), uint8(bpfOutcomeOUTCOME_SUCCESS)
			r.Time, r.ScopeCgroup, r.Log, r.Selectors, r.Revision = at+uint64(i)*1000, 4711, 1, 1, 3
			t := &r.Task
			t.Pid, t.Tid, t.Start, t.ParentPid, t.ParentStart, t.Pgid, t.Sid, t.Nspid = pid, pid, at, parent, start(parent), shell, shell, pid
			r.OtherPid, r.OtherStart = parent, start(parent)
			r.PathLen, r.ExeLen, r.CwdLen, r.ArgsLen = uint32(len(path)), uint32(len(exe)), uint32(len(cwd)), uint32(len(args))
		}, path+exe+cwd+args)
	}
	var out [lifeEvents][]byte
	out[0] = record(bpfKindKIND_FORK, bpfHookHOOK_SCHED_FORK, bpfActionACTION_FORK, 0, "/bin/dash", "sh\x00")
	out[1] = record(bpfKindKIND_EXEC, bpfHookHOOK_SCHED_EXEC, bpfActionACTION_EXEC, 1, "/usr/local/bin/python3.12", "python3\x00-m\x00http.server\x00")
	for i := 2; i < lifeEvents-1; i++ {
		out[i] = record(bpfKindKIND_FILE, bpfHookHOOK_FILE_OPEN, bpfActionACTION_MODIFICATION, i, fmt.Sprintf("/srv/app/data/%d/%d.json", pid, i), "")
	}
	out[lifeEvents-1] = record(bpfKindKIND_EXIT, bpfHookHOOK_EXIT, bpfActionACTION_END, lifeEvents, "", "")
	return out
}

// chain is what stands behind the ring, except for what waits for a container.
type chain struct {
	rings   *rings
	ring    *ring
	table   *process.Table
	builder *ecs.Builder
	inside  container.Container
	match   ecs.Match
	lineage process.Lineage
	docs    []ecs.Doc
	batch   []queue.Doc
	bytes   int // of all documents
}

// ballast is what cmd/cloud-defend has. As there it is made first of all: where
// memory had been used before, it would be cleared, and be memory.
var ballast = make([]byte, 64<<20)

func newChain() *chain {
	debug.SetGCPercent(50)                    // as there, too
	boot := time.Unix(1_800_000_000, 0).UTC() // as bootTime has it
	id := process.Identity{BootID: "58842e5e-4780-43fa-be88-e935d902266f", PIDNamespace: 0xEFFFFFFC, BootTime: boot}
	return &chain{
		rings: &rings{tests: &canaries{}, boot: boot}, ring: &ring{tentative: map[settleKey]held{}},
		table: process.NewTable(id),
		builder: ecs.NewBuilder(ecs.Static{Agent: ecs.Agent{ID: "a", Name: "node-1", Version: "9.1.0"}, Host: host.Facts{
			BootID: id.BootID, PIDNamespace: id.PIDNamespace, Hostname: "node-1", Architecture: "x86_64", IPs: []string{"192.0.2.7"},
		}}),
		inside: container.Container{ID: strings.Repeat("0f", 32), Name: "web", CgroupID: 4711, Runtime: "containerd", Complete: true},
		match:  ecs.Match{Selectors: []string{"all"}, Log: true, PolicyID: "p", PolicyRevision: 3},
	}
}

// populate starts the container's first program and a shell.
func (c *chain) populate() {
	c.take(life(shell - 2)[1]) // what forked the first is not seen to start
	for _, pid := range []uint32{shell - 1, shell} {
		born := life(pid)
		c.take(born[0])
		c.take(born[1])
	}
	c.batch = nil
}

// take takes a record through all stages but the queue.
func (c *chain) take(raw []byte) {
	ev, _ := c.rings.take(c.ring, raw)
	c.lineage = c.table.Apply(ev)
	c.docs = c.builder.Documents(c.docs[:0], ev, &c.lineage, &c.inside, &c.match)
	for _, d := range c.docs {
		c.bytes += len(d.JSON)
		c.batch = append(c.batch, queue.Doc{Index: indexes[d.Stream], ID: d.ID, JSON: d.JSON})
	}
}

// serveStandIn is a process of its own: Elastic's stand-in for Elasticsearch. It
// says where it listens, and ends with its input.
func serveStandIn() {
	server := httptest.NewServer(api.NewAPIHandler(stringer("u"), "c", nil, time.Now().Add(time.Hour), 0, 0, 0, 0, 0, 0))
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// standIn is the process that this binary is once more.
type standIn struct {
	cmd *exec.Cmd
	in  io.Closer
	url string
}

func startStandIn(b *testing.B) *standIn {
	s := &standIn{cmd: exec.Command("/proc/self/exe")}
	s.cmd.Env = []string{boxEnv + "=elasticsearch"}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := s.cmd.StdinPipe()
	require.NoError(b, err)
	out, err := s.cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, s.cmd.Start())
	s.in = in
	_, err = fmt.Fscanln(out, &s.url)
	require.NoError(b, err)
	return s
}

// end returns what the process has used of all processors.
func (s *standIn) end(b *testing.B) time.Duration {
	require.NoError(b, s.in.Close())
	require.NoError(b, s.cmd.Wait())
	return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// BenchmarkChain takes records as the kernel lays them out through decoding,
// lineage, documents, queue and output into Elastic's stand-in for
// Elasticsearch, which is another process. An operation is one event.
// cpu-µs/event and MB-most are this process's, the stand-in has its own figure;
// both are comparable on a busy machine, too: 20,000 events/s on two processors
// allow 100 together.
//
//	go test -run - -bench Chain -benchtime 600000x -cpu 2 ./pkg/probe -rate 20000
func BenchmarkChain(b *testing.B) {
	server := startStandIn(b)
	cfg, err := elasticsearch.Parse(map[string]any{"hosts": []any{server.url}, "preset": "balanced"})
	require.NoError(b, err)
	out, err := elasticsearch.New(cfg, elasticsearch.Options{})
	require.NoError(b, err)
	q, err := queue.Open(queue.Options{Dir: b.TempDir()})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	go q.Run(ctx)
	go out.Run(ctx, q)
	c := newChain()
	c.populate()

	before, deepest := cpu(b), uint64(0)
	began, n := time.Now(), 0
	var records [lifeEvents][]byte
	for b.Loop() {
		if n%lifeEvents == 0 {
			records = life(uint32(1000 + n/lifeEvents))
		}
		if n%lifeEvents == 0 && len(c.batch) > 250 {
			require.NoError(b, q.Push(ctx, c.batch))
			c.batch = c.batch[:0]
			deepest = max(deepest, q.Stats().Queued())
			if *rate > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(*rate))))
			} else if q.Stats().Queued() > 10_000 {
				require.NoError(b, q.Drain(ctx))
			}
		}
		c.take(records[n%lifeEvents])
		n++
	}
	pushed := time.Since(began)
	require.NoError(b, q.Push(ctx, c.batch))
	require.NoError(b, q.Drain(ctx))
	spent := cpu(b) - before
	st := q.Stats()
	require.Equal(b, []uint64{uint64(n), uint64(n), 0}, []uint64{st.Lanes[queue.Logs].Accepted, st.Lanes[queue.Logs].Counts[queue.Delivered], st.Lost()})
	if reached := float64(n) / pushed.Seconds(); reached < 0.95*float64(*rate) {
		b.Errorf("void: only %.0f events/s were there", reached)
	}
	b.ReportMetric(float64(n)/pushed.Seconds(), "events/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(n), "cpu-µs/event")
	b.ReportMetric(float64(server.end(b).Microseconds())/float64(n), "stand-in-cpu-µs/event")
	b.ReportMetric(float64(c.bytes)/float64(n), "B/doc")
	b.ReportMetric(float64(deepest), "deepest-queue")
	b.ReportMetric(resident(b)/1e6, "MB-most")
}

// BenchmarkTake is what one processor can take from the ring: records are
// decoded, get their lineage and become documents. events/cpu-s is comparable on
// a busy machine, too.
func BenchmarkTake(b *testing.B) {
	b.Run("file", func(b *testing.B) { benchmarkTake(b, fileRecords...) })
	b.Run("process", func(b *testing.B) { benchmarkTake(b, processRecords...) })
}

// Which records of a life are taken, one after another.
var (
	fileRecords    = []int{2, 3, 4, 5, 6, 7}
	processRecords = []int{0, 1, lifeEvents - 1} // fork, exec and end
)

func benchmarkTake(b *testing.B, which ...int) {
	c, next := again(which)
	b.ReportAllocs()
	before, n := cpu(b), 0
	for b.Loop() {
		next()
		n++
	}
	b.ReportMetric(float64(n)/(cpu(b)-before).Seconds(), "events/cpu-s")
	b.ReportMetric(float64(c.bytes)/float64(n), "B/doc")
}

// again takes the same records of a life again and again, one at each call.
func again(which []int) (c *chain, next func()) {
	records, n := life(1000), 0
	c = newChain()
	c.populate()
	c.take(records[0])
	c.take(records[1])
	return c, func() {
		raw := records[which[n%len(which)]]
		r := (*bpfRecord)(unsafe.Pointer(&raw[0]))
		r.Time += 1 << 20
		if r.Kind != uint8(bpfKindKIND_FILE) {
			pid := uint32(2000 + n/len(which))
			r.Task.Pid, r.Task.Tid, r.Task.Start = pid, pid, uint64(pid)<<20
		}
		c.take(raw)
		c.batch = c.batch[:0]
		n++
	}
}

// A record takes at most two allocations until it is a document.
func TestTakeAllocations(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // newChain changes it
	for name, which := range map[string][]int{"file": fileRecords, "process": processRecords} {
		_, next := again(which)
		const events = 3000
		allocations := testing.AllocsPerRun(1, func() {
			for range events {
				next()
			}
		})
		t.Logf("%s: %.2f allocations an event", name, allocations/events)
		require.LessOrEqual(t, allocations, 2.0*events, name)
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

func usage(b *testing.B) (u syscall.Rusage) {
	b.Helper()
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u
}

// cpu is what this process has used of all processors.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	u := usage(b)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the most memory that this process had, in bytes.
func resident(b *testing.B) float64 {
	b.Helper()
	runtime.GC()
	u := usage(b)
	runtime.KeepAlive(ballast)
	return float64(u.Maxrss) * 1024
}
