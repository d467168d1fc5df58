// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/process"
)

// Agent is the component as its documents name it. Empty members are left out.
type Agent struct {
	ID, EphemeralID, Name, Version string
}

// Static is what all documents of a run have in common.
type Static struct {
	Host      host.Facts
	Agent     Agent
	Namespace string // data_stream.namespace; "default" when empty
	// Mode is what operations are seen by: lsm, fmod_ret, fentry or tracepoint.
	Mode string
}

// Builder builds documents. It reuses its memory, so one goroutine owns it; the
// documents are the caller's.
type Builder struct {
	common    Static
	static    []byte // common, already encoded
	cloud     []byte // see Locate; so is cluster, a member of orchestrator
	cluster   []byte
	around    [StreamAlerts + 1][]byte // static, cloud and data_stream
	namespace string
	node, run string // what names them
	now       func() time.Time

	enc     encoder
	message []byte
	gaps    gaps

	fragments shelf[*process.Process, *fragments]
	sheets    shelf[*process.Process, *sheet]
	labels    shelf[uint64, *label] // by cgroup
	kinds     map[kind][]byte
	verdicts  map[place]verdict // hooks are few
	sheaf     []byte            // see begin; so is scratch
	scratch   []byte
	threadAt  int                  // where the thread's id was written
	who       *container.Container // whose names the ids of a document have
}

// NewBuilder returns a builder.
func NewBuilder(s Static) *Builder {
	b := &Builder{
		common: s, namespace: s.Namespace, node: s.Host.BootID, run: s.Agent.EphemeralID, now: time.Now,
		kinds: map[kind][]byte{}, verdicts: map[place]verdict{},
	}
	if b.namespace == "" {
		b.namespace = "default"
	}
	b.encodeCommon()
	return b
}

// NameHost sets host.name from the next document on; empty means the hostname.
func (b *Builder) NameHost(name string) {
	b.common.Host.Name = name
	b.encodeCommon()
}

func (b *Builder) encodeCommon() {
	b.enc.reset()
	b.agent(b.common.Agent)
	b.host(&b.common.Host)
	m := b.enc.open("ecs")
	b.enc.str("version", Version)
	b.enc.close(m)
	b.static = slices.Clone(b.enc.buf[1:]) // without the document's brace
	b.surround()
}

// surround encodes what all documents of a stream have.
func (b *Builder) surround() {
	for stream := range b.around {
		b.around[stream] = b.encoded(func() {
			b.dataStream(Stream(stream))
			b.enc.raw(b.static)
			b.enc.raw(b.cloud)
		})
	}
}

func (b *Builder) agent(a Agent) {
	e := &b.enc
	m := e.open("agent")
	e.str("id", a.ID)
	e.str("ephemeral_id", a.EphemeralID)
	e.str("name", a.Name)
	e.str("type", "cloud-defend")
	e.str("version", a.Version)
	e.close(m)
}

// nobody is a container in which no id has a name.
var nobody container.Container

// subject is all that one document is made of.
type subject struct {
	ev        *event.Event
	lineage   *process.Lineage
	container *container.Container // nil outside containers and for unknown ones
	match     *Match
}

// Documents appends the documents of an event: one to the file or process
// stream if a response logs it, one to the alerts if a response alerts. A
// refused operation always has its alert. c is nil for the host and for a
// container that is not known; the event's scope tells which.
func (b *Builder) Documents(docs []Doc, ev *event.Event, l *process.Lineage, c *container.Container, m *Match) []Doc {
	s := subject{ev, l, c, m}
	b.who = &nobody
	if c != nil {
		b.who = c
	}
	if m.Log {
		docs = append(docs, b.document(&s, logStream(ev)))
	}
	if m.Alert || ev.Outcome == event.OutcomeRefused {
		docs = append(docs, b.document(&s, StreamAlerts))
	}
	return docs
}

func logStream(ev *event.Event) Stream {
	if ev.Kind == event.File {
		return StreamFile
	}
	return StreamProcess
}

func (b *Builder) document(s *subject, stream Stream) Doc {
	e := &b.enc
	b.begin(stream)
	b.gaps.reset()
	hash := eventID(s, stream)
	var id [idLen]byte
	base64.RawURLEncoding.Encode(id[:], hash[:])

	e.time("@timestamp", s.ev.Time)
	b.message = appendMessage(b.message[:0], s)
	e.bytes("message", b.message)
	at := b.event(s, stream, id[:])
	e.raw(b.around[stream])
	b.where(s)
	if s.ev.Kind == event.File {
		b.actorOnce(s)
		b.file(s.ev)
	} else {
		b.actor(s)
	}
	b.policy(s)
	e.finish()
	text := b.own(stream)
	return Doc{Stream: stream, ID: unsafe.String(&text[at], idLen), JSON: text}
}

// sheafBytes is the memory that some nine logs share. One of them that is kept
// for long, because the output refused it, keeps that of the others.
const (
	sheafBytes = 32 << 10
	sheafRest  = 4 << 10 // what is less than this is left
)

// begin lets a log be written where it will stay, and an alert elsewhere: one
// may wait long, while logs go on.
func (b *Builder) begin(stream Stream) {
	if stream == StreamAlerts {
		b.enc.buf = b.scratch
	} else {
		if cap(b.sheaf) < sheafRest {
			b.sheaf = make([]byte, 0, sheafBytes)
		}
		b.enc.buf = b.sheaf
	}
	b.enc.reset()
}

