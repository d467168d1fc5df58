// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// watchPeriod is how often the policy file is read again.
const watchPeriod = time.Second

// watcher keeps the policy in force that the file holds.
type watcher struct {
	pipeline *pipeline.Pipeline
	path     string
	text     []byte // what was read last, good or bad
	revision uint32

	brake      *brake
	lock       *node.Lock
	enforce    bool             // the setting
	failClosed bool             // the setting
	rules      *ruleset.Ruleset // those of the last policy that is in force
	disarmed   bool             // they refuse nothing
}

// apply puts a ruleset in force and says so.
func (w *watcher) apply(rs *ruleset.Ruleset) error {
	disarmed := !w.enforce || w.brake.disarms(time.Now())
	revision, err := w.pipeline.Apply(stance{disarmed, w.failClosed}.of(rs), pipeline.Origin{})
	if err != nil {
		return err
	}
	w.revision, w.rules, w.disarmed = revision, rs, disarmed
	status := w.pipeline.Status()
	doing := "enforcing"
	if !status.Probe.Mode.Refuses() {
		doing = "observing by"
	}
	say("%s revision %d of %s (%s) by %s", doing, revision, w.path, contents(rs), modeText(status.Probe))
	switch {
	case w.brake.disarms(time.Now()):
		say("%s", whyDisarmed(w.brake.order))
	case disarmed:
		say("nothing is refused, because --enforce is false")
	}
	w.obey()
	return nil
}

// obey lets the node know that its last order is carried out.
func (w *watcher) obey() {
	if err := w.lock.Obey(w.brake.order); err != nil {
		say("who gave the order does not hear of it: %v", err)
	}
}

// look follows the orders that people give on this node.
func (w *watcher) look(now time.Time) {
	w.brake.look()
	if (!w.enforce || w.brake.disarms(now)) == w.disarmed {
		w.obey()
	} else if err := w.apply(w.rules); err != nil {
		say("the brake has no effect yet: %v", err)
		return
	}
	if order, id, is := w.brake.news(now); is && w.pipeline.Tell(order) {
		w.brake.tell(id) //nolint:errcheck // it is only remembered
	}
}

// watch returns when the pipeline ends. SIGTERM may be a restart's: the kernel
// goes on enforcing for a while. Who presses Ctrl-C wants it to end.
func (w *watcher) watch(ctx context.Context, stop func(), done <-chan error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	runtime, announced, cluster := "", "", ""
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			if terminated(ctx) {
				w.pipeline.Leave()
			}
			stop()
			return <-done
		case <-hangup:
			w.reload(true)
		case now := <-tick.C:
			w.look(now)
			w.reload(false)
			status := w.pipeline.Status()
			runtime, cluster = sayRuntime(status, runtime), sayKubernetes(status.Kubernetes, cluster)
			announced = sayNRI(status.Containers.NRI, announced)
		}
	}
}

// terminated reports whether SIGTERM ended the context; see signal.NotifyContext.
func terminated(ctx context.Context) bool {
	return strings.HasPrefix(context.Cause(ctx).Error(), syscall.SIGTERM.String())
}

// reload puts the file's policy in force when its text is new, or always.
func (w *watcher) reload(always bool) {
	text, err := os.ReadFile(w.path)
	if err == nil && bytes.Equal(text, w.text) && !always {
		return
	}
	if err != nil {
		if w.text != nil {
			say("revision %d stays in force: read policy: %v", w.revision, err)
		}
		w.text = nil
		return
	}
	w.text = text
	rs, err := loadPolicy(w.path, text)
	if err == nil {
		err = w.apply(rs)
	}
	if err != nil {
		say("revision %d stays in force, because the new policy has faults:\n%v", w.revision, err)
	}
}
