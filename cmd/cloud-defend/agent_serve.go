// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settings"
	"github.com/elastic/cloud-defend/pkg/unit"
)

const (
	// reportPeriod is how often the agent hears of counters.
	reportPeriod = 10 * time.Second
	// openPeriod is how often the kernel is tried again that refused the programs.
	openPeriod = 30 * time.Second
)

// opener loads the programs.
type opener func(a ecs.Agent, namespace string, v settings.Values, out *sink) (enforcer, error)

type applier interface {
	Apply(*ruleset.Ruleset, pipeline.Origin) (revision uint32, err error)
}

// managed does what Elastic Agent wants. One goroutine runs it; what diagnostics
// and Prometheus read is under the lock.
type managed struct {
	log  *slog.Logger
	open opener
	// resolve finds the host's qualified name.
	resolve func(context.Context) (string, error)

	sink *sink
	dir  string
	tick time.Duration // reportPeriod

	environment []settings.Fault
	values      settings.Values
	opened      settings.Values  // those with which the queue was opened
	settings    []settings.Fault // of the wanted input
	waiting     []string         // settings that the next start puts in force

	wanted   unit.Wanted
	read     *unit.Input // the one that was judged last
	rejected []unit.Reason
	warnings []unit.Reason
	lost     recent
	missed   recent
	notices  notices
	exposed  exposed
	spared   spared
	brake    *brake
	stance   stance // of what runs

	lock *node.Lock // while we may enforce
	held bool       // another process has it

	hostName  string    // host.name; empty: the hostname
	ephemeral string    // names this process in documents
	namespace string    // of what runs
	stopped   time.Time // when the kernel was tried last

	mu       sync.Mutex // held to write these, and to read them elsewhere
	inForce  inForce
	running  *running
	delivery *delivery       // nil until the settings are known that it needs
	last     pipeline.Status // of what ran before
}

// inForce is the policy that the kernel has.
type inForce struct {
	input *unit.Input
	rules *ruleset.Ruleset
}

// running is the enforcer and its end.
type running struct {
	enforcer
	stop context.CancelFunc
	done chan error
}

func newManaged(log *slog.Logger, open opener, dir string) *managed {
	m := &managed{
		log: log, open: open, resolve: host.FQDN, dir: dir, tick: reportPeriod,
		values: settings.Defaults(), ephemeral: ephemeralID(),
	}
	m.sink = newSink(func(ctx context.Context, docs []queue.Doc) error { return m.delivery.queue.Push(ctx, docs) })
	m.environment = settings.Environ(&m.values, os.LookupEnv)
	m.openNode()
	for _, f := range m.environment {
		log.Error("a variable of the environment cannot be used", "fault", f.String())
	}
	return m
}

// serve does what the agent wants until ctx is done.
func (m *managed) serve(ctx context.Context, component *unit.Component) error {
	ended := make(chan error, 1)
	go func() { ended <- component.Run(ctx) }()
	m.resume()
	tick, look := time.NewTicker(m.tick), time.NewTicker(min(m.tick, lookPeriod))
	defer tick.Stop()
	defer look.Stop()
	for {
		select {
		case w, open := <-component.Wanted():
			if !open {
				m.close()
				return <-ended
			}
			m.apply(w)
		case err := <-m.done():
			m.died(err)
		case now := <-tick.C:
			m.tryAgain()
			m.spare(now)
		case now := <-look.C:
			if !m.look(now) {
				continue
			}
		case <-ctx.Done():
			m.close()
			component.Close()
			return <-ended
		}
		m.tell(time.Now())
		component.Report(m.report())
	}
}

// resume puts in force what was before the last end. The agent has not said
// anything yet, so no unit can be told of a fault.
func (m *managed) resume() {
	k, err := readKept(m.dir)
	m.logError("nothing is enforced until the agent sends a policy", err)
	if k == nil {
		return
	}
	m.wanted.Agent = k.Agent
	m.sink.use(k.Input)
	m.set(k.Input)
	m.deliver(k.Input, nil)
	m.judge(k.Input)
}

func (m *managed) logError(consequence string, err error) {
	if err != nil {
		m.log.Error(consequence, "error", err)
	}
}

func (m *managed) done() <-chan error {
	if m.running == nil {
		return nil
	}
	return m.running.done
}

// apply puts in force what is wanted, as far as it can be.
func (m *managed) apply(w unit.Wanted) {
	if w.FQDN != m.wanted.FQDN {
		m.nameHost(w.FQDN)
	}
	m.wanted = w
	m.sink.use(w.Input)
	if w.Input != nil && w.Input != m.read {
		m.set(w.Input)
	}
	m.deliver(w.Input, w.Output)
	if w.Input == nil || !w.Input.Enforces {
		m.read, m.rejected, m.warnings = nil, nil, nil
		m.stop()
		m.logError("the next start may enforce a policy that nobody wants", forgetKept(m.dir))
		return
	}
	if w.Input != m.read {
		m.judge(w.Input)
	}
}

// deliver follows the output, and begins with the first settings that are known.
func (m *managed) deliver(in *unit.Input, o *unit.Output) {
	if m.delivery == nil {
		d := openDelivery(m.log, m.dir, m.values)
		m.mu.Lock()
		m.delivery, m.opened = d, m.values
		m.mu.Unlock()
	}
	m.delivery.use(o, in, m.wanted.Agent.Version)
}

