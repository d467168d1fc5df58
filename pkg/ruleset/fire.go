// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import "github.com/elastic/cloud-defend/pkg/policy"

// Fire evaluates the responses of a type for the selectors that match, all
// their conditions considered.
func (r *Ruleset) Fire(t policy.Type, matching uint64) Decision {
	table := &r.Tables[t]
	fired := table.fired(matching, matching)
	d := Decision{Log: fired & table.Log, Alert: fired & table.Alert, Block: fired & table.Block}
	for i, match := range table.Match {
		if fired&(1<<i) != 0 {
			d.Selectors |= match & matching
		}
	}
	return d
}
