// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// sweeping finds a value that matches every path of some depth or more, as /** and /*/** do.
func sweeping(paths []string) (path string, is bool) {
	i := slices.IndexFunc(paths, func(path string) bool { return strings.Contains(path, "**") && strings.Trim(path, "/*") == "" })
	if i < 0 {
		return "", false
	}
	return paths[i], true
}

// sweptBy says which paths such a value matches. ** is any number of directories, and at the end at least one name.
func sweptBy(path string) string {
	components := strings.Split(path, "/")[1:]
	least := 0
	for i, c := range components {
		if c == "*" || i == len(components)-1 {
			least++
		}
	}
	if least == 1 {
		return fmt.Sprintf("every path (%s)", path)
	}
	return fmt.Sprintf("every path of %d components or more (%s)", least, path)
}

// sweepingFileBlocks doubts responses that refuse operations on all files: containers write and read some.
func (p *parser) sweepingFileBlocks(s *section) {
	for i := range s.responses {
		r := &s.responses[i]
		for _, name := range s.those(r.Match, func(sel *selector) bool { return r.block != nil && sel != nil && (sel.anywhere() || sel.reads()) }) {
			if path, is := sweeping(s.find(name).TargetFilePath); is {
				p.warn(r.block, r.key+": actions", fmt.Sprintf("selector %s blocks %s", name, sweptBy(path)), "containers may fail to start or to stop")
			}
		}
	}
}

// sweepingExecBlocks doubts responses that refuse to run any program: a container begins with one. An exclude that says
// which program, or whose, makes a list of what may run, and is meant.
func (p *parser) sweepingExecBlocks(s *section) {
	for i := range s.responses {
		r := &s.responses[i]
		chosen := slices.ContainsFunc(r.Exclude, func(name string) bool { return !s.find(name).anyExec() })
		if r.block == nil || chosen {
			continue
		}
		for _, name := range s.those(r.Match, (*selector).anyExec) {
			where := ""
			if s.find(name).inSomeContainers() {
				where = " in the containers that it selects"
			}
			p.warn(r.block, r.key+": actions", fmt.Sprintf("selector %s blocks exec of every program%s", name, where),
				"containers cannot start: name executables, or exclude a selector that does")
		}
	}
}

// anyExec reports whether a process selector selects exec whatever the program, its user and its session are. What a
// broken selector was meant to select is not known.
func (s *selector) anyExec() bool {
	if s == nil || s.broken || len(s.Operations) > 0 && !slices.Contains(s.Operations, Exec) {
		return false
	}
	_, anyProgram := sweeping(s.ProcessExecutable)
	return (anyProgram || len(s.ProcessExecutable) == 0) && s.ProcessName == nil && s.ProcessUserID == nil && s.ProcessUserName == nil &&
		s.SessionLeaderName == nil && s.SessionLeaderExecutable == nil && s.SessionLeaderInteractive == nil
}

// inSomeContainers reports whether the selector asks for more of a container than that it has an image.
func (s *selector) inSomeContainers() bool {
	some := func(values []string) bool { return values != nil && !slices.Contains(values, "*") }
	return some(s.ContainerImageFullName) || some(s.ContainerImageName) || some(s.ContainerImageTag) || some(s.KubernetesClusterID) ||
		some(s.KubernetesClusterName) || s.KubernetesNamespace != nil || s.KubernetesPodName != nil || s.KubernetesPodLabel != nil
}
