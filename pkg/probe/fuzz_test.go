// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// FuzzDecode: whatever the ring holds is an event, or is counted; never both, never neither, and never a crash. A record
// made of the event gives the same event again, so nothing of it was misread.
func FuzzDecode(f *testing.F) {
	f.Add(sample(func(r *bpfRecord) { r.PathLen, r.ArgsLen = 4, 4 }, "/etca\x00b\x00"))
	f.Add(sample(func(r *bpfRecord) {
		r.Kind, r.Action, r.Outcome = uint8(bpfKindKIND_EXEC), uint8(bpfActionACTION_EXEC), uint8(bpfOutcomeOUTCOME_SUCCESS)
		r.PathLen, r.CwdLen, r.ArgsLen, r.Alert, r.Log = 7, 1, 5, 3, 1
	}, "/bin/sh/sh\x00-c"))
	f.Add(sample(func(r *bpfRecord) { r.Kind, r.PathLen, r.ScopeCgroup = uint8(bpfKindKIND_CGROUP_NEW), 4, 77 }, "/a/b"))
	f.Add(sample(func(r *bpfRecord) { r.Kind, r.ExitCode = uint8(bpfKindKIND_EXIT), 9 }, ""))
	f.Add(sample(func(r *bpfRecord) { r.Flags = uint32(bpfRecordFlagRECORD_TENTATIVE) }, ""))
	f.Add(sample(func(r *bpfRecord) { r.Kind = uint8(bpfKindKIND_SETTLE) }, ""))
	f.Add(sample(func(r *bpfRecord) { r.Kind = uint8(bpfKindKIND_CANARY) }, ""))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		kept := slices.Clone(raw)
		ev, err := decodeSample(raw)
		require.Equal(t, err == nil, ev != nil, "error XOR value")
		checkTaken(t, raw, err)
		require.Equal(t, kept, raw, "a reader must not write into the ring")
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			return
		}
		require.LessOrEqual(t, textSize(ev), 2*len(raw))
		again, err := decodeSample(encodeRecord(ev))
		require.NoError(t, err)
		require.Equal(t, ev, again)
	})
}

// checkTaken: the reader passes a record on, keeps it for later, hears it as news about another one, or counts it.
func checkTaken(t *testing.T, raw []byte, fault error) {
	rs, r := &rings{tests: &canaries{}}, &ring{tentative: map[settleKey]held{}}
	ev, _ := rs.take(r, raw)
	outcomes := 0
	for _, happened := range []bool{ev != nil, len(r.tentative) == 1, rs.malformed.Load() == 1, isNews(raw)} {
		if happened {
			outcomes++
		}
	}
	require.Equal(t, 1, outcomes)
	if !isNews(raw) {
		require.Equal(t, fault != nil, rs.malformed.Load() == 1)
	}
}

// isNews tells a whole record that is no event of its own.
func isNews(raw []byte) bool {
	r, err := header(raw)
	return err == nil && (bpfKind(r.Kind) == bpfKindKIND_CANARY || bpfKind(r.Kind) == bpfKindKIND_SETTLE)
}

func textSize(ev *event.Event) int {
	n := len(ev.Path.Name) + len(ev.PathFrom.Name) + len(ev.Executable.Name) + len(ev.WorkingDirectory.Name) + len(ev.Cgroup.Path) + len(ev.Target)
	for _, arg := range ev.Args {
		n += len(arg)
	}
	return n
}

