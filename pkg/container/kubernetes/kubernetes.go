// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package kubernetes knows what an API server says of this node: its pods with
// their labels and owners, the node itself, and the cluster.
//
// It is cheap for the API server whatever the number of nodes: one list and one
// watch, restricted to the pods of this node; the node, the namespace
// kube-system and each owner by name. Nothing is listed or watched across the
// cluster. Whatever fails is kept for Stats and tried again.
package kubernetes

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/elastic/cloud-defend/pkg/container"
)

// Options say whom to ask, and about what.
type Options struct {
	// Node is the node's name in Kubernetes, the host's name when empty.
	Node string
	// Config is a kubeconfig file, or several joined by colons. When empty the
	// pod's service account is used.
	Config string
}

// Source follows the pods of this node and describes them to an inventory.
type Source struct {
	opts   Options
	pace   pace
	state  state
	pods   *pods
	places chan Place
}

// pace is how fast a source asks.
type pace struct {
	// first and most bound the pauses after a question that failed.
	first, most time.Duration
	// answer bounds how long an answer may take to begin.
	answer time.Duration
	// spread is the time over which questions about owners are spread: when a
	// deployment is rolled out, all nodes have the same question.
	spread time.Duration
	// again is when node and cluster are asked for the next time.
	again time.Duration
}

var usualPace = pace{
	first: time.Second, most: time.Minute, answer: 15 * time.Second, spread: 2 * time.Second, again: 30 * time.Minute,
}

// New returns a source that describes pods to the inventory while Run runs.
func New(opts Options, inventory *container.Inventory) *Source {
	if opts.Node == "" {
		opts.Node, _ = os.Hostname() // an empty name shows as that of no node
	}
	// The kubelet registers a host's name in lower case.
	opts.Node = strings.ToLower(opts.Node)
	s := &Source{opts: opts, pace: usualPace, places: make(chan Place, 1)}
	s.pods = newPods(inventory, &s.state)
	s.state.stats.Present = opts.Config != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	return s
}

// Stats reports the present state.
func (s *Source) Stats() Stats { return s.state.read() }

// Places is the feed of the node and its cluster. Only the last state is kept
// for a reader who is late. It is never closed.
func (s *Source) Places() <-chan Place { return s.places }

// Run follows the API server until ctx ends. It returns at once where there is
// no Kubernetes. All goroutines that it starts have ended when it returns.
func (s *Source) Run(ctx context.Context) {
	if !s.Stats().Present {
		return
	}
	silence()
	ctx = klog.NewContext(ctx, klog.New(nil))
	client := s.connect(ctx)
	if client == nil {
		return // ctx ended
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.followPods(ctx, client) })
	wg.Go(func() { s.followPlace(ctx, client) })
	wg.Go(func() { s.followOwners(ctx, client) })
	wg.Wait()
}

// silence turns off what client-go logs: the same is in Stats.
var silence = sync.OnceFunc(func() { klog.SetLogger(klog.New(nil)) })

// connect returns nil when ctx ends before there are credentials.
func (s *Source) connect(ctx context.Context) *rest.RESTClient {
	var client *rest.RESTClient
	s.insist(ctx, question{"read", "credentials", ""}, func(context.Context) error {
		config, err := configure(s.opts.Config)
		if err != nil {
			return err
		}
		client, err = newClient(config)
		return err
	})
	return client
}

// insist asks until there is an answer or ctx ends. The pauses grow.
func (s *Source) insist(ctx context.Context, q question, ask func(context.Context) error) {
	for pause := s.pace.first; ctx.Err() == nil; pause = min(2*pause, s.pace.most) {
		if s.ask(ctx, q, ask) == nil {
			return
		}
		sleep(ctx, jittered(pause))
	}
}

// ask asks once and keeps what went wrong.
func (s *Source) ask(ctx context.Context, q question, ask func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.pace.answer)
	defer cancel()
	err := ask(bounded)
	if ctx.Err() == nil {
		s.state.note(q, err)
	}
	return err
}

// jittered is d, give or take a fifth.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
