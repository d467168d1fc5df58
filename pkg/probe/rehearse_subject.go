// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

var errFailClosed = errors.New("no ruleset that fails closed is rehearsed")

// Judge decides about operations as the ruleset's own Judge does, but by the programs and under the ruleset that was
// put.
func (r *Rehearsal) Judge(t policy.Type, subjects []ruleset.Subject) ([]ruleset.Decision, error) {
	decisions := make([]ruleset.Decision, 0, len(subjects))
	for len(subjects) > 0 {
		n := min(len(subjects), MaxCases)
		cases := make([]Described, n)
		for i := range cases {
			if err := r.prepare(t, &subjects[i], uint64(i+1), &cases[i]); err != nil {
				return nil, err
			}
		}
		verdicts, err := r.Run(cases)
		if err != nil {
			return nil, err
		}
		for _, v := range verdicts {
			decisions = append(decisions, ruleset.Decision{Selectors: v.Selectors, Log: v.Log, Alert: v.Alert, Block: v.Block})
		}
		subjects = subjects[n:]
	}
	return decisions, nil
}

// prepare describes one operation. Each place in a run is a container of its own, so that each may name users in its
// own way.
func (r *Rehearsal) prepare(t policy.Type, s *ruleset.Subject, container uint64, out *Described) error {
	if s.FailClosed {
		return errFailClosed
	}
	*out = Described{
		Type: t, Operation: s.Operation, Also: NoOperation, Path: placed(&s.Path), Known: !s.UserUnnamed,
		Must: s.ContainerMust, May: s.ContainerMay, Interactive: s.Interactive,
	}
	out.Path.Volume, out.Path.VolumeFile = s.OnVolume, s.OnVolumeFile
	if s.Reads {
		out.Also = policy.OpenFile
	}
	if t != policy.Process {
		return nil
	}
	leader := placed(&s.Leader)
	out.Cgroup, out.User, out.Leader = container, s.UserID, &leader
	if err := r.Name(container, s.UserID, s.UserNames); err != nil {
		return fmt.Errorf("name user %d: %w", s.UserID, err)
	}
	return nil
}

func placed(p *ruleset.Place) DescribedPath {
	return DescribedPath{Path: p.Name, Unresolved: p.Unresolved, Internal: p.Internal}
}
