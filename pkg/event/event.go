// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package event says what happened in the kernel, in plain Go values: no C
// layout, no BPF and no ECS.
//
// Package probe makes events out of ring records; the stages behind it read
// them and never write to them. An Event owns all its memory.
package event

import "time"

// Kind tells which of an Event's fields carry meaning.
type Kind uint8

// The kinds of events.
const (
	// Fork: Task is the child, Parent the process that forked. A refused
	// fork has no child: Task is the process that tried.
	Fork Kind = iota + 1
	// Exec: Task is the process after the exec, and Path and Executable are
	// its image. When the exec was refused, Task is the process that tried,
	// Path the image it asked for and Executable the one it kept.
	Exec
	// Exit: the last thread of Task ended.
	Exit
	// File: Task did, or tried, an operation on Path.
	File
	// CgroupNew and CgroupGone: a cgroup appeared or went; see Cgroup.
	CgroupNew
	CgroupGone
)

// Action is the ECS event.action of an operation.
type Action uint8

// The actions, process ones first.
const (
	ActionFork Action = iota + 1
	ActionExec
	ActionEnd
	ActionCreation
	ActionOpen
	ActionModification
	ActionRename
	ActionLink
	ActionDeletion
	ActionAccess // an open for reading
)

var actionNames = [...]string{
	ActionFork:         "fork",
	ActionExec:         "exec",
	ActionEnd:          "end",
	ActionCreation:     "creation",
	ActionOpen:         "open",
	ActionModification: "modification",
	ActionRename:       "rename",
	ActionLink:         "link",
	ActionDeletion:     "deletion",
	ActionAccess:       "access",
}

// String returns the value of ECS event.action.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return ""
}

// Outcome is what is known about the operation's success.
type Outcome uint8

// The outcomes. Path hooks run before the kernel's own permission checks, so
// an operation that was let through there may still have failed.
const (
	OutcomeUnknown Outcome = iota
	OutcomeSuccess
	OutcomeRefused
)

// Event is one operation of one process, or one change of a cgroup.
type Event struct {
	Kind Kind
	// Time is the wall-clock time of the operation, made from the kernel's
	// boot clock, so its order is that of the kernel on this node.
	Time time.Time
	// Hook is the value of cloud_defend.hook_point, such as
	// "lsm__path_mknod" or "tracepoint__sched_process_exec".
	Hook    string
	Action  Action
	Outcome Outcome

	Task   Task
	Parent Parent // of Fork the forking process

	// Path is the operation's object as its container sees it: the file, or
	// the executable of an Exec. PathFrom is the other end of a rename (the
	// old name) or of a link (the name linked to).
	Path     Path
	PathFrom Path
	// Target is where a symbolic link that is made leads, as its maker said it.
	Target   string
	FileMode uint32 // st_mode of the object where it exists, else the requested mode
	// Executable is the running image of Task.
	Executable Path
	// Args is argv of an Exec; ArgsCut says that the kernel had more.
	Args    []string
	ArgsCut bool
	// WorkingDirectory is set on Exec.
	WorkingDirectory Path
	ExitCode         int32 // Exit: the wait status's exit code, or 128+signal

	Scope    Scope
	Cgroup   Cgroup
	Decision Decision

	// Folded is set on an event that stands for several.
	Folded Folded
	// Steps are all that a process's event tells of, itself included, when that
	// is more than one: the fork, exec and end of a short life, in order.
	Steps []Step
}

// Step is one of several events that are told of together.
type Step struct {
	Action Action
	Hook   string
	Time   time.Time
}

// Folded says of which identical events another one is the first.
type Folded struct {
	Count uint64 // all of them; 0 for an event that stands for itself alone
	Last  time.Time
}

// Path is a path as seen from the root of the acting process's mount
// namespace; chroot(2) does not change it.
type Path struct {
	Name string
	// Truncated: Name is only the tail of the path. Unresolved: the walk to
	// the root did not end, and the policy took the path for matching.
	Truncated, Unresolved bool
	// Volume: the file lies on a mount other than the container's root file
	// system. VolumeFile: that mount is a single file.
	Volume, VolumeFile bool
	// Foreign: the file belongs to another mount namespace, or to none.
	Foreign bool
}

