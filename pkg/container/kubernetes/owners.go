// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/elastic/cloud-defend/pkg/container"
)

// between are the kinds that only stand between a pod and what a person made,
// and where they are asked for.
var between = map[string]question{
	"ReplicaSet": {"get", "replicasets", "apps"},
	"Job":        {"get", "jobs", "batch"},
}

// owner is whom a pod's direct owner belongs to.
type owner struct {
	container.Owner
	known bool
	// namespace, kind and name are those of the direct owner.
	namespace, kind, name string
}

// ownerOf is the best that is known. It leaves a question behind where there is
// one. Called with mu held.
func (s *pods) ownerOf(p *pod) container.Owner {
	direct := container.Owner{Kind: p.owner.Kind, Name: p.owner.Name}
	if _, ok := between[p.owner.Kind]; !ok {
		return direct
	}
	o, asked := s.owners[p.owner.UID]
	if !asked {
		s.owners[p.owner.UID] = owner{Owner: direct, namespace: p.said.Namespace, kind: p.owner.Kind, name: p.owner.Name}
		select {
		case s.asked <- struct{}{}:
		default:
		}
		return direct
	}
	return o.Owner
}

// prune forgets the owners of pods that went. Called with mu held.
func (s *pods) prune() {
	used := map[types.UID]bool{}
	for _, p := range s.known {
		if p.owner != nil {
			used[p.owner.UID] = true
		}
	}
	for uid := range s.owners {
		if !used[uid] {
			delete(s.owners, uid)
		}
	}
}

// unknown are the owners to ask for.
func (s *pods) unknown() map[types.UID]owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[types.UID]owner{}
	for uid, o := range s.owners {
		if !o.known {
			all[uid] = o
		}
	}
	return all
}

// learn takes over whom an owner belongs to, and describes its pods again.
func (s *pods) learn(uid types.UID, o owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.owners[uid]; !used {
		return
	}
	o.known = true
	s.owners[uid] = o
	for _, p := range s.known {
		if p.owner != nil && p.owner.UID == uid {
			s.describe(p)
		}
	}
}

// followOwners answers the questions about owners until ctx ends, once each.
func (s *Source) followOwners(ctx context.Context, client *rest.RESTClient) {
	retry := s.pace.first
	for ctx.Err() == nil {
		unknown := s.pods.unknown()
		if len(unknown) == 0 {
			select {
			case <-s.pods.asked:
				sleep(ctx, time.Duration(rand.Float64()*float64(s.pace.spread)))
			case <-ctx.Done():
			}
			continue
		}
		if s.askOwners(ctx, client, unknown) {
			retry = s.pace.first
			continue
		}
		sleep(ctx, jittered(retry))
		retry = min(2*retry, s.pace.most)
	}
}

// askOwners reports whether all were answered. It ends with the first that was
// not: the rest would fare no better, and there are many nodes.
func (s *Source) askOwners(ctx context.Context, client *rest.RESTClient, unknown map[types.UID]owner) bool {
	for uid, o := range unknown {
		err := s.ask(ctx, between[o.kind], func(ctx context.Context) error {
			ref, err := askOwner(ctx, client, uid, o)
			if ref != nil {
				o.Owner = container.Owner{Kind: ref.Kind, Name: ref.Name}
			}
			return err
		})
		if err != nil {
			return false
		}
		s.pods.learn(uid, o)
	}
	return true
}

// onlyMetadata is a content type: the object without specification and status.
const onlyMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// askOwner returns nil for an owner that belongs to nobody or is gone.
func askOwner(ctx context.Context, client *rest.RESTClient, uid types.UID, o owner) (*metav1.OwnerReference, error) {
	q := between[o.kind]
	reply, err := get(client).AbsPath("/apis", q.group, "v1").Namespace(o.namespace).Resource(q.resource).Name(o.name).
		SetHeader("Accept", onlyMetadata).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(reply, &object); err != nil {
		return nil, err
	}
	if object.UID != uid {
		return nil, nil // another of the same name
	}
	return metav1.GetControllerOf(&object), nil
}
