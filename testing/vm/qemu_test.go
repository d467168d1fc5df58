// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

// follow plays a stream of events to a session of two commands.
func follow(t *testing.T, stream string) (session, string, error) {
	t.Helper()
	var output bytes.Buffer
	s := session{commands: []Command{{Output: &output}, {}}, ready: func() bool { return true }}
	err := s.follow(strings.NewReader(stream))
	return s, output.String(), err
}

func TestSession(t *testing.T) {
	s, output, err := follow(t, `{"Ready":true}
{"Output":3}
a
b{"Exit":{"Code":3}}
{"Output":6}
ignore{"Exit":{"Code":0}}
{"Done":true}
`)
	require.NoError(t, err)
	require.True(t, s.done)
	require.Equal(t, "a\nb", output)
	require.Equal(t, []job.Exit{{Code: 3}, {Code: 0}}, s.result.Exits)
}

func TestSessionFaults(t *testing.T) {
	for stream, want := range map[string]string{
		`{"Fault":"mount /x"}` + "\n": "guest failed: mount /x",
		"garbage\n":                   "guest failed: decode event",
		`{"Ready":true}` + "\n" + `{"Done":true}` + "\n":                       "done after 0 of 2",
		strings.Repeat(`{"Exit":{"Code":0}}`+"\n", 3):                          "after the last of 2",
		strings.Repeat(`{"Exit":{"Code":0}}`+"\n", 2) + `{"Output":1}` + "\nx": "after the last of 2",
	} {
		s, _, err := follow(t, stream)
		require.ErrorIs(t, err, ErrGuest, stream)
		require.ErrorContains(t, err, want)
		require.False(t, s.done)
	}
}

// Whatever ends a machine early, the error says what, how far it had come, and the kernel's last words.
func TestSessionEndsEarly(t *testing.T) {
	console := &tail{limit: 100}
	_, err := console.Write([]byte("Kernel panic - not syncing\r\n"))
	require.NoError(t, err)

	s, _, err := follow(t, "")
	require.NoError(t, err)
	require.ErrorIs(t, s.fault(nil, nil, "", console), ErrBoot)

	s, _, err = follow(t, `{"Ready":true}`+"\n"+`{"Exit":{"Code":0}}`+"\n")
	require.NoError(t, err)
	fault := s.fault(nil, nil, "", console)
	require.ErrorIs(t, fault, ErrPanic)
	require.ErrorContains(t, fault, "after 1 of 2 commands")
	require.ErrorContains(t, fault, "Kernel panic - not syncing")
	require.ErrorIs(t, s.fault(ErrTimeout, nil, "", console), ErrTimeout)

	fault = s.fault(nil, errors.New("exit status 1"), "no such machine\n", console)
	require.EqualError(t, fault, "run qemu: exit status 1: no such machine")
}

func TestQemuArgs(t *testing.T) {
	g := withDefaults(Guest{Kernel: &Kernel{Arch: "amd64", image: "/a b/vmlinuz"}, Cmdline: "lsm=bpf", Disk: "x"})
	args := qemuArgs(g, "/tmp/a b,c")
	require.Contains(t, args, "/a b/vmlinuz")
	require.Contains(t, args, "/tmp/a b,c/initramfs")
	require.Contains(t, args, "if=virtio,format=raw,cache=unsafe,file=/tmp/a b,,c/disk")
	require.Contains(t, args, "console=ttyS0 "+cmdline+" lsm=bpf")
	require.Contains(t, args, "1024")

	g.Disk = ""
	require.NotContains(t, strings.Join(qemuArgs(g, "/tmp"), " "), "virtio")

	g.Kernel.Arch = "arm64"
	args = qemuArgs(g, "/tmp")
	require.Contains(t, args, "virt")
	require.Contains(t, args, "console=ttyAMA0 "+cmdline+" lsm=bpf")
	require.Contains(t, args, "pci-serial,chardev=events")
}

func TestTail(t *testing.T) {
	w := &tail{limit: 10}
	for range 100 {
		_, err := w.Write([]byte("12\n34\n"))
		require.NoError(t, err)
	}
	require.Len(t, w.text, 10)
	require.Equal(t, "12\n34", w.lastLines(2))
}

// Counting instructions needs an emulation in one thread.
func TestQEMUArgs(t *testing.T) {
	g := Guest{Kernel: &Kernel{Arch: "amd64", image: "/k"}, MemoryMB: 1, CPUs: 1}
	require.Contains(t, strings.Join(qemuArgs(g, "/d"), " "), "-accel tcg,thread=multi")
	g.CountInstructions = true
	counting := strings.Join(qemuArgs(g, "/d"), " ")
	require.Contains(t, counting, "-accel tcg,thread=single -icount shift=0,sleep=off")
	require.NotContains(t, counting, "thread=multi")
}