// encodeRecord is the inverse of decode, written down apart from it.
func encodeRecord(ev *event.Event) []byte {
	var text strings.Builder
	for _, a := range ev.Decision.Aspects.Known() {
		text.Write(binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, a.Must), a.May))
	}
	put := func(s string) uint32 { text.WriteString(s); return uint32(len(s)) }
	r := bpfRecord{
		Action: uint8(ev.Action), Time: uint64(ev.Time.Sub(time.Unix(1000, 0))), OtherPid: ev.Parent.PID, OtherStart: ev.Parent.Start,
		Mode: ev.FileMode, ExitCode: ev.ExitCode << 8, Scope: uint32(ev.Scope.State), ScopeCgroup: ev.Scope.CgroupID,
		Revision: ev.Decision.Revision, Operation: uint16(ev.Decision.Operation), Aspects: ev.Decision.Aspects.Count, Selectors: ev.Decision.Selectors,
		Log: ev.Decision.Log, Alert: ev.Decision.Alert, Block: ev.Decision.Block,
	}
	for kind := range maps.Keys(kinds) {
		if kinds[kind] == ev.Kind {
			r.Kind = uint8(kind)
		}
	}
	r.Hook = uint8(slices.Index(hookNames[:], ev.Hook))
	r.Outcome = map[event.Outcome]uint8{
		event.OutcomeSuccess: uint8(bpfOutcomeOUTCOME_SUCCESS), event.OutcomeRefused: uint8(bpfOutcomeOUTCOME_REFUSED),
	}[ev.Outcome]
	flag := func(is bool, bit bpfRecordFlag) {
		if is {
			r.Flags |= uint32(bit)
		}
	}
	flag(ev.ArgsCut, bpfRecordFlagRECORD_ARGS_CUT)
	flag(ev.Decision.Spared, bpfRecordFlagRECORD_SPARED)
	flag(ev.Decision.Lapsed, bpfRecordFlagRECORD_LAPSED)
	encodeTask(&r, ev.Task)
	path := ev.Path
	if ev.Kind == event.CgroupNew || ev.Kind == event.CgroupGone {
		path.Name, r.ScopeCgroup = ev.Cgroup.Path, ev.Cgroup.ID
		if ev.Decision.Unresolved {
			r.Scope = uint32(bpfScopeStateSCOPE_UNKNOWN)
		}
	}
	r.PathFlags, r.FromFlags = pathFlags(path), pathFlags(ev.PathFrom)
	r.ExeFlags, r.CwdFlags = pathFlags(ev.Executable), pathFlags(ev.WorkingDirectory)
	r.PathLen, r.FromLen, r.ExeLen, r.CwdLen = put(path.Name), put(ev.PathFrom.Name), put(ev.Executable.Name), put(ev.WorkingDirectory.Name)
	for _, arg := range ev.Args {
		r.ArgsLen += put(arg + "\x00")
	}
	if ev.Target != "" {
		r.ArgsLen = put(ev.Target + "\x00")
	}
	return append(unsafe.Slice((*byte)(unsafe.Pointer(&r)), headerSize), text.String()...)
}

func encodeTask(r *bpfRecord, task event.Task) {
	t := &r.Task
	t.Pid, t.Tid, t.Start, t.ParentPid, t.ParentStart = task.PID, task.TID, task.Start, task.ParentPID, task.ParentStart
	t.Pgid, t.Sid, t.Nspid = task.GroupLeaderPID, task.SessionLeaderPID, task.NamespacePID
	t.Uid, t.Gid, t.Ruid, t.Rgid = task.UID, task.GID, task.RealUID, task.RealGID
	t.Suid, t.Sgid, t.GroupCount, t.Groups = task.SavedUID, task.SavedGID, task.Groups.Count, task.Groups.First
	if task.Interactive {
		t.OnTty = 1
	}
	t.CapEffective, t.CapPermitted, t.TtyMajor, t.TtyMinor = task.CapEffective, task.CapPermitted, task.TTYMajor, task.TTYMinor
	copy(t.Comm[:], task.Comm)
}

func pathFlags(p event.Path) uint8 {
	var set bpfPathFlag
	for _, f := range []struct {
		is  bool
		bit bpfPathFlag
	}{
		{p.Truncated, bpfPathFlagPATH_TRUNCATED}, {p.Unresolved, bpfPathFlagPATH_UNRESOLVED}, {p.Volume, bpfPathFlagPATH_VOLUME},
		{p.VolumeFile, bpfPathFlagPATH_VOLUME_FILE}, {p.Foreign, bpfPathFlagPATH_FOREIGN},
	} {
		if f.is {
			set |= f.bit
		}
	}
	return uint8(set)
}
