// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// sample is a record as the kernel lays it out: a header and its strings.
func sample(set func(*bpfRecord), strings string) []byte {
	r := bpfRecord{
		Kind:    uint8(bpfKindKIND_FILE),
		Hook:    uint8(bpfHookHOOK_PATH_RENAME),
		Action:  uint8(bpfActionACTION_RENAME),
		Outcome: uint8(bpfOutcomeOUTCOME_REFUSED),
		Time:    uint64(5 * time.Second),
		Scope:   uint32(bpfScopeStateSCOPE_KNOWN),
	}
	r.Task.Tid = 7
	copy(r.Task.Comm[:], "sixteen bytes ok")
	if set != nil {
		set(&r)
	}
	return append(unsafe.Slice((*byte)(unsafe.Pointer(&r)), headerSize), strings...)
}

func decodeSample(raw []byte) (*event.Event, error) {
	r, err := header(raw)
	if err != nil {
		return nil, err
	}
	return decode(&r, raw, time.Unix(1000, 0))
}

func TestDecode(t *testing.T) {
	raw := sample(func(r *bpfRecord) {
		r.PathLen, r.FromLen, r.ExeLen, r.CwdLen, r.ArgsLen = 4, 6, 2, 1, 7
		r.Kind, r.Action = uint8(bpfKindKIND_EXEC), uint8(bpfActionACTION_EXEC)
		r.PathFlags = uint8(bpfPathFlagPATH_TRUNCATED | bpfPathFlagPATH_VOLUME)
	}, "/new/old/x/s/a\x00b c\x00\x00")
	ev, err := decodeSample(raw)
	require.NoError(t, err)
	clear(raw)
	require.Equal(t, event.Exec, ev.Kind)
	require.Equal(t, event.ActionExec, ev.Action)
	require.Equal(t, event.OutcomeRefused, ev.Outcome)
	require.Equal(t, "lsm__path_rename", ev.Hook)
	require.Equal(t, time.Unix(1005, 0), ev.Time)
	require.Equal(t, event.Path{Name: "/new", Truncated: true, Volume: true}, ev.Path)
	require.Equal(t, "/old/x", ev.PathFrom.Name)
	require.Equal(t, "/s", ev.Executable.Name)
	require.Equal(t, "/", ev.WorkingDirectory.Name)
	require.Equal(t, []string{"a", "b c", ""}, ev.Args)
	require.Equal(t, "sixteen bytes ok", ev.Task.Comm)

	ev, err = decodeSample(sample(func(r *bpfRecord) { r.PathLen, r.ArgsLen = 4, 5 }, "/new../x\x00"))
	require.NoError(t, err)
	require.Equal(t, event.File, ev.Kind)
	require.Equal(t, "../x", ev.Target)
	require.Empty(t, ev.Args)
}

func TestDecodeExitCode(t *testing.T) {
	for status, want := range map[int32]int32{0: 0, 7 << 8: 7, 9: 137, 11 | 0x80: 139} {
		require.Equal(t, want, exitCode(status))
	}
}

func TestDecodeRefusesMalformed(t *testing.T) {
	whole := sample(func(r *bpfRecord) { r.PathLen = 4 }, "/etc")
	for n := range whole {
		_, err := decodeSample(whole[:n])
		require.ErrorIs(t, err, errMalformed, n)
	}
	for name, set := range map[string]func(*bpfRecord){
		"kind":      func(r *bpfRecord) { r.Kind = 99 },
		"hook":      func(r *bpfRecord) { r.Hook = uint8(bpfHookHOOKS) },
		"action":    func(r *bpfRecord) { r.Action = 99 },
		"scope":     func(r *bpfRecord) { r.Scope = 256 + uint32(bpfScopeStateSCOPE_KNOWN) },
		"outcome":   func(r *bpfRecord) { r.Outcome = uint8(bpfOutcomeOUTCOME_VOID) + 1 },
		"operation": func(r *bpfRecord) { r.Operation = uint16(bpfLimitsNO_OPERATION) },
		"aspects":   func(r *bpfRecord) { r.Aspects = uint16(bpfLimitsMAX_ASPECTS) + 1 },
		"overflow":  func(r *bpfRecord) { r.PathLen, r.FromLen = 1<<31, 1<<31 },
	} {
		_, err := decodeSample(sample(set, ""))
		require.ErrorIs(t, err, errMalformed, name)
	}
}

