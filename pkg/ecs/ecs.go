// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package ecs builds Elastic Common Schema documents of events: one JSON object
// for each stream that an event goes to. Others tell of the component itself:
// that it lives, what it counts, and who disarmed it.
//
// event.action and cloud_defend.hook_point are lists, and event.type has several
// values, where a document tells of a short-lived process as a whole: its fork,
// exec and end, whichever of them were to be logged. Its time is that of the
// exec, or of the fork where there was none; event.start and event.end are those
// of the first and last, process.end and process.exit_code are set.
//
// Every document stands alone: it sets each field itself, also those that an
// ingest pipeline would set. Strings are never empty and lists never have no
// members; such fields are left out. The fields are ECS 8.10's, with these
// beside them:
//
//   - cloud_defend.matched_selectors, .package_policy_id,
//     .package_policy_revision, .hook_point: what decided, and where.
//   - cloud_defend.workload.name: the name of what the pod comes from, of which
//     orchestrator.resource.parent.type is the kind.
//   - cloud_defend.truncated: names of fields that hold only a part of the
//     truth. Of a path the tail is there, of arguments the first ones, of labels
//     and annotations the first 64 without those longer than 1,024 bytes.
//   - cloud_defend.unresolved: names of fields that are missing or unsure
//     because they could not be found out: a path whose walk to the root did
//     not end (the policy took it for matching), arguments whose record was
//     lost, the metadata of a container ("container"), the selectors that
//     would have matched with that metadata ("cloud_defend.matched_selectors").
//   - cloud_defend.foreign: names of path fields whose file belongs to another
//     mount namespace than the process, or to none.
//   - cloud_defend.escaped: names of fields whose bytes are not UTF-8. In
//     these, and only in these, such a byte is written \xNN and a backslash is
//     doubled, so the bytes can be had back.
//   - cloud_defend.spared: true if the policy refuses the operation and it was
//     let through because it was our own component's.
//   - cloud_defend.count: how many identical refusals a document stands for,
//     between event.start and event.end; everything else is that of the first.
//   - cloud_defend.disarmed: true if the policy refuses the operation and it was
//     let through because somebody turned refusing off.
//   - file.Ext.original.path and .name: the other end of a rename (the old
//     name) or a link (the name linked to). ECS has no field for it; this is
//     the one that Elastic Defend uses, so queries on renames work on both.
package ecs

// Version is the ECS version that the documents follow: the first one with
// container.security_context.privileged and process.thread.capabilities.
const Version = "8.10.0"

// Stream is one of the data streams that documents go to.
type Stream uint8

// The streams. Events go to the first three; the others tell of the component.
const (
	StreamProcess Stream = iota
	StreamFile
	StreamAlerts
	StreamHeartbeat
	StreamMetrics
)

var datasets = [...]string{
	StreamProcess:   "cloud_defend.process",
	StreamFile:      "cloud_defend.file",
	StreamAlerts:    "cloud_defend.alerts",
	StreamHeartbeat: "cloud_defend.heartbeat",
	StreamMetrics:   "cloud_defend.metrics",
}

// Dataset is the value of event.dataset and data_stream.dataset.
func (s Stream) Dataset() string { return datasets[s] }

// Type is the value of data_stream.type.
func (s Stream) Type() string {
	if s >= StreamHeartbeat {
		return "metrics"
	}
	return "logs"
}

// Index is the name of the data stream in a namespace.
func (s Stream) Index(namespace string) string {
	return s.Type() + "-" + s.Dataset() + "-" + namespace
}

// Doc is one document. It owns its bytes, which nobody may write to; logs that
// follow one another may lie in one piece of memory, which is small.
type Doc struct {
	Stream Stream
	ID     string // event.id, part of JSON; the same for the same event and stream each time
	JSON   []byte // one object on one line, without a newline
}

// Match is what the policy said of an event, in the names of its revision.
type Match struct {
	Selectors  []string
	Log, Alert bool
	// Unsettled: the container's metadata were never known. Selectors holds
	// all that would have matched with some metadata.
	Unsettled bool

	PolicyID       string // Fleet's package policy id; empty without Fleet
	PolicyRevision int64  // 0 when there is none
}
