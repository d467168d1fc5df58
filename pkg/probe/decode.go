// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/event"
)

// errMalformed is the reason of every record that could not be decoded.
var errMalformed = errors.New("malformed record")

const (
	headerSize = int(unsafe.Sizeof(bpfRecord{}))
	commOffset = int(unsafe.Offsetof(bpfRecord{}.Task) + unsafe.Offsetof(bpfRecord{}.Task.Comm))
	shortText  = 256 // nearly all of them; an event with it takes 960 bytes
	shortArgs  = 8
	aspectSize = int(unsafe.Sizeof(bpfAspect{}))
)

// hookNames are the values of cloud_defend.hook_point; the names of the
// kernel's hooks, as upstream documents spell them.
var hookNames = [bpfHookHOOKS]string{
	bpfHookHOOK_PATH_CHMOD:        "lsm__path_chmod",
	bpfHookHOOK_PATH_MKNOD:        "lsm__path_mknod",
	bpfHookHOOK_FILE_OPEN:         "lsm__file_open",
	bpfHookHOOK_PATH_TRUNCATE:     "lsm__path_truncate",
	bpfHookHOOK_PATH_RENAME:       "lsm__path_rename",
	bpfHookHOOK_PATH_LINK:         "lsm__path_link",
	bpfHookHOOK_PATH_UNLINK:       "lsm__path_unlink",
	bpfHookHOOK_FILE_TRUNCATE:     "lsm__file_truncate",
	bpfHookHOOK_PATH_CHOWN:        "lsm__path_chown",
	bpfHookHOOK_INODE_SETXATTR:    "lsm__inode_setxattr",
	bpfHookHOOK_INODE_SET_ACL:     "lsm__inode_set_acl",
	bpfHookHOOK_INODE_REMOVEXATTR: "lsm__inode_removexattr",
	bpfHookHOOK_INODE_REMOVE_ACL:  "lsm__inode_remove_acl",
	bpfHookHOOK_FILE_PERMISSION:   "lsm__file_permission",
	bpfHookHOOK_MMAP_FILE:         "lsm__mmap_file",
	bpfHookHOOK_FILE_MPROTECT:     "lsm__file_mprotect",
	bpfHookHOOK_SB_MOUNT:          "lsm__sb_mount",
	bpfHookHOOK_MOVE_MOUNT:        "lsm__move_mount",
	bpfHookHOOK_PATH_SYMLINK:      "lsm__path_symlink",
	bpfHookHOOK_INODE_SETATTR:     "lsm__inode_setattr",
	bpfHookHOOK_BPRM_CHECK:        "lsm__bprm_check_security",
	bpfHookHOOK_TASK_ALLOC:        "lsm__task_alloc",
	bpfHookHOOK_SCHED_FORK:        "tracepoint__sched_process_fork",
	bpfHookHOOK_SCHED_EXEC:        "tracepoint__sched_process_exec",
	bpfHookHOOK_EXIT:              "kprobe__taskstats_exit",
	bpfHookHOOK_CGROUP:            "tracepoint__cgroup",
}

var kinds = map[bpfKind]event.Kind{
	bpfKindKIND_FORK:        event.Fork,
	bpfKindKIND_EXEC:        event.Exec,
	bpfKindKIND_EXIT:        event.Exit,
	bpfKindKIND_FILE:        event.File,
	bpfKindKIND_CGROUP_NEW:  event.CgroupNew,
	bpfKindKIND_CGROUP_GONE: event.CgroupGone,
}

var actions = [...]event.Action{
	bpfActionACTION_FORK:         event.ActionFork,
	bpfActionACTION_EXEC:         event.ActionExec,
	bpfActionACTION_END:          event.ActionEnd,
	bpfActionACTION_CREATION:     event.ActionCreation,
	bpfActionACTION_OPEN:         event.ActionOpen,
	bpfActionACTION_MODIFICATION: event.ActionModification,
	bpfActionACTION_RENAME:       event.ActionRename,
	bpfActionACTION_LINK:         event.ActionLink,
	bpfActionACTION_DELETION:     event.ActionDeletion,
	bpfActionACTION_ACCESS:       event.ActionAccess,
}

