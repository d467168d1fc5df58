// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// Heartbeat is what the component says regularly, so that its silence tells
// something.
type Heartbeat struct {
	// BlockActionEnabled: the policy in force has a response that blocks. The
	// field is the integration's own, which others count nodes by.
	BlockActionEnabled bool
	// Enforcement is how operations are refused: lsm or fmod_ret; none where
	// nothing is, because nothing is in force or somebody disarmed the node.
	Enforcement string

	PolicyID       string // as in Match
	PolicyRevision int64
}

// Heartbeat builds the document of one heartbeat.
func (b *Builder) Heartbeat(at time.Time, h Heartbeat) Doc {
	return b.about(at, StreamHeartbeat, "Heartbeat of cloud-defend", metric, func(e *encoder) {
		m := e.open("cloud_defend")
		e.bool("block_action_enabled", h.BlockActionEnabled)
		e.str("enforcement", h.Enforcement)
		e.str("package_policy_id", h.PolicyID)
		if h.PolicyRevision != 0 {
			e.int("package_policy_revision", h.PolicyRevision)
		}
		e.close(m)
	})
}

func metric(e *encoder) { e.str("kind", "metric") }

// Metrics builds a document of figures. Their names have dots where objects
// nest, and stand below cloud_defend.metrics.
func (b *Builder) Metrics(at time.Time, figures map[string]uint64) Doc {
	return b.about(at, StreamMetrics, "Metrics of cloud-defend", metric, func(e *encoder) {
		m := e.open("cloud_defend")
		e.json("metrics", nest(figures))
		e.close(m)
	})
}

func nest(figures map[string]uint64) map[string]any {
	tree := map[string]any{}
	for name, n := range figures {
		at, parts := tree, strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			below, ok := at[part].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[part] = below
			}
			at = below
		}
		at[parts[len(parts)-1]] = n
	}
	return tree
}

// about builds a document that tells of the component. kind adds to the event
// object, rest to the document.
func (b *Builder) about(at time.Time, stream Stream, message string, kind, rest func(*encoder)) Doc {
	e := &b.enc
	e.reset()
	id := b.componentID(at, stream)
	e.time("@timestamp", at)
	e.str("message", message)
	b.dataStream(stream)
	e.raw(b.static)
	m := e.open("event")
	e.time("created", at)
	e.time("ingested", b.now())
	e.str("id", id)
	kind(e)
	e.str("module", "cloud_defend")
	e.str("dataset", stream.Dataset())
	e.close(m)
	rest(e)
	e.finish()
	return Doc{Stream: stream, ID: id, JSON: slices.Clone(e.buf)}
}

// componentID tells a document from all others of this stream, node and run:
// static has the agent's ids, the host's and those of the boot.
func (b *Builder) componentID(at time.Time, stream Stream) string {
	text := binary.LittleEndian.AppendUint64(append(slices.Clone(b.static), byte(stream)), uint64(at.UnixNano()))
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
