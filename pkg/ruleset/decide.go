// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"math/bits"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Query is what is known about one operation. What is not known yet is given as two sets of selectors: those whose
// conditions certainly hold (must) and those whose conditions may hold (may). Where everything is known both are equal;
// must is always part of may.
type Query struct {
	Operation policy.Operation
	// OnVolume says that the file is on a volume mounted into the container, OnVolumeFile that it is itself such a
	// mount.
	OnVolume, OnVolumeFile bool
	// ContainerMust and ContainerMay are about the conditions on the container: Scope twice for a known container,
	// Table.ContainerFree and every bit for an unknown one.
	ContainerMust, ContainerMay uint64
	// PathMust and PathMay are about all other conditions: path, name, user and session.
	PathMust, PathMay uint64
	// FailClosed blocks what may have to be blocked; otherwise only what certainly has to be is blocked.
	FailClosed bool
}

// Decision is what a policy says about an operation.
type Decision struct {
	// Selectors are the selectors that match, of the match lists of the responses that fired.
	Selectors uint64
	// Log, Alert and Block are the responses that fired with that action. With incomplete knowledge Log and Alert hold
	// every response that may have to fire.
	Log, Alert, Block uint64
}

// Decide evaluates the responses of a type in the same way as the kernel.
func (r *Ruleset) Decide(t policy.Type, q Query) Decision {
	table := &r.Tables[t]
	considered := table.considered(q)
	may := considered & q.ContainerMay & q.PathMay
	must := considered & q.ContainerMust & q.PathMust
	if q.FailClosed {
		return table.decide(may, must, may, must)
	}
	return table.decide(may, must, considered&q.ContainerMust&q.PathMay, considered&q.ContainerMay&q.PathMust)
}

// Fire evaluates the responses of a type for the selectors that count for match and for exclude lists, all of their
// conditions considered.
func (r *Ruleset) Fire(t policy.Type, match, exclude uint64) Decision {
	return r.Tables[t].decide(match, exclude, match, exclude)
}

// or adds what fires for another aspect of the same call.
func (d Decision) or(other Decision) Decision {
	return Decision{
		Selectors: d.Selectors | other.Selectors, Log: d.Log | other.Log, Alert: d.Alert | other.Alert, Block: d.Block | other.Block,
	}
}

// decide evaluates the responses for the selectors that count for match and for exclude lists, block apart.
func (t *Table) decide(match, exclude, blockMatch, blockExclude uint64) Decision {
	fired := t.fired(match, exclude)
	d := Decision{
		Log:   fired & t.Log,
		Alert: fired & t.Alert,
		Block: t.fired(blockMatch, blockExclude) & t.Block,
	}
	for rest := d.Log | d.Alert | d.Block; rest != 0; rest &= rest - 1 {
		d.Selectors |= match & t.Match[bits.TrailingZeros64(rest)]
	}
	return d
}

// considered are the selectors that accept the operation and the kind of mount.
func (t *Table) considered(q Query) uint64 {
	set := t.Operations[q.Operation]
	if q.OnVolume {
		set &^= t.IgnoreVolumeMounts
	}
	if q.OnVolumeFile {
		set &^= t.IgnoreVolumeFiles
	}
	return set
}

// fired are the responses for which a selector of match matches and none of exclude does.
func (t *Table) fired(match, exclude uint64) uint64 {
	var fired uint64
	for i := range t.Match {
		if t.Match[i]&match != 0 && t.Exclude[i]&exclude == 0 {
			fired |= 1 << i
		}
	}
	return fired
}

// Names resolves selector bits, in the order of the policy.
func (r *Ruleset) Names(t policy.Type, selectors uint64) []string {
	var names []string
	for i, name := range r.Tables[t].Selectors {
		if selectors&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Uses reports whether an operation can make some response fire.
func (r *Ruleset) Uses(t policy.Type, op policy.Operation) bool {
	return r.Tables[t].Operations[op]&r.Tables[t].AnyMatch != 0
}

// Blocks reports whether an operation can be blocked.
func (r *Ruleset) Blocks(t policy.Type, op policy.Operation) bool {
	return r.Tables[t].Blocking()&r.Tables[t].Operations[op] != 0
}