func taken(rs *rings, r *ring, raw []byte) *event.Event {
	ev, _ := rs.take(r, raw)
	return ev
}

// A record that cannot be read is counted and does not disturb the others.
func TestTakeCountsMalformed(t *testing.T) {
	rs := &rings{tests: &canaries{}}
	r := &ring{tentative: map[settleKey]held{}}
	require.Nil(t, taken(rs, r, []byte("short")))
	require.Nil(t, taken(rs, r, sample(func(r *bpfRecord) { r.Kind = 99 }, "")))
	require.EqualValues(t, 2, rs.malformed.Load())
	require.NotNil(t, taken(rs, r, sample(nil, "")))
}

// open(2) tells later what became of a creation.
func TestTakeSettlesCreations(t *testing.T) {
	tentative := sample(func(r *bpfRecord) {
		r.Flags = uint32(bpfRecordFlagRECORD_TENTATIVE)
		r.Outcome = uint8(bpfOutcomeOUTCOME_UNKNOWN)
	}, "")
	fate := func(outcome bpfOutcome) []byte {
		return sample(func(r *bpfRecord) {
			r.Kind, r.Outcome = uint8(bpfKindKIND_SETTLE), uint8(outcome)
		}, "")
	}
	for outcome, want := range map[bpfOutcome]event.Outcome{
		bpfOutcomeOUTCOME_SUCCESS: event.OutcomeSuccess,
		bpfOutcomeOUTCOME_REFUSED: event.OutcomeRefused,
		bpfOutcomeOUTCOME_UNKNOWN: event.OutcomeUnknown,
	} {
		rs, r := &rings{tests: &canaries{}}, &ring{tentative: map[settleKey]held{}}
		require.Nil(t, taken(rs, r, tentative))
		ev := taken(rs, r, fate(outcome))
		require.NotNil(t, ev)
		require.Equal(t, want, ev.Outcome)
		require.Empty(t, r.tentative)
		require.Nil(t, taken(rs, r, fate(outcome)), "told once")
	}
	rs, r := &rings{tests: &canaries{}}, &ring{tentative: map[settleKey]held{}}
	require.Nil(t, taken(rs, r, tentative))
	require.Nil(t, taken(rs, r, fate(bpfOutcomeOUTCOME_VOID)), "the file existed")
	require.Nil(t, taken(rs, r, tentative))
	require.Empty(t, r.expire(time.Now()))
	lost := r.expire(time.Now().Add(2 * tentativeWait))
	require.Len(t, lost, 1)
	require.Equal(t, event.OutcomeUnknown, lost[0].Outcome)
}

// A flood of creations whose fate is lost is bounded, and loses none of them.
func TestTakeBoundsCreations(t *testing.T) {
	rs, r := &rings{tests: &canaries{}}, &ring{tentative: map[settleKey]held{}}
	for i := range tentativeMax {
		require.Nil(t, taken(rs, r, sample(func(r *bpfRecord) {
			r.Time, r.Flags = uint64(i), uint32(bpfRecordFlagRECORD_TENTATIVE)
		}, "")))
	}
	ev := taken(rs, r, sample(func(r *bpfRecord) { r.Flags = uint32(bpfRecordFlagRECORD_TENTATIVE) }, ""))
	require.NotNil(t, ev)
	require.Equal(t, event.OutcomeUnknown, ev.Outcome)
	require.Len(t, r.expire(time.Now().Add(2*tentativeWait)), tentativeMax)
}
