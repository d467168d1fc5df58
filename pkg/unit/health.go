// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
)

// Health is what the component says of one unit: what works, and everything
// that does not.
type Health struct {
	// InForce says in a few words what works, as a sentence without its full
	// stop: "Revision 3 is enforced by BPF LSM". Empty means nothing does.
	InForce string
	Reasons []Reason
	// Counters are shown beside the state, by their names.
	Counters map[string]uint64
	// Streams are the faults of single data streams, by dataset. A stream of
	// the input that is not named here has none.
	Streams map[string]string
}

// Reason is one thing to say about a unit. It reads "Place: Fault; Remedy", and
// begins with a capital where there is no place.
type Reason struct {
	Weight Weight
	// Place is where to look: a key of the policy, a setting, an address.
	Place string
	// Fault is what is the matter, Remedy what a person can do about it.
	Fault, Remedy string
}

// Weight orders reasons: the heaviest one decides the state and is said first.
type Weight uint8

// The weights.
const (
	// Note changes nothing; the unit is healthy.
	Note Weight = iota
	// Lost means that events were lost, or wait longer than they should.
	Lost
	// Reduced means that less works than could: by somebody's choice, by what
	// the kernel lacks, or for as long as another system does not answer.
	Reduced
	// Rejected means that what the agent asked for is not in force. If
	// something older is, the unit is degraded, otherwise it has failed.
	Rejected
)

func (r Reason) String() string {
	text := r.Fault
	if r.Place != "" {
		text = r.Place + ": " + text
	} else if text != "" && 'a' <= text[0] && text[0] <= 'z' {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if r.Remedy != "" {
		text += "; " + r.Remedy
	}
	return text
}

// The bounds of a message: the agent stores it and sends it to Fleet each time
// it changes.
const (
	reasonsShown = 5
	reasonBytes  = 500
)

// state gives the word and the message for a health. FAILED can fail the
// liveness probe of the agent's pod, so it stands for one thing only: something
// was asked for, and nothing is in force.
func (h Health) state() (client.UnitState, string) {
	reasons := slices.Clone(h.Reasons)
	slices.SortStableFunc(reasons, func(a, b Reason) int { return int(b.Weight) - int(a.Weight) })
	headline := h.InForce
	if headline == "" {
		headline = "Nothing is in force"
	}
	return h.word(reasons), message(headline, reasons)
}

func (h Health) word(sorted []Reason) client.UnitState {
	heaviest := Note
	if len(sorted) > 0 {
		heaviest = sorted[0].Weight
	}
	switch {
	case h.InForce == "" && (heaviest == Rejected || heaviest < Reduced):
		return client.UnitStateFailed
	case heaviest > Note:
		return client.UnitStateDegraded
	}
	return client.UnitStateHealthy
}

func message(headline string, sorted []Reason) string {
	var texts []string
	for _, r := range sorted {
		if text := shorten(r.String()); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - reasonsShown; more > 0 {
		texts = append(texts[:reasonsShown], fmt.Sprintf("%d more are in the component's log", more))
	}
	return sentences(append([]string{headline}, texts...))
}

// sentences puts them after one another. Those that begin with a key keep its case.
func sentences(texts []string) string {
	var b strings.Builder
	for i, text := range texts {
		if i > 0 && !strings.HasSuffix(texts[i-1], "?") {
			b.WriteByte('.')
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text)
	}
	return b.String()
}

// shorten cuts between characters, and makes what protobuf refuses, text that
// is not UTF-8, readable.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= reasonBytes {
		return text
	}
	return strings.ToValidUTF8(text[:reasonBytes], "") + "…"
}