// Task is one process at the moment of the event. Ids are those of the
// initial pid and user namespaces.
type Task struct {
	PID, TID uint32
	// Start is the process's start time in nanoseconds since boot. With PID
	// it names a process without ambiguity until the next boot.
	Start              uint64
	ParentPID          uint32
	ParentStart        uint64
	GroupLeaderPID     uint32 // process group id
	SessionLeaderPID   uint32 // session id
	NamespacePID       uint32 // pid in the task's own pid namespace
	UID, GID           uint32 // effective
	RealUID, RealGID   uint32
	SavedUID, SavedGID uint32
	Groups             Groups // supplementary ones
	CapEffective       uint64
	CapPermitted       uint64
	TTYMajor, TTYMinor uint32 // controlling terminal; 0, 0 is none
	// Interactive: standard input and standard error are the controlling
	// terminal, which is what ECS means by the word.
	Interactive bool
	Comm        string
}

// Parent names a process as Task.PID and Task.Start do.
type Parent struct {
	PID   uint32
	Start uint64
}

// MaxGroups is how many of its groups are known of a task.
const MaxGroups = 16

// Groups are a task's supplementary groups: how many there are, and the first
// ones of them.
type Groups struct {
	Count uint32
	First [MaxGroups]uint32
}

// Known lists the groups that are known.
func (g *Groups) Known() []uint32 { return g.First[:min(g.Count, MaxGroups)] }

// ScopeState says what the kernel knew about the container of the task.
type ScopeState uint8

// The scope states.
const (
	// Host: neither the task's cgroup nor its root is a container's.
	Host ScopeState = iota
	// Known: the container's policy bits were in the kernel.
	Known
	// Unknown: a container whose metadata had not arrived.
	Unknown
)

// Scope is the container of the acting task as the kernel saw it.
type Scope struct {
	State ScopeState
	// CgroupID is the container's cgroup: an ancestor of the task's own
	// where the container made cgroups itself.
	CgroupID uint64
}

// Cgroup is the subject of CgroupNew and CgroupGone.
type Cgroup struct {
	ID   uint64
	Path string // relative to the hierarchy's root
}

// MaxAspects is how many aspects a call can have: of two paths, each as seen from
// two roots, two operations.
const MaxAspects = 8

// Aspect is one operation on one path, of those that a call comes to: the
// selectors that it satisfies, certainly and possibly, conditions on the container
// apart. It possibly satisfies what asks for the path where that was not resolved,
// or where files below a directory are meant that nobody listed.
type Aspect struct{ Must, May uint64 }

// Aspects are those of one call that some response may match.
type Aspects struct {
	Count uint16
	First [MaxAspects]Aspect
}

// Known lists the aspects.
func (a *Aspects) Known() []Aspect { return a.First[:min(a.Count, MaxAspects)] }

// Decision is what the policy said. Bits index the selectors and responses of
// the revision's ruleset.
type Decision struct {
	Revision  uint32
	Operation uint8  // policy.Operation of the object's type
	Selectors uint64 // match selectors of the responses that fired
	// Log, Alert and Block are bits of the responses that fired, by action.
	Log, Alert, Block uint64
	// Unresolved: evaluated for an unknown container; Selectors and the
	// response bits are an upper bound, to be settled with real metadata.
	Unresolved bool
	// Aspects are what was judged: what settling needs.
	Aspects Aspects
	// AlertCopy: the alert of this Fork or Exec comes as an event of its own,
	// a copy.
	AlertCopy bool
	// Copied: an alert's own copy of a Fork or Exec that was, or is about to
	// be, seen without it. The original stands in the stream before the copy
	// unless it was lost.
	Copied bool
	// Spared: a block response fired, and the operation was let through
	// because it was the component's own.
	Spared bool
	// Disarmed: a block response would have refused the operation, and it was
	// let through because somebody turned refusing off.
	Disarmed bool
	// Lapsed: a block response fired, and the operation was let through because
	// the component had not been heard of for too long.
	Lapsed bool
	// Premature: a block response would have refused the operation, and it was
	// let through because its container was not known yet.
	Premature bool
}

// Fired reports whether any response fired.
func (d Decision) Fired() bool { return d.Log|d.Alert|d.Block != 0 }
