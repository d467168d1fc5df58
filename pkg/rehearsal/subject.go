// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Subject is a case as the kernel would know its operation, to be judged by it or by Judge. Nobody knows how
// users are called in an unknown container, whatever the case says.
func Subject(rs *ruleset.Ruleset, c policy.Case) ruleset.Subject {
	s := ruleset.Subject{
		Operation: c.Operation, Path: ruleset.Place{Name: c.Path}, OnVolume: c.OnVolume, OnVolumeFile: c.OnVolumeFile,
		Interactive: c.Interactive, UserID: c.UserID, Leader: ruleset.Place{Name: c.SessionLeader, Internal: c.SessionLeader == ""},
		ContainerMust: rs.Tables[c.Type].ContainerFree, ContainerMay: all, UserUnnamed: c.Container.Unknown,
	}
	if c.Container.Unknown {
		return s
	}
	scope := rs.Scope(described(c.Container))[c.Type]
	s.ContainerMust, s.ContainerMay = scope, scope
	if c.UserName != "" {
		s.UserNames = rs.NamedUsers([]container.User{{Name: c.UserName, ID: c.UserID}})[c.UserID]
	}
	return s
}

func described(s policy.Surroundings) (container.Container, ruleset.Cluster) {
	return container.Container{
		Image:    container.ParseImage(s.Image),
		Pod:      container.Pod{Name: s.Pod, Namespace: s.Namespace, Labels: s.Labels},
		Complete: true,
	}, ruleset.Cluster{ID: s.ClusterID, Name: s.ClusterName}
}