// close ends everything: the events first, then the queue that they go to.
func (m *managed) close() {
	m.leave()
	m.stop()
	m.conceal()
	if m.delivery != nil {
		m.tellLast()
		m.delivery.close()
	}
}

// set takes over the input's settings. The environment comes after them.
func (m *managed) set(in *unit.Input) {
	before := m.values
	m.values, m.settings = settings.Read(before, in.Settings)
	settings.Environ(&m.values, os.LookupEnv)
	if m.delivery != nil {
		m.waiting = settings.Waiting(m.opened, m.values)
	}
	if m.running != nil {
		m.running.Fold(m.values.Folding)
		m.running.Merge(m.values.MergeWindow)
	}
	m.expose()
}

// judge puts an input's policy in force. A policy with faults leaves the one
// before it in force, unless that was another input's, which the agent took away.
func (m *managed) judge(in *unit.Input) {
	m.read, m.rejected = in, nil
	rules, warnings, faults := compile(in)
	m.warnings = warnings
	if faults == nil {
		faults = m.enforce(in, rules)
	}
	if faults == nil {
		m.log.Info("policy in force", "revision", in.Revision, "unit.id", in.UnitID, "contents", contents(rules))
		m.logError("the next start will not enforce this policy until the agent sends it", keep(m.dir, m.wanted.Agent, in))
		return
	}
	m.rejected = faults
	for _, f := range faults {
		m.log.Error("policy not in force", "revision", in.Revision, "unit.id", in.UnitID, "fault", f.String())
	}
	if old := m.enforced().input; old != nil && old.UnitID != in.UnitID {
		m.stop()
	}
}

func (m *managed) enforce(in *unit.Input, rules *ruleset.Ruleset) []unit.Reason {
	if err := m.start(in); err != nil {
		return []unit.Reason{kernelReason(err)}
	}
	if err := m.applyRules(in, rules, time.Now()); err != nil {
		return []unit.Reason{{Weight: unit.Rejected, Place: fmt.Sprintf("revision %d", in.Revision), Fault: err.Error()}}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inForce = inForce{in, rules}
	return nil
}

// applyRules puts rules into the kernel, with what they block unless somebody
// disarmed the node.
func (m *managed) applyRules(in *unit.Input, rules *ruleset.Ruleset, now time.Time) error {
	wanted := m.wantedStance(now)
	if _, err := m.running.Apply(wanted.of(rules), originOf(in)); err != nil {
		return err
	}
	m.stance = wanted
	return nil
}

// start loads the programs, unless they run. Another namespace is in every
// document, so it takes new ones.
func (m *managed) start(in *unit.Input) error {
	if m.running != nil && m.namespace == in.Namespace() {
		return nil
	}
	m.leave()
	m.halt()
	m.stopped = time.Now()
	if err := m.lockNode(); err != nil {
		return err
	}
	e, err := m.open(m.identity(), in.Namespace(), m.values, m.sink)
	if err != nil {
		m.unlockNode()
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	e.NameHost(m.hostName)
	r := &running{enforcer: e, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- e.Run(ctx) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.namespace = r, in.Namespace()
	return nil
}

// identity names the agent in documents.
func (m *managed) identity() ecs.Agent {
	return ecs.Agent{ID: m.wanted.Agent.ID, EphemeralID: m.ephemeral, Name: hostname(), Version: m.wanted.Agent.Version}
}

// leave has the kernel go on enforcing when what runs is stopped: the next start
// takes over. To a component, the end of its last input looks like that too.
func (m *managed) leave() {
	if m.running != nil {
		m.running.Leave()
	}
}

// stop leaves the node to others.
func (m *managed) stop() {
	m.halt()
	m.unlockNode()
	m.held = false
}

// halt takes the programs out of the kernel and waits for what is on its way.
func (m *managed) halt() {
	if m.running == nil {
		return
	}
	m.running.stop()
	if err := <-m.running.done; err != nil {
		m.log.Error("the end was not clean", "error", err)
	}
	m.forget()
}

func (m *managed) forget() {
	last := m.running.Status()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = last
	m.running, m.inForce = nil, inForce{}
}

// died notes that enforcing ended without having been asked to.
func (m *managed) died(err error) {
	if err == nil {
		err = errors.New("the events from the kernel ended")
	}
	m.log.Error("enforcing ended", "error", err)
	m.forget()
	m.unlockNode()
	m.rejected = []unit.Reason{{
		Weight: unit.Rejected, Fault: "enforcing ended: " + err.Error(),
		Remedy: fmt.Sprintf("it is tried again every %v", openPeriod),
	}}
}

// tryAgain starts over where the kernel, not the policy, was in the way.
func (m *managed) tryAgain() {
	m.expose()
	if m.running == nil && m.read != nil && time.Since(m.stopped) >= openPeriod {
		m.judge(m.read)
	}
}

func (m *managed) enforced() inForce {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inForce
}

func (m *managed) status() pipeline.Status {
	if m.running == nil {
		return pipeline.Status{}
	}
	return m.running.Status()
}
