// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
)

func TestHealthState(t *testing.T) {
	note := Reason{Note, "", "the file stream is disabled", ""}
	lost := Reason{Lost, "", "4 events were lost", "give the node more CPU"}
	reduced := Reason{Reduced, "", "this kernel cannot refuse a fork", "boot a newer one"}
	rejected := Reason{Rejected, "revision 4: file.selectors[2] etcWrites: targetFilePath[0]", "is not absolute", "begin it with /"}
	for name, tc := range map[string]struct {
		health Health
		state  client.UnitState
		want   string
	}{
		"all is well": {
			Health{InForce: "Revision 3 is enforced"}, client.UnitStateHealthy, "Revision 3 is enforced",
		},
		"a note changes nothing": {
			Health{InForce: "Revision 3 is enforced", Reasons: []Reason{note}},
			client.UnitStateHealthy, "Revision 3 is enforced. The file stream is disabled",
		},
		"an older policy is in force": {
			Health{InForce: "Revision 3 is enforced", Reasons: []Reason{rejected}},
			client.UnitStateDegraded,
			"Revision 3 is enforced. revision 4: file.selectors[2] etcWrites: targetFilePath[0]: is not absolute; begin it with /",
		},
		"nothing is in force because it was rejected": {
			Health{Reasons: []Reason{rejected}},
			client.UnitStateFailed,
			"Nothing is in force. revision 4: file.selectors[2] etcWrites: targetFilePath[0]: is not absolute; begin it with /",
		},
		"nothing is in force because somebody chose so": {
			Health{Reasons: []Reason{{Reduced, "", "the alerts stream is disabled", "enable it"}}},
			client.UnitStateDegraded, "Nothing is in force. The alerts stream is disabled; enable it",
		},
		"a rejection outweighs a choice": {
			Health{Reasons: []Reason{reduced, rejected}}, client.UnitStateFailed,
			"Nothing is in force. " + rejected.String() + ". " + reduced.String(),
		},
		"the heaviest comes first, equals keep their order": {
			Health{InForce: "R", Reasons: []Reason{note, lost, reduced, {Lost, "", "and 2 more", ""}, rejected}},
			client.UnitStateDegraded,
			"R. " + strings.Join([]string{rejected.String(), reduced.String(), lost.String(), "And 2 more", note.String()}, ". "),
		},
		"losses alone degrade":          {Health{InForce: "R", Reasons: []Reason{lost}}, client.UnitStateDegraded, "R. " + lost.String()},
		"a reduction alone degrades":    {Health{InForce: "R", Reasons: []Reason{reduced}}, client.UnitStateDegraded, "R. " + reduced.String()},
		"nothing in force, unexplained": {Health{}, client.UnitStateFailed, "Nothing is in force"},
		"nothing in force, a loss is no explanation": {
			Health{Reasons: []Reason{lost}}, client.UnitStateFailed, "Nothing is in force. " + lost.String(),
		},
		"a question ends itself": {
			Health{InForce: "R", Reasons: []Reason{{Rejected, "k", "is unknown", "did you mean l?"}, note}},
			client.UnitStateDegraded, "R. k: is unknown; did you mean l? The file stream is disabled",
		},
		"the same twice is said once": {
			Health{InForce: "R", Reasons: []Reason{lost, lost}}, client.UnitStateDegraded, "R. " + lost.String(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			state, text := tc.health.state()
			require.Equal(t, tc.state.String(), state.String())
			require.Equal(t, tc.want, text)
		})
	}
}

func TestHealthMessageIsBounded(t *testing.T) {
	h := Health{InForce: "R"}
	for i := range 200 {
		h.Reasons = append(h.Reasons, Reason{Rejected, fmt.Sprint(i), strings.Repeat("ü", 4000), ""})
	}
	_, text := h.state()
	require.Less(t, len(text), (reasonsShown+1)*(reasonBytes+10))
	require.True(t, utf8.ValidString(text))
	require.True(t, strings.HasSuffix(text, ". 195 more are in the component's log"), text[len(text)-60:])

	_, text = Health{InForce: "R", Reasons: []Reason{{Note, "a\xff", "b", ""}}}.state()
	require.Equal(t, "R. a\uFFFD: b", text)
}