// own ends what begin began: the document has memory of its own.
func (b *Builder) own(stream Stream) []byte {
	text := b.enc.buf
	if stream == StreamAlerts {
		b.scratch = text
		return slices.Clone(text)
	}
	moved := cap(text) != cap(b.sheaf) // it was longer than what was left
	if b.sheaf = text[len(text):]; moved {
		b.sheaf = nil
	}
	b.enc.buf = b.scratch
	return slices.Clip(text)
}

// idLen is the length of event.id, 16 bytes in base64.
const idLen = 22

func (b *Builder) dataStream(stream Stream) {
	e := &b.enc
	m := e.open("data_stream")
	e.str("type", stream.Type())
	e.str("dataset", stream.Dataset())
	e.str("namespace", b.namespace)
	e.close(m)
}

// event returns where the id stands.
func (b *Builder) event(s *subject, stream Stream, id []byte) (at int) {
	e := &b.enc
	m := e.open("event")
	e.time("created", s.ev.Time)
	e.time("ingested", b.now())
	e.bytes("id", id)
	at = len(e.buf) - len(`",`) - len(id)
	b.kind(s.ev, stream)
	e.close(m)
	return at
}

// kind is what the words depend on for a kind of event that is told of alone.
type kind struct {
	stream  Stream
	kind    event.Kind
	action  event.Action
	outcome event.Outcome
}

// kind writes what of an event follows its id.
func (b *Builder) kind(ev *event.Event, stream Stream) {
	e := &b.enc
	k := kind{stream, ev.Kind, ev.Action, ev.Outcome}
	alone := len(ev.Steps) == 0 && ev.Folded.Count <= 1
	if kept, ok := b.kinds[k]; ok && alone {
		e.raw(kept)
		return
	}
	mark := len(e.buf)
	kind, category := "event", "process"
	if stream == StreamAlerts {
		kind = "alert"
	}
	if ev.Kind == event.File {
		category = "file"
	}
	e.str("kind", kind)
	e.one("category", category)
	b.actions(ev)
	e.str("outcome", outcome(ev))
	b.span(ev)
	e.str("module", "cloud_defend")
	e.str("dataset", stream.Dataset())
	if alone {
		b.kinds[k] = slices.Clone(e.buf[mark:])
	}
}

// span writes from when until when it was what a document tells of.
func (b *Builder) span(ev *event.Event) {
	e := &b.enc
	if ev.Folded.Count > 1 {
		e.time("start", ev.Time)
		e.time("end", ev.Folded.Last)
	} else if n := len(ev.Steps); n > 0 {
		e.time("start", ev.Steps[0].Time)
		e.time("end", ev.Steps[n-1].Time)
	}
}

// actions writes event.action and event.type: lists of what happened where that
// is several things.
func (b *Builder) actions(ev *event.Event) {
	e := &b.enc
	if len(ev.Steps) == 0 {
		e.str("action", ev.Action.String())
		e.strs("type", eventTypes(ev))
		return
	}
	actions, kinds := make([]string, 0, 3), make([]string, 0, 2)
	for _, step := range ev.Steps {
		actions = append(actions, step.Action.String())
		if kind := typeNames[step.Action]; !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	e.strs("action", actions)
	e.strs("type", kinds)
}

var (
	typeNames = map[event.Action]string{
		event.ActionFork:         "start",
		event.ActionExec:         "start",
		event.ActionEnd:          "end",
		event.ActionCreation:     "creation",
		event.ActionOpen:         "change",
		event.ActionModification: "change",
		event.ActionRename:       "change",
		event.ActionLink:         "creation",
		event.ActionDeletion:     "deletion",
		event.ActionAccess:       "access", // not "open" or "change": rules on persistence take reads for writes then
	}
	types, deniedTypes = typeLists()
)

func typeLists() (plain, denied map[event.Action][]string) {
	plain, denied = map[event.Action][]string{}, map[event.Action][]string{}
	for action, name := range typeNames {
		plain[action], denied[action] = []string{name}, []string{name, "denied"}
	}
	return plain, denied
}

// eventTypes is event.type: what the operation would have been comes first
// even when it was refused, so that one query finds attempts and successes.
func eventTypes(ev *event.Event) []string {
	if ev.Outcome == event.OutcomeRefused {
		return deniedTypes[ev.Action]
	}
	return types[ev.Action]
}

func outcome(ev *event.Event) string {
	switch ev.Outcome {
	case event.OutcomeSuccess:
		return "success"
	case event.OutcomeRefused:
		return "failure"
	}
	return "unknown"
}

// eventID hashes what tells an event from all others. It is a cryptographic
// hash because paths are the attacker's choice, and two documents of one id
// are stored as one.
func eventID(s *subject, stream Stream) [16]byte {
	var scratch [512]byte
	b := append(scratch[:0], s.lineage.Process.EntityID...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ev.Time.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, s.ev.Task.TID)
	b = append(b, byte(stream), byte(s.ev.Action))
	for _, text := range [...]string{s.ev.Hook, s.ev.Path.Name, s.ev.PathFrom.Name} {
		b = append(append(b, text...), 0)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}
