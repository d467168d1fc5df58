// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Found is a process as /proc shows it.
type Found struct {
	event.Task       // Start is a whole number of clock ticks; TID is PID
	Executable       string
	Args             []string
	WorkingDirectory string
	// MountNamespace is the inode number of its mount namespace, 0 if it may
	// not be read.
	MountNamespace uint64
}

// Snapshot lists the processes under procRoot, /proc or where the host's is
// mounted, by start time. Processes that end meanwhile are left out, and so is
// what may not be read of a process. Only an unreadable procRoot is an error.
//
// To miss nothing, take it after the probe has been attached: what happens
// meanwhile waits in the rings.
func Snapshot(procRoot string) ([]Found, error) {
	entries, err := os.ReadDir(procRoot)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Found
	for _, e := range entries {
		pid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		if f, ok := readProcess(filepath.Join(procRoot, e.Name())); ok && f.PID == uint32(pid) {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("list processes: %s shows none", procRoot)
	}
	slices.SortStableFunc(found, func(a, b Found) int {
		if a.Start != b.Start {
			return int(int64(a.Start - b.Start))
		}
		return int(a.PID) - int(b.PID)
	})
	return found, nil
}

// readProcess reads one directory of /proc. Not ok means that the process is
// gone.
func readProcess(dir string) (f Found, ok bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Found{}, false
	}
	if f.Task, err = parseStat(stat); err != nil {
		return Found{}, false
	}
	// What cannot be read stays empty: kernel threads have no executable, and
	// other users' files are closed to an unprivileged reader.
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil {
		parseStatus(status, &f.Task)
	}
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		f.Executable = strings.TrimSuffix(exe, " (deleted)")
	}
	if cwd, err := os.Readlink(filepath.Join(dir, "cwd")); err == nil {
		f.WorkingDirectory = strings.TrimSuffix(cwd, " (deleted)")
	}
	if cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		f.Args = splitArgs(cmdline)
	}
	f.Interactive = onTerminal(dir, 0, &f.Task) && onTerminal(dir, 2, &f.Task)
	if ns, err := os.Readlink(filepath.Join(dir, "ns", "mnt")); err == nil {
		f.MountNamespace = namespaceInode(ns)
	}
	return f, true
}

// onTerminal says whether a descriptor is the controlling terminal, by the name
// of what it refers to: to ask the file system could mean to wait for one that a
// container made. Only names of pseudo-terminals are compared.
func onTerminal(dir string, fd int, t *event.Task) bool {
	const pseudoTerminals = 136 // major, admin-guide/devices.txt
	name, err := os.Readlink(filepath.Join(dir, "fd", strconv.Itoa(fd)))
	if err != nil || t.TTYMajor == 0 {
		return false
	}
	return name == "/dev/tty" || t.TTYMajor == pseudoTerminals && name == "/dev/pts/"+strconv.Itoa(int(t.TTYMinor))
}

// parseStat reads /proc/<pid>/stat (proc_pid_stat(5)). The command may hold
// spaces and parentheses, so the fields count from the last parenthesis.
func parseStat(b []byte) (event.Task, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return event.Task{}, fmt.Errorf("parse stat: no command in %q", b)
	}
	fields := strings.Fields(string(b[end+1:]))
	const state, ppid, pgrp, session, tty, start = 0, 1, 2, 3, 4, 19
	if len(fields) <= start {
		return event.Task{}, fmt.Errorf("parse stat: %d fields after the command", len(fields))
	}
	var err error
	number := func(s string) uint64 {
		n, e := strconv.ParseUint(s, 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("parse stat: %w", e)
		}
		return n
	}
	pid := uint32(number(strings.TrimSpace(string(b[:open]))))
	// tty_nr is printed signed; its minor is split around the major.
	device, ttyErr := strconv.ParseInt(fields[tty], 10, 64)
	if ttyErr != nil {
		return event.Task{}, fmt.Errorf("parse stat: %w", ttyErr)
	}
	dev := uint32(device)
	t := event.Task{
		PID: pid, TID: pid,
		ParentPID:        uint32(number(fields[ppid])),
		GroupLeaderPID:   uint32(number(fields[pgrp])),
		SessionLeaderPID: uint32(number(fields[session])),
		Start:            number(fields[start]) * tick,
		TTYMajor:         dev >> 8 & 0xfff,
		TTYMinor:         dev&0xff | dev>>12&0xfff00,
		Comm:             string(b[open+1 : end]),
	}
	return t, err
}

// parseStatus reads ids and capabilities of /proc/<pid>/status.
func parseStatus(b []byte, t *event.Task) {
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "Uid":
			t.RealUID, t.UID = realAndEffective(fields)
		case "Gid":
			t.RealGID, t.GID = realAndEffective(fields)
		case "NSpid": // innermost last
			t.NamespacePID = parseID(fields[len(fields)-1])
		case "CapPrm":
			t.CapPermitted, _ = strconv.ParseUint(fields[0], 16, 64)
		case "CapEff":
			t.CapEffective, _ = strconv.ParseUint(fields[0], 16, 64)
		}
	}
}

func realAndEffective(fields []string) (uint32, uint32) {
	if len(fields) < 2 {
		return 0, 0
	}
	return parseID(fields[0]), parseID(fields[1])
}

func parseID(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// splitArgs splits the strings of /proc/<pid>/cmdline, each ended by a NUL.
func splitArgs(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// namespaceInode reads the number in the text of a link such as
// "mnt:[4026531841]".
func namespaceInode(link string) uint64 {
	_, rest, _ := strings.Cut(link, "[")
	n, _ := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64)
	return n
}
