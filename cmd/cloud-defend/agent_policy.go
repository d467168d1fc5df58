// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/unit"
)

// compile makes rules of an input's policy and extensions. It returns either
// rules or what is wrong; warnings in both cases.
func compile(in *unit.Input) (rules *ruleset.Ruleset, warnings, faults []unit.Reason) {
	name := fmt.Sprintf("revision %d", in.Revision)
	if in.Policy == nil {
		// The input says itself why there is none.
		return nil, nil, []unit.Reason{{Weight: unit.Rejected, Place: name, Fault: "holds no policy"}}
	}
	pol, doubts, err := parseInput(name, in)
	if err == nil {
		rules, err = ruleset.Compile(pol)
	}
	for _, d := range doubts {
		warnings = append(warnings, reason(unit.Note, policy.Fault(d)))
	}
	for _, f := range faultsOf(name, err) {
		faults = append(faults, reason(unit.Rejected, f))
	}
	return rules, warnings, faults
}

// parseInput keeps lines and columns where there is one text and nothing else.
func parseInput(name string, in *unit.Input) (*policy.Policy, []policy.Warning, error) {
	if in.Policy.Tree == nil && in.Extensions == nil {
		return policy.Parse(name, []byte(in.Policy.Text))
	}
	main, err := tree(in.Policy)
	if err != nil {
		return policy.Parse(name, []byte(in.Policy.Text)) // says where
	}
	more := policy.Structure{Name: name + ", extensions"}
	if in.Extensions != nil {
		if more.Value, err = tree(in.Extensions); err != nil {
			return policy.Parse(more.Name, []byte(in.Extensions.Text))
		}
	}
	return policy.ParseStructure(name, main, more)
}

func tree(p *unit.Policy) (value any, err error) {
	if p.Tree != nil {
		return p.Tree, nil
	}
	return value, yaml.Unmarshal([]byte(p.Text), &value)
}

// reason puts a fault's place into the words of a state.
func reason(w unit.Weight, f policy.Fault) unit.Reason {
	place := f.File
	if f.Line > 0 {
		place += fmt.Sprintf(", line %d, column %d", f.Line, f.Column)
	}
	if f.Key != "" {
		place += ": " + f.Key
	}
	return unit.Reason{Weight: w, Place: place, Fault: f.Problem, Remedy: f.Remedy}
}
