// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import "github.com/elastic/cloud-defend/pkg/policy"

// Disarm returns the same rules with nothing that blocks. What is blocked is
// alerted on as well, so the alerts stay, and Table.Disarmed tells which of them
// would have been refusals.
func (r *Ruleset) Disarm() *Ruleset {
	disarmed := *r
	for i := range disarmed.Tables {
		t := &disarmed.Tables[i]
		t.Disarmed, t.Block = t.Disarmed|t.Block, 0
	}
	return &disarmed
}

// FailingClosed returns the same rules with FailClosed.
func (r *Ruleset) FailingClosed() *Ruleset {
	closed := *r
	closed.FailClosed = true
	return &closed
}

// Withheld are the disarmed responses that would have refused an operation in a
// container that the kernel did not know: those that refuse whatever the
// container turns out to be, or if it fails closed, may.
func (r *Ruleset) Withheld(t policy.Type, a Aspect) uint64 {
	table := &r.Tables[t]
	match, exclude := a.May, a.Must
	if r.FailClosed {
		exclude &= table.ContainerFree
	} else {
		match &= table.ContainerFree
	}
	return table.fired(match, exclude) & table.Disarmed
}
