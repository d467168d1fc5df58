// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package process is the process table: which process runs what, who started
// it, and to which session and container it belongs.
//
// A Table is fed with every event in the order of the kernel's rings, starting
// from a snapshot of /proc, and answers with the Lineage of the acting process
// as of that event. What a Lineage points to never changes afterwards, so it
// can be kept and read elsewhere while the table goes on.
//
// # Entity ids
//
// An entity id is the base64 of pid namespace, boot id, pid and start time in
// nanoseconds since boot. /proc tells the start only in clock ticks of 10 ms,
// so a process that was found there has its start rounded down to the tick in
// its id. The first id that a process got stays for as long as the table
// lives: all documents of one run agree. A process that outlives the component
// gets a second id in the next run (rounded, where the kernel had told the
// nanoseconds before); its pid and process.start, which agree within 10 ms,
// then join the two.
package process

import (
	"encoding/base64"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Origin says how the table came to know a process.
type Origin uint8

// The origins.
const (
	// Unknown: only named by another process or event; nothing but PID, Start
	// and what follows from them is set.
	Unknown Origin = iota
	// FromFork: its fork was seen.
	FromFork
	// FromSnapshot: it was found in /proc at start.
	FromSnapshot
	// FromEvent: no record of its start was seen; made from the first event
	// that it caused.
	FromEvent
)

// Process is what was known about a process at one moment. It is never
// written to once it has left the table.
type Process struct {
	PID uint32
	// Start is the start time in nanoseconds since boot as the table first
	// knew it; see the package comment. StartTime is the same by the wall clock.
	Start     uint64
	StartTime time.Time
	EntityID  string // base64, unique among all hosts and boots

	// Name is the base name of the executable, or Comm where that is unknown.
	Name             string
	Executable       event.Path
	Args             []string // whole argv; nil when unknown
	ArgsCut          bool     // the kernel had more arguments
	WorkingDirectory event.Path
	Comm             string

	UID, GID                   uint32 // effective
	RealUID, RealGID           uint32
	CapEffective, CapPermitted uint64
	TTYMajor, TTYMinor         uint32 // controlling terminal; 0, 0 is none
	Interactive                bool   // see event.Task
	NamespacePID               uint32 // 0 when unknown

	// Previous is the image before the last exec, nil before the first.
	Previous *Image

	Origin Origin
	// Partial: the record of the last exec was lost. Executable is what a
	// later event said; Args and WorkingDirectory are unknown.
	Partial bool

	since time.Time // from when on this version is true
}

// Image is a program as it was started.
type Image struct {
	Executable event.Path
	Args       []string
}

// maxAncestors bounds how far back a Lineage looks: a line on a screen and a
// query on parents need no more, and a chain of forks is the attacker's choice.
const maxAncestors = 8

// Lineage is a process and those it descends from, as of one event. Group,
// session and entry leader are nil where the table does not know them; Parent
// is nil only where not even its pid is known.
type Lineage struct {
	Process       *Process
	Parent        *Process
	GroupLeader   *Process
	SessionLeader *Process
	// EntryLeader is the process with which a container was entered: its
	// first program, or the program of a later exec into it. Nil outside
	// containers. EntryType says how: by the container's runtime ("container")
	// or by an sshd that runs in it ("sshd").
	EntryLeader *Process
	EntryType   string

	// End is when the process ended, zero if it had not at the time or nobody
	// saw it end. ExitCode is set with it.
	End      time.Time
	ExitCode int32

	ancestors     [maxAncestors]*Process
	ancestorCount int
	// strangers are those of the above that are not known to be in the
	// process's own container: its parent, its leaders.
	strangers [3]*Process
}

// Ancestors lists the forking processes, nearest first, at most eight. The
// slice belongs to the Lineage.
func (l *Lineage) Ancestors() []*Process { return l.ancestors[:l.ancestorCount] }

// Together says whether a process of the lineage is known to be in the same
// container as the process itself, so that ids mean the same users there.
func (l *Lineage) Together(p *Process) bool { return !slices.Contains(l.strangers[:], p) }

// Same says whether a leader is the process itself.
func (l *Lineage) Same(leader *Process) bool {
	return leader.PID == l.Process.PID && leader.Start == l.Process.Start
}

// Alike says whether two lineages are of the same processes as they were at the
// same time, not looking beyond the parent.
func (l *Lineage) Alike(other *Lineage) bool {
	return l.Process == other.Process && l.Parent == other.Parent && l.GroupLeader == other.GroupLeader &&
		l.SessionLeader == other.SessionLeader && l.EntryLeader == other.EntryLeader && l.EntryType == other.EntryType &&
		l.strangers == other.strangers && l.End.Equal(other.End) && l.ExitCode == other.ExitCode
}

// Nearest is the lineage without those beyond the parent.
func (l *Lineage) Nearest() Lineage {
	near := *l
	near.ancestors, near.ancestorCount = [maxAncestors]*Process{}, 0
	return near
}

// Identity tells this node and boot from all others.
type Identity struct {
	BootID       string    // /proc/sys/kernel/random/boot_id
	PIDNamespace uint64    // inode number of the initial pid namespace
	BootTime     time.Time // the moment that start times count from
}

func (id Identity) entityID(pid uint32, start uint64) string {
	return string(id.appendEntityID(nil, pid, start))
}

func (id Identity) appendEntityID(to []byte, pid uint32, start uint64) []byte {
	var scratch [96]byte
	b := strconv.AppendUint(scratch[:0], id.PIDNamespace, 10)
	b = append(append(append(b, "__"...), id.BootID...), "__"...)
	b = append(strconv.AppendUint(b, uint64(pid), 10), "__"...)
	b = strconv.AppendUint(b, start, 10)
	return base64.StdEncoding.AppendEncode(to, b)
}

func (id Identity) startTime(start uint64) time.Time {
	return id.BootTime.Add(time.Duration(start))
}

// setImage changes what the process runs.
func (p *Process) setImage(exe event.Path, args []string, cut bool) {
	p.Executable, p.Args, p.ArgsCut = exe, args, cut
	p.Name = p.Comm
	if p.hasFileName() {
		p.Name = path.Base(exe.Name)
	}
}

// hasFileName reports whether the executable's path names it. "/" does not: it
// is what is left of the path of an image on a mount that was detached, as
// runc's own is.
func (p *Process) hasFileName() bool {
	return p.Executable.Name != "" && p.Executable.Name != "/"
}

// setTask takes over what every event says about its task.
func (p *Process) setTask(task *event.Task) {
	p.UID, p.GID, p.RealUID, p.RealGID = task.UID, task.GID, task.RealUID, task.RealGID
	p.CapEffective, p.CapPermitted = task.CapEffective, task.CapPermitted
	p.TTYMajor, p.TTYMinor, p.Interactive = task.TTYMajor, task.TTYMinor, task.Interactive
	p.NamespacePID = task.NamespacePID
	if task.Comm != "" && task.Comm != p.Comm {
		p.Comm = strings.Clone(task.Comm)
	}
	if !p.hasFileName() {
		p.Name = p.Comm
	}
}

// agrees says whether setTask would change anything but the name, which every
// thread may set for itself.
func (p *Process) agrees(task *event.Task) bool {
	return p.UID == task.UID && p.GID == task.GID && p.RealUID == task.RealUID && p.RealGID == task.RealGID &&
		p.CapEffective == task.CapEffective && p.CapPermitted == task.CapPermitted &&
		p.TTYMajor == task.TTYMajor && p.TTYMinor == task.TTYMinor && p.Interactive == task.Interactive &&
		p.NamespacePID == task.NamespacePID
}
