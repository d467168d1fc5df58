// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

var (
	listPods  = question{"list", "pods", ""}
	watchPods = question{"watch", "pods", ""}
)

// followPods keeps s.pods like the API server's until ctx ends.
func (s *Source) followPods(ctx context.Context, client *rest.RESTClient) {
	logger := klog.FromContext(ctx)
	backoff := &wait.Backoff{Duration: s.pace.first, Cap: s.pace.most, Steps: 16, Factor: 2, Jitter: 0.2}
	reflector := cache.NewReflectorWithOptions(&nodePods{s, client}, &corev1.Pod{}, s.pods, cache.ReflectorOptions{
		Name: "pods", Logger: &logger, Backoff: backoff,
	})
	reflector.RunWithContext(ctx)
}

// nodePods lists and watches the pods of this node. It is a [cache.ListerWatcher].
type nodePods struct {
	source *Source
	client *rest.RESTClient
}

// IsWatchListSemanticsUnSupported makes the reflector begin with a list, which an
// API server answers from memory: it has its pods by node.
func (*nodePods) IsWatchListSemanticsUnSupported() bool { return true }

func (n *nodePods) request(options *metav1.ListOptions) *rest.Request {
	options.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", n.source.opts.Node).String()
	return get(n.client).Resource("pods").VersionedParams(options, metav1.ParameterCodec)
}

// ListWithContext is the reflector's.
func (n *nodePods) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	var list corev1.PodList
	err := n.source.ask(ctx, listPods, func(ctx context.Context) error {
		return n.request(&options).Do(ctx).Into(&list)
	})
	return &list, err
}

// WatchWithContext is the reflector's. It waits for an answer as long as a list
// does; what has begun goes on until the API server ends it.
func (n *nodePods) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	watching, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(n.source.pace.answer, func() { cancel(context.DeadlineExceeded) })
	w, err := n.request(&options).Watch(watching)
	if !late.Stop() && err == nil {
		w.Stop()
		err = context.DeadlineExceeded
	}
	if err != nil && context.Cause(watching) != nil && ctx.Err() == nil {
		err = context.Cause(watching)
	}
	if ctx.Err() == nil {
		n.source.state.note(watchPods, err)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	// Errors that come in a watch are kept, but not that it was stopped while it read.
	seen := func(e watch.Event) (watch.Event, bool) {
		if e.Type == watch.Error && watching.Err() == nil {
			n.source.state.note(watchPods, apierrors.FromObject(e.Object))
		}
		return e, true
	}
	return &watched{watch.Filter(w, seen), cancel}, nil
}

// List and Watch are what reflectors called before there were contexts; the
// interface still wants them.
func (n *nodePods) List(options metav1.ListOptions) (runtime.Object, error) {
	return n.ListWithContext(context.Background(), options)
}

// Watch is like List.
func (n *nodePods) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return n.WatchWithContext(context.Background(), options)
}

// watched frees its context when it ends.
type watched struct {
	watch.Interface
	cancel context.CancelCauseFunc
}

func (w *watched) Stop() {
	w.cancel(nil)
	w.Interface.Stop()
}
