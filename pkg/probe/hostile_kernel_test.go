// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/mapping"
)

const badPolicy = `
file:
  selectors:
    - {name: all, operation: [createFile, modifyFile, deleteFile], targetFilePath: [/etc/**, /tmp/marker]}
  responses:
    - {match: [all], actions: [log]}
process:
  selectors:
    - {name: all, operation: [fork, exec]}
    - {name: tool, operation: [exec], processExecutable: [/usr/bin/tool]}
  responses:
    - {match: [all], actions: [log]}
    - {match: [tool], actions: [alert, block]}
`

// hostile is a box whose events become documents.
type hostile struct {
	*box
	p       *Probe
	table   *process.Table
	builder *ecs.Builder
}

func newHostile(t *testing.T, name string) *hostile {
	t.Helper()
	h := &hostile{p: openProbe(t), box: newBox(t, name)}
	require.Empty(t, h.do("create-executable", "/usr/bin/tool"))
	id := process.Identity{BootID: "58842e5e-4780-43fa-be88-e935d902266f", PIDNamespace: 0xEFFFFFFC, BootTime: h.p.BootTime()}
	h.table = process.NewTable(id)
	h.builder = ecs.NewBuilder(ecs.Static{Agent: ecs.Agent{ID: "a", Name: "node-1", Version: "9.1.0"},
		Host: host.Facts{BootID: id.BootID, PIDNamespace: id.PIDNamespace, Hostname: "node-1", Architecture: "x86_64"}})
	_, err := h.p.Swap(compile(t, badPolicy), scopes(map[uint64]Bits{h.cgroup: {every, every}}))
	require.NoError(t, err)
	require.Empty(t, h.do("create", "/tmp/marker"))
	h.file("/tmp/marker") // the box's own start is before it
	return h
}

// raw does an operation whose arguments are any bytes.
func (h *hostile) raw(args ...string) string {
	h.t.Helper()
	digits := []string{"hex"}
	for _, arg := range args {
		digits = append(digits, hex.EncodeToString([]byte(arg)))
	}
	return h.do(digits...)
}

// document is the next event that the predicate takes, and the document made of
// it, which must be one that is stored as it is.
func (h *hostile) document(what string, take func(*event.Event) bool) (*event.Event, document) {
	h.t.Helper()
	var l process.Lineage
	ev := next(h.t, h.p, what, func(ev *event.Event) bool {
		l = h.table.Apply(ev)
		return take(ev)
	})
	c := container.Container{ID: strings.Repeat("0f", 32), Name: "web", CgroupID: h.cgroup, Runtime: "containerd", Complete: true}
	alert := ev.Outcome == event.OutcomeRefused
	docs := h.builder.Documents(nil, ev, &l, &c, &ecs.Match{Selectors: []string{"all"}, Log: !alert, Alert: alert, PolicyID: "p", PolicyRevision: 1})
	require.Len(h.t, docs, 1, what)
	faults, err := mapping.Faults(docs[0].JSON)
	require.NoError(h.t, err, "%s: %s", what, docs[0].JSON)
	require.Empty(h.t, faults, what)
	var d document
	require.NoError(h.t, json.Unmarshal(docs[0].JSON, &d))
	return ev, d
}

// document is what is looked at of one.
type document struct {
	Time time.Time `json:"@timestamp"`
	File struct {
		Path, Name string
		Ext        struct{ Original struct{ Path string } }
	}
	Process struct {
		PID              int
		EntityID         string `json:"entity_id"`
		Executable       string
		Args             []string
		ArgsCount        *int   `json:"args_count"`
		WorkingDirectory string `json:"working_directory"`
		Start            time.Time
		Parent           struct {
			Executable string
			EntityID   string `json:"entity_id"`
		}
	}
	CloudDefend struct{ Truncated, Unresolved, Escaped []string } `json:"cloud_defend"`
}

// unescape has the bytes back of a field that cloud_defend.escaped names.
func unescape(t *testing.T, text string) string {
	t.Helper()
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		i++
		if text[i] == 'x' {
			b, err := hex.DecodeString(text[i+1 : i+3])
			require.NoError(t, err)
			out = append(out, b...)
			i += 2
			continue
		}
		out = append(out, text[i])
	}
	return string(out)
}

func (h *hostile) file(path string) (*event.Event, document) {
	h.t.Helper()
	return h.document(fmt.Sprintf("of %.40q", path), func(ev *event.Event) bool { return ev.Kind == event.File && ev.Path.Name == path })
}

