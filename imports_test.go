// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mayImport lists, for each folder of pkg, the other folders of pkg its
// non-test code may import. Data flows one way: what stands in a row must not
// come to depend on the row's own package.
var mayImport = map[string][]string{
	"policy":    {},
	"container": {},
	"event":     {},
	"host":      {},
	"ruleset":   {"policy", "container"},
	"rehearsal": {"policy", "container", "ruleset"},
	"probe":     {"policy", "ruleset", "event"},
	"settle":    {"event", "process"},
	"process":   {"event"},
	"ecs":       {"event", "process", "container", "host"},
	"queue":     {},
	"output":    {"event", "process", "container", "ecs", "queue"},
	"doctor":    {"host", "container"},
	"settings":  {},
	"unit":      {},
	"telemetry": {"container", "event", "queue", "pipeline"},
	"node":      {},
	"pipeline": {
		"policy", "container", "event", "host", "ruleset", "probe", "settle", "process", "ecs", "queue", "output", "unit",
	},
}

// direction finds imports that point against the flow of data.
func direction(r tree) []string {
	set, parsed, faults := r.parse()
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		from, isStage := stage(module + "/" + path.Dir(name))
		if !isStage || strings.HasSuffix(name, "_test.go") {
			continue
		}
		allowed, known := mayImport[from]
		if !known {
			faults = append(faults, fmt.Sprintf("%s: pkg/%s has no row in mayImport", name, from))
			continue
		}
		for _, spec := range parsed[name].Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil || !strings.HasPrefix(imported, module+"/") {
				continue
			}
			to, _ := stage(imported)
			if to != from && !slices.Contains(allowed, to) {
				faults = append(faults, fmt.Sprintf("%s: pkg/%s may not import %s", set.Position(spec.Pos()), from, imported))
			}
		}
	}
	return faults
}

// stage names the folder of pkg that an import path lies in.
func stage(imported string) (string, bool) {
	rest, inPkg := strings.CutPrefix(imported, module+"/pkg/")
	name, _, _ := strings.Cut(rest, "/")
	return name, inPkg
}