// header reads the fixed part of a record and checks that the strings it
// counts are there.
func header(raw []byte) (bpfRecord, error) {
	var r bpfRecord
	if len(raw) < headerSize {
		return r, fmt.Errorf("%w: %d bytes, a header has %d", errMalformed, len(raw), headerSize)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&r)), headerSize), raw)
	counted := uint64(r.Aspects)*uint64(aspectSize) + uint64(r.PathLen) + uint64(r.FromLen) + uint64(r.ExeLen) + uint64(r.CwdLen) + uint64(r.ArgsLen)
	if counted > uint64(len(raw)-headerSize) {
		return r, fmt.Errorf("%w: counts %d bytes after the header, has %d", errMalformed, counted, len(raw)-headerSize)
	}
	if int(r.Hook) >= len(hookNames) || int(r.Action) >= len(actions) {
		return r, fmt.Errorf("%w: hook %d, action %d", errMalformed, r.Hook, r.Action)
	}
	if bpfScopeState(r.Scope) > bpfScopeStateSCOPE_UNKNOWN || r.Aspects > event.MaxAspects || bpfOutcome(r.Outcome) > bpfOutcomeOUTCOME_VOID ||
		bpfLimits(r.Operation) >= bpfLimitsNO_OPERATION {
		return r, fmt.Errorf("%w: scope %d, outcome %d, operation %d, %d aspects", errMalformed, r.Scope, r.Outcome, r.Operation, r.Aspects)
	}
	return r, nil
}

// decode makes an event of a record whose header was read. It copies what it
// keeps. boot is the wall-clock time of the boot clock's zero.
func decode(r *bpfRecord, raw []byte, boot time.Time) (*event.Event, error) {
	kind, ok := kinds[bpfKind(r.Kind)]
	if !ok {
		return nil, fmt.Errorf("%w: kind %d", errMalformed, r.Kind)
	}
	comm := raw[commOffset:][:len(r.Task.Comm)]
	if end := bytes.IndexByte(comm, 0); end >= 0 {
		comm = comm[:end]
	}
	ev, text, room := allocate(kind, comm, raw[headerSize+int(r.Aspects)*aspectSize:])
	take := func(n uint32) string {
		s := text[:n]
		text = text[n:]
		return s
	}
	// Not a literal: that would be made elsewhere, and copied past the collector.
	ev.Kind = kind
	ev.Time = boot.Add(time.Duration(r.Time))
	ev.Hook = hookNames[r.Hook]
	ev.Action, ev.Outcome = actions[r.Action], outcome(r.Outcome)
	setTask(&ev.Task, r, take(uint32(len(comm))))
	ev.Parent.PID, ev.Parent.Start = r.OtherPid, r.OtherStart
	ev.FileMode, ev.ExitCode = r.Mode, exitCode(r.ExitCode)
	ev.ArgsCut = r.Flags&uint32(bpfRecordFlagRECORD_ARGS_CUT) != 0
	ev.Scope = event.Scope{State: event.ScopeState(r.Scope), CgroupID: r.ScopeCgroup}
	setDecision(&ev.Decision, r, raw[headerSize:])
	ev.Path = path(take(r.PathLen), r.PathFlags)
	ev.PathFrom = path(take(r.FromLen), r.FromFlags)
	ev.Executable = path(take(r.ExeLen), r.ExeFlags)
	ev.WorkingDirectory = path(take(r.CwdLen), r.CwdFlags)
	switch rest := take(r.ArgsLen); kind {
	case event.File:
		ev.Target = strings.TrimSuffix(rest, "\x00")
	default:
		ev.Args = args(room, rest)
	}
	switch {
	case kind == event.CgroupNew || kind == event.CgroupGone:
		ev.Cgroup = event.Cgroup{ID: r.ScopeCgroup, Path: ev.Path.Name}
		ev.Path, ev.Scope = event.Path{}, event.Scope{}
	case kind == event.Exec && ev.Outcome != event.OutcomeRefused, kind == event.Fork:
		ev.Executable = ev.Path
	}
	return ev, nil
}