// A name is any bytes but a slash, up to 255 of them. The document has them all.
func TestKernelHostileNames(t *testing.T) {
	kerneltest.Require(t)
	h := newHostile(t, "names")
	before := "/etc/before"
	require.Empty(t, h.do("create", before))
	for what, name := range map[string]string{
		"newlines":                 "a\nb\r\n{\"x\":1}\n",
		"controls":                 "\x01\x1b[2J\x7f\t\"\\x41",
		"not UTF-8":                "\xff\xfe\\n\xc3(\xed\xa0\x80\xf4\x90\x80\x80",
		"255 bytes":                strings.Repeat("n", 255),
		"255 bytes of newlines":    strings.Repeat("\n", 255),
		"255 bytes, not UTF-8":     strings.Repeat("\x80", 255),
		"255 bytes, cut in a rune": "x" + strings.Repeat("\xe2\x82\xac", 84) + "\xe2\x82",
	} {
		t.Run(what, func(t *testing.T) {
			path := "/etc/" + name
			check := func(field, got, want string, d document) {
				t.Helper()
				if slices.Contains(d.CloudDefend.Escaped, field) {
					got = unescape(t, got)
				}
				require.Equal(t, want, got, field)
				require.Equal(t, strings.ToValidUTF8(want, "") != want, slices.Contains(d.CloudDefend.Escaped, field), field)
			}
			require.Empty(t, h.raw("create", path))
			_, d := h.file(path)
			check("file.path", d.File.Path, path, d)
			check("file.name", d.File.Name, name, d)
			require.Empty(t, d.CloudDefend.Truncated)
			require.NotContains(t, d.CloudDefend.Unresolved, "file.path")
			require.Empty(t, h.raw("rename", path, before))
			_, d = h.file(before)
			check("file.Ext.original.path", d.File.Ext.Original.Path, path, d)
		})
	}
}

// Paths are whole up to 4,096 bytes, which takes relative paths to get to, and
// 2,000 components. Of a longer one the end is there, and the document says so.
func TestKernelHostilePaths(t *testing.T) {
	kerneltest.Require(t)
	h := newHostile(t, "paths")
	descend := func(name string, times int) { require.Empty(t, h.do("descend", name, strconv.Itoa(times))) }
	require.Empty(t, h.do("mkdir", "/etc/w"))
	require.Empty(t, h.do("chdir", "/etc/w"))
	descend(strings.Repeat("w", 254), 15)
	long := "/etc/w" + strings.Repeat("/"+strings.Repeat("w", 254), 15)
	for _, bytes := range []int{4095, 4096, 4097, 4096 + 150} {
		path := long + "/" + strings.Repeat("x", 200)
		name := strings.Repeat("y", bytes-len(path)-1)
		require.Empty(t, h.do("mkdir", strings.Repeat("x", 200)))
		require.Empty(t, h.do("create", strings.Repeat("x", 200)+"/"+name))
		path += "/" + name
		require.Len(t, path, bytes)
		ev, d := h.document("of a long path", func(ev *event.Event) bool { return ev.Kind == event.File && strings.HasSuffix(ev.Path.Name, "/"+name) })
		require.Equal(t, bytes > 4096, ev.Path.Truncated, bytes)
		require.Equal(t, ev.Path.Name, d.File.Path)
		require.False(t, ev.Path.Unresolved)
		if bytes <= 4096 {
			require.Equal(t, path, d.File.Path)
			require.Empty(t, d.CloudDefend.Truncated)
			continue
		}
		require.True(t, strings.HasSuffix(path, d.File.Path))
		require.Contains(t, d.CloudDefend.Truncated, "file.path")
	}
	require.Empty(t, h.do("chdir", "/etc"))
	descend("d", 1998)
	require.Empty(t, h.do("create", "x"))
	_, d := h.document("of a deep path", func(ev *event.Event) bool { return ev.Kind == event.File && strings.HasSuffix(ev.Path.Name, "/d/x") })
	require.Equal(t, "/etc"+strings.Repeat("/d", 1998)+"/x", d.File.Path)
	require.Empty(t, d.CloudDefend.Truncated)
	require.NotContains(t, d.CloudDefend.Unresolved, "file.path")
	require.Empty(t, h.do("exec", "/box"))
	_, d = h.document("of an exec in a deep folder", func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Path.Name == "/box" })
	require.Equal(t, "/etc"+strings.Repeat("/d", 1998), d.Process.WorkingDirectory)
	require.Empty(t, d.CloudDefend.Truncated)
	descend("d", 100)
	require.Empty(t, h.do("create", "x"))
	_, d = h.document("of a path without an end", func(ev *event.Event) bool { return ev.Kind == event.File && ev.Path.Unresolved })
	require.Contains(t, d.CloudDefend.Unresolved, "file.path")
	require.True(t, strings.HasSuffix(d.File.Path, "/d/x"))
}

