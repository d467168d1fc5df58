// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/elastic/cloud-defend/pkg/container"
)

// pods is what a reflector fills, and what tells the inventory. It keeps of a
// pod what documents and policies need. It is a [cache.ReflectorStore].
type pods struct {
	inventory *container.Inventory
	state     *state
	asked     chan struct{} // holds one signal: there is an owner to ask for

	mu     sync.Mutex
	known  map[types.UID]*pod
	owners map[types.UID]owner
}

// pod is one of this node.
type pod struct {
	said container.Pod
	// runtimeUID is what the container runtime calls it.
	runtimeUID string
	owner      *metav1.OwnerReference
}

func newPods(inventory *container.Inventory, state *state) *pods {
	return &pods{
		inventory: inventory, state: state, asked: make(chan struct{}, 1),
		known: map[types.UID]*pod{}, owners: map[types.UID]owner{},
	}
}

// mirrorOf is the annotation of a pod that the kubelet read from a file and only
// mirrors to the API server: there it has another UID than in the runtime.
const mirrorOf = "kubernetes.io/config.mirror"

func newPod(p *corev1.Pod) *pod {
	uid := string(p.UID)
	if hash := p.Annotations[mirrorOf]; hash != "" {
		uid = hash
	}
	return &pod{runtimeUID: uid, owner: metav1.GetControllerOf(p), said: container.Pod{
		Name: p.Name, Namespace: p.Namespace, UID: string(p.UID), IP: p.Status.PodIP,
		Labels: p.Labels, Label: container.ListPairs(p.Labels), Annotation: container.ListPairs(p.Annotations),
	}}
}

// Add is the reflector's.
func (s *pods) Add(object any) error {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("take over a pod: got a %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(p)
	s.state.count(len(s.known))
	return nil
}

// Update is the reflector's.
func (s *pods) Update(object any) error { return s.Add(object) }

// Delete is the reflector's.
func (s *pods) Delete(object any) error {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("forget a pod: got a %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(p.UID)
	s.prune()
	s.state.count(len(s.known))
	return nil
}

// Replace is the reflector's: all pods that there are.
func (s *pods) Replace(objects []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[types.UID]*corev1.Pod, len(objects))
	for _, object := range objects {
		p, ok := object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("take over pods: got a %T", object)
		}
		listed[p.UID] = p
	}
	// What went goes first: the runtime may call a new pod as it did an old one.
	for uid := range s.known {
		if listed[uid] == nil {
			s.remove(uid)
		}
	}
	for _, p := range listed {
		s.add(p)
	}
	s.prune()
	s.state.count(len(s.known))
	return nil
}

// Resync is the reflector's; there is nothing to do.
func (s *pods) Resync() error { return nil }

// add is called with mu held.
func (s *pods) add(object *corev1.Pod) {
	p := newPod(object)
	s.known[object.UID] = p
	s.describe(p)
}

// remove is called with mu held.
func (s *pods) remove(uid types.UID) {
	p, ok := s.known[uid]
	if !ok {
		return
	}
	delete(s.known, uid)
	s.inventory.Withdraw(p.runtimeUID)
}

// describe tells the inventory what is known of a pod. Called with mu held.
func (s *pods) describe(p *pod) {
	if p.owner != nil {
		p.said.Owner = s.ownerOf(p)
	}
	s.inventory.Describe(p.runtimeUID, p.said)
}
