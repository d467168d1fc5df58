// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
)

// renamed gives the present keys of conditions that older generations of the language had under other names.
var renamed = map[string]string{
	"fullContainerImageName":    "containerImageFullName",
	"orchestratorClusterId":     "kubernetesClusterId",
	"orchestratorClusterName":   "kubernetesClusterName",
	"orchestratorNamespace":     "kubernetesNamespace",
	"orchestratorResourceName":  podNameKey,
	"orchestratorResourceLabel": "kubernetesPodLabel",
}

// inPodKeys are older conditions on what kind of thing a container belongs to, with the only value that can be
// answered. Both mean: the container is one of a pod.
var inPodKeys = map[string]string{
	"orchestratorType":         "kubernetes",
	"orchestratorResourceType": "pod",
}

// execMemFd is an operation of the first generation: running a program from memory that no path leads to. Here that is
// an exec like others, and no condition tells it from those, so nothing that is accepted could mean the same.
const (
	execMemFd       = "execMemFd"
	execMemFdRemedy = "remove it; a process selector with operation: [exec] and without processExecutable matches programs run from memory too"
)

// older tells of a key of an older generation: the official grammar has it no more, this language warns.
func (p *parser) older(e entry, problem, remedy string) {
	if p.official {
		p.fault(e.value.at, e.value.key, problem, remedy)
		return
	}
	p.warn(e.value.at, e.value.key, problem, remedy)
}

// currentNames replaces keys of older generations by those of today.
func (p *parser) currentNames(entries []entry) []entry {
	var current []entry
	for _, e := range entries {
		name, older := renamed[e.name]
		if older && slices.ContainsFunc(entries, func(other entry) bool { return other.name == name }) {
			p.fault(e.value.at, e.value.key, fmt.Sprintf("this is an older name of %q, which is there too", name), fmt.Sprintf("keep %q", name))
			continue
		}
		if older {
			p.older(e, fmt.Sprintf("this is an older name of %q", name), fmt.Sprintf("write %q", name))
			e.name = name
		}
		current = append(current, e)
	}
	return current
}

// inPod reads one of inPodKeys.
func (p *parser) inPod(s *selector, e entry, only string) {
	list, _ := p.someElements(e.value, fmt.Sprintf("only %q is allowed here", only))
	for _, item := range list {
		if text, ok := p.text(item); ok && text != only {
			p.fault(item.node, item.key, quote(text)+" is not known here", fmt.Sprintf("only %q is; remove the key, or the selector", only))
		}
	}
	s.inPod = true
	p.older(e, "this key of an older generation is gone", fmt.Sprintf(`write %s: ["*"] to ask for the containers of pods`, podNameKey))
}

// completeOlder adds what an older condition meant. A condition on a pod's name, namespace or labels means it already.
func (p *parser) completeOlder(s *selector) {
	if s.inPod && len(s.KubernetesPodName)+len(s.KubernetesNamespace)+len(s.KubernetesPodLabel) == 0 {
		s.KubernetesPodName = []string{"*"}
	}
}