// argv may have megabytes or nothing, also of what is refused.
func TestKernelHostileArguments(t *testing.T) {
	kerneltest.Require(t)
	h := newHostile(t, "arguments")
	const kilobyte = 1 << 10
	for _, c := range []struct {
		what     string
		letter   string
		length   int
		times    int
		cut      bool // of the exec
		cutFirst bool // of the refused exec
	}{
		{"2 MiB in one-kilobyte arguments", "k", kilobyte - 1, 2 * kilobyte, true, true},
		{"2 MiB in the longest arguments", "l", 128*kilobyte - 1, 16, true, true},
		{"as many as a refused exec shows", "a", 1, 64, false, false},
		{"one more", "a", 1, 65, false, true},
		{"as long as a refused exec shows", "a", kilobyte - 1, 3, false, false},
		{"one byte longer", "a", kilobyte, 3, false, true},
		{"as much as a record holds", "r", kilobyte - 1, 8, false, false},
		{"one argument more", "r", kilobyte - 1, 9, true, true},
		{"empty arguments", "", 0, 64, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			argument := strings.Repeat(c.letter, c.length)
			for _, program := range []string{"/box", "/usr/bin/tool"} {
				cut, errno := c.cut, ""
				if program != "/box" {
					cut, errno = c.cutFirst, "EPERM"
				}
				require.Equal(t, errno, h.do("exec-many", program, fmt.Sprint(c.times), c.letter, fmt.Sprint(c.length)), program)
				ev, d := h.document("exec of "+program, func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Path.Name == program })
				require.Equal(t, cut, ev.ArgsCut, program)
				require.Equal(t, cut, slices.Contains(d.CloudDefend.Truncated, "process.args"), program)
				require.Equal(t, ev.Args, d.Process.Args)
				if !cut {
					require.Equal(t, slices.Repeat([]string{argument}, c.times), ev.Args, program)
					require.Equal(t, c.times, *d.Process.ArgsCount)
					continue
				}
				require.NotEmpty(t, ev.Args)
				require.Nil(t, d.Process.ArgsCount, "how many there were is not known")
				for _, arg := range ev.Args {
					require.True(t, strings.HasPrefix(argument, arg), "%s: %.20q", program, arg)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		require.Equal(t, "EPERM", h.do("exec-many", "/usr/bin/tool", "0", "", "0"))
		ev, d := h.document("refused exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Path.Name == "/usr/bin/tool" })
		require.LessOrEqual(t, len(ev.Args), 1)
		require.False(t, ev.ArgsCut)
		require.Empty(t, d.CloudDefend.Truncated)
		require.Empty(t, h.do("exec-many", "/box", "0", "", "0"))
		ev, d = h.document("exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Path.Name == "/box" })
		if ev.Args != nil { // since 5.18 the kernel puts an empty one there
			require.Equal(t, []string{""}, ev.Args)
		}
		require.Equal(t, "/box", d.Process.Executable)
		require.Empty(t, d.CloudDefend.Truncated)
	})
}

// What an event says needs nothing of the process any more: here it has ended, and
// another has its number, before the event is read. The wall clock goes to and
// fro meanwhile; the order of events and who is who does not depend on it.
func TestKernelProcessesThatAreGone(t *testing.T) {
	kerneltest.Require(t)
	h := newHostile(t, "gone")
	require.Empty(t, h.do("exec", "/box", "first"))
	exec := func(arg string) (*event.Event, document) {
		return h.document(arg+" exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && slices.Contains(ev.Args, arg) })
	}
	first, firstDoc := exec("first")
	pid := first.Task.PID

	step := func(by time.Duration) {
		now := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
		require.NoError(t, unix.ClockSettime(unix.CLOCK_REALTIME, &now))
	}
	for i, by := range []time.Duration{time.Hour, -2 * time.Hour, time.Hour} {
		step(by)
		arg := fmt.Sprintf("again%d", i)
		// the next process gets the number after this one
		require.NoError(t, os.WriteFile("/proc/sys/kernel/ns_last_pid", fmt.Append(nil, pid-1), 0o644))
		require.Empty(t, h.do("exec", "/box", arg))
		require.NoFileExists(t, fmt.Sprintf("/proc/%d", pid))
		again, doc := exec(arg)
		require.Equal(t, pid, again.Task.PID, "the number is used again")
		require.NotEqual(t, first.Task.Start, again.Task.Start)
		require.NotEqual(t, firstDoc.Process.EntityID, doc.Process.EntityID)
		require.Equal(t, firstDoc.Process.Parent.EntityID, doc.Process.Parent.EntityID)
		require.Equal(t, "/box", doc.Process.Executable)
		require.Equal(t, []string{"box", arg}, doc.Process.Args)
		require.Equal(t, "/", doc.Process.WorkingDirectory)
		require.True(t, doc.Time.After(firstDoc.Time), "%s, after %s", doc.Time, firstDoc.Time)
		require.Less(t, doc.Time.Sub(firstDoc.Time), 10*time.Minute, "the clock's step is not in it")
		require.True(t, doc.Process.Start.After(firstDoc.Process.Start))
		for _, field := range []string{"process.args", "process.executable", "process.working_directory", "process.parent.executable"} {
			require.NotContains(t, doc.CloudDefend.Unresolved, field)
		}
		_, end := h.document(arg+" end", func(ev *event.Event) bool {
			return ev.Kind == event.Exit && ev.Task.PID == pid && ev.Task.Start == again.Task.Start
		})
		require.Equal(t, doc.Process.EntityID, end.Process.EntityID)
		require.Equal(t, []string{"box", arg}, end.Process.Args)
		first, firstDoc = again, doc
	}
}