// allocate makes an event, and one string of the two parts of its text. Nobody
// keeps the strings without the event, so they are one allocation unless there is
// much of them; with room for arguments where there can be some.
func allocate(kind event.Kind, comm, rest []byte) (ev *event.Event, text string, room []string) {
	var to []byte
	switch {
	case len(comm)+len(rest) > shortText:
		ev, to = new(event.Event), make([]byte, len(comm)+len(rest))
	case kind == event.File:
		both := new(struct {
			event.Event
			text [shortText]byte
		})
		ev, to = &both.Event, both.text[:]
	default:
		all := new(struct {
			event.Event
			args [shortArgs]string
			text [shortText]byte
		})
		ev, to, room = &all.Event, all.text[:], all.args[:0]
	}
	return ev, unsafe.String(&to[0], copy(to, comm)+copy(to[len(comm):], rest)), room
}

func outcome(o uint8) event.Outcome {
	switch bpfOutcome(o) {
	case bpfOutcomeOUTCOME_SUCCESS:
		return event.OutcomeSuccess
	case bpfOutcomeOUTCOME_REFUSED:
		return event.OutcomeRefused
	}
	return event.OutcomeUnknown
}

func setTask(to *event.Task, r *bpfRecord, comm string) {
	t := &r.Task
	to.PID, to.TID, to.Start = t.Pid, t.Tid, t.Start
	to.ParentPID, to.ParentStart = t.ParentPid, t.ParentStart
	to.GroupLeaderPID, to.SessionLeaderPID, to.NamespacePID = t.Pgid, t.Sid, t.Nspid
	to.UID, to.GID, to.RealUID, to.RealGID, to.SavedUID, to.SavedGID = t.Uid, t.Gid, t.Ruid, t.Rgid, t.Suid, t.Sgid
	to.Groups.Count, to.Groups.First = t.GroupCount, t.Groups
	to.CapEffective, to.CapPermitted = t.CapEffective, t.CapPermitted
	to.TTYMajor, to.TTYMinor, to.Interactive = t.TtyMajor, t.TtyMinor, t.OnTty != 0
	to.Comm = comm
}

func setDecision(d *event.Decision, r *bpfRecord, counted []byte) {
	d.Revision, d.Operation = r.Revision, uint8(r.Operation)
	d.Selectors, d.Log, d.Alert, d.Block = r.Selectors, r.Log, r.Alert, r.Block
	d.Unresolved = bpfScopeState(r.Scope) == bpfScopeStateSCOPE_UNKNOWN
	d.Spared = r.Flags&uint32(bpfRecordFlagRECORD_SPARED) != 0
	d.Lapsed = r.Flags&uint32(bpfRecordFlagRECORD_LAPSED) != 0
	d.Aspects.Count = r.Aspects
	for i := range d.Aspects.Known() {
		at := counted[i*aspectSize:]
		d.Aspects.First[i] = event.Aspect{Must: binary.NativeEndian.Uint64(at), May: binary.NativeEndian.Uint64(at[8:])}
	}
}

func path(name string, flags uint8) event.Path {
	has := func(f bpfPathFlag) bool { return bpfPathFlag(flags)&f != 0 }
	return event.Path{
		Name:       name,
		Truncated:  has(bpfPathFlagPATH_TRUNCATED),
		Unresolved: has(bpfPathFlagPATH_UNRESOLVED),
		Volume:     has(bpfPathFlagPATH_VOLUME),
		VolumeFile: has(bpfPathFlagPATH_VOLUME_FILE),
		Foreign:    has(bpfPathFlagPATH_FOREIGN) || has(bpfPathFlagPATH_INTERNAL) || has(bpfPathFlagPATH_DETACHED),
	}
}

// args splits argv as it lies in memory, into room as long as there is some. An
// argument that was cut has no NUL.
func args(room []string, raw string) []string {
	if raw == "" {
		return nil
	}
	raw = strings.TrimSuffix(raw, "\x00")
	if n := strings.Count(raw, "\x00") + 1; n > cap(room) {
		room = make([]string, 0, n)
	}
	for arg := range strings.SplitSeq(raw, "\x00") {
		room = append(room, arg)
	}
	return room
}

// exitCode turns a wait status into a shell's number.
func exitCode(status int32) int32 {
	if signal := status & 0x7f; signal != 0 {
		return 128 + signal
	}
	return status >> 8 & 0xff
}
