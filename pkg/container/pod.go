// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"maps"
	"slices"
)

// Pod is the Kubernetes pod that a container belongs to; zero when there is
// none.
type Pod struct {
	Name      string
	Namespace string
	UID       string
	// SandboxID is the id of the pod's sandbox container.
	SandboxID string
	IP        string
	// Owner is what a person made that the pod comes from; zero for a pod that
	// was made by itself, and while nobody told.
	Owner Owner
	// Labels are all of them, for conditions.
	Labels map[string]string
	// Label and Annotation are for documents.
	Label, Annotation Pairs
}

// Owner is a workload: a Deployment, a DaemonSet, a CronJob.
type Owner struct{ Kind, Name string }

// Pairs are labels or annotations as documents show them: key:value, sorted.
type Pairs struct {
	List []string
	// Cut is true when List does not have all of them whole.
	Cut bool
}

const (
	// maxPairs and maxPair bound what a document says of a pod: anybody who
	// may make a pod chooses how many labels and annotations it has.
	maxPairs = 64
	// maxPair is in bytes, as many as are indexed of a keyword. Longer ones
	// are mostly whole manifests.
	maxPair = 1024
)

// ListPairs makes a list of labels or annotations. Those that are too long, and
// the last ones of too many, are left out.
func ListPairs(pairs map[string]string) Pairs {
	var p Pairs
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		value := pairs[key]
		if len(p.List) == maxPairs || len(key)+1+len(value) > maxPair {
			p.Cut = true
			continue
		}
		p.List = append(p.List, key+":"+value)
	}
	return p
}

// podWord is what Kubernetes said of a pod.
type podWord struct {
	Pod
	gone bool
}

// Describe takes over what Kubernetes says of a pod. uid is what the runtime
// calls it. The runtime knows the labels that a pod began with; these here are
// those that it has now.
func (inv *Inventory) Describe(uid string, pod Pod) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.pods[uid] = podWord{Pod: pod}
	for _, r := range inv.records {
		if r.Pod.UID == uid {
			inv.learn(r)
		}
	}
}

// Withdraw tells that Kubernetes has the pod no more. Its containers may run a
// while yet, and are described as before.
func (inv *Inventory) Withdraw(uid string) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if word, ok := inv.pods[uid]; ok {
		word.gone = true
		inv.pods[uid] = word
	}
}

// describe adds what Kubernetes says to what the runtime says. Called with mu
// held.
func (inv *Inventory) describe(c Container) Container {
	word, known := inv.pods[c.Pod.UID]
	if !known || c.Pod.UID == "" {
		c.Pod.Label = ListPairs(c.Pod.Labels)
		return c
	}
	sandbox := c.Pod.SandboxID
	c.Pod = word.Pod
	c.Pod.SandboxID = sandbox
	return c
}

// purgePods forgets the pods that went, once no container is left. Called with
// mu held.
func (inv *Inventory) purgePods() {
	live := map[string]bool{}
	for _, r := range inv.records {
		live[r.Pod.UID] = true
	}
	maps.DeleteFunc(inv.pods, func(uid string, word podWord) bool { return word.gone && !live[uid] })
}
