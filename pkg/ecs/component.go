// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
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
	// nothing is, because nothing is in force, somebody disarmed the node, or
	// its kernel cannot be made to.
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

// Order is somebody's decision on this node that nothing is refused for a time,
// or that it is again.
type Order struct {
	At       time.Time
	Disarm   bool
	Until    time.Time // the end of a disarming
	Reason   string
	UserID   int
	UserName string
}

// Order builds the alert of an order. It has the same id each time.
func (b *Builder) Order(o Order) Doc {
	action := "arm"
	if o.Disarm {
		action = "disarm"
	}
	return b.about(o.At, StreamAlerts, o.Message(), func(e *encoder) {
		e.str("kind", "alert")
		e.one("category", "configuration")
		e.str("action", action)
		e.one("type", "change")
		e.str("outcome", "success")
		e.str("reason", o.Reason)
		if o.Disarm {
			e.time("end", o.Until)
		}
	}, func(e *encoder) {
		m := e.open("user")
		e.str("id", strconv.Itoa(o.UserID))
		e.str("name", o.UserName)
		e.close(m)
	})
}

// Message says an order in one sentence.
func (o Order) Message() string {
	who := "user " + strconv.Itoa(o.UserID)
	if o.UserName != "" {
		who = o.UserName
	}
	if !o.Disarm {
		return "Enforcement was turned on by " + who + ": " + o.Reason
	}
	return "Enforcement was turned off by " + who + " until " + o.Until.UTC().Format(time.DateTime+" UTC") + ": " + o.Reason
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

// componentID tells a document from all others of this stream and node. An order
// is one order to every run of the component that tells of it.
func (b *Builder) componentID(at time.Time, stream Stream) string {
	who := b.node
	if stream != StreamAlerts {
		who += "\x00" + b.run
	}
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(append([]byte(who), byte(stream)), uint64(at.UnixNano())))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
