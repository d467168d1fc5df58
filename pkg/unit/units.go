// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
)

// key names a unit; an input and an output may have the same id.
type key struct {
	kind client.UnitType
	id   string
}

// held is a unit that the agent has told us of.
type held struct {
	unit     *client.Unit
	arrived  uint64 // the sequence before it came; the same for units that came together
	changed  uint64 // the sequence from which on its present configuration is wanted
	stopping bool
	input    *Input
	output   *Output
}

// change takes over what the agent says of one unit, and reports whether
// something else is wanted now.
func (c *Component) change(ch client.UnitChanged) bool {
	k := key{ch.Unit.Type(), ch.Unit.ID()}
	if ch.Type == client.UnitChangedRemoved {
		// The same id can have come back already, as another object.
		if h := c.units[k]; h != nil && h.unit == ch.Unit {
			delete(c.units, k)
		}
		c.setLevel()
		return true
	}
	expected := ch.Unit.Expected()
	// A unit that comes later is not told of features: the library sends them once.
	featured := expected.Features != nil && expected.Features.GetFqdn().GetEnabled() != c.fqdn
	if featured {
		c.fqdn = !c.fqdn
	}
	fresh := ch.Type == client.UnitChangedAdded
	if fresh {
		c.units[k] = &held{unit: ch.Unit, arrived: c.sequence}
		c.say(c.units[k], client.UnitStateStarting, "Starting: its configuration is next", nil)
	}
	c.setLevel()
	moved := fresh || ch.Triggers&(client.TriggeredConfigChange|client.TriggeredStateChange) != 0
	if h := c.units[k]; h != nil && moved {
		c.configure(h, expected)
	}
	return moved || featured
}

// configure reads a unit's configuration, which is wanted from the next
// snapshot on.
func (c *Component) configure(h *held, expected client.Expected) {
	h.changed = c.sequence + 1
	h.stopping = expected.State == client.UnitStateStopped
	switch {
	case h.stopping:
		c.say(h, client.UnitStateStopping, "Stopping", nil)
	case h.unit.Type() == client.UnitTypeInput:
		h.input = readInput(h.unit.ID(), expected.Config)
	default:
		h.output = readOutput(expected.Config)
	}
}

// setLevel follows the most verbose unit: the agent sorts out by unit what is
// too much.
func (c *Component) setLevel() {
	level := slog.LevelError
	for _, h := range c.units {
		level = min(level, levelOf(h.unit.Expected().LogLevel))
	}
	if len(c.units) > 0 {
		c.level.Set(level)
	}
}

func levelOf(l client.UnitLogLevel) slog.Level {
	switch l {
	case client.UnitLogLevelError:
		return slog.LevelError
	case client.UnitLogLevelWarn:
		return slog.LevelWarn
	case client.UnitLogLevelDebug, client.UnitLogLevelTrace:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// snapshot gives what is wanted now.
func (c *Component) snapshot() Wanted {
	c.sequence++
	w := Wanted{Sequence: c.sequence, FQDN: c.fqdn}
	if info := c.client.AgentInfo(); info != nil {
		w.Agent = Agent{ID: info.ID, Version: info.Version, Snapshot: info.Snapshot}
	}
	c.choose()
	for _, h := range c.wantedUnits(client.UnitTypeOutput) {
		w.Output = h.output
		c.sayApplying(h, "Applying the output's settings")
	}
	for _, h := range c.wantedUnits(client.UnitTypeInput) {
		if h.unit.ID() == c.inForce.id {
			w.Input = h.input
			c.sayApplying(h, fmt.Sprintf("Applying revision %d", h.input.Revision))
			continue
		}
		c.say(h, client.UnitStateFailed, anotherInput(c.units[c.inForce].input), nil)
	}
	return w
}

// sayApplying says so of a unit whose configuration this snapshot is the first to hold.
func (c *Component) sayApplying(h *held, text string) {
	if h.changed == c.sequence {
		c.say(h, client.UnitStateConfiguring, text, nil)
	}
}

// choose keeps the input that is in force as long as it is wanted, then takes
// the one that came first; of those that came together, the first by id, so
// that a restart chooses the same.
func (c *Component) choose() {
	if h := c.units[c.inForce]; h != nil && !h.stopping {
		return
	}
	c.inForce = key{}
	if inputs := c.wantedUnits(client.UnitTypeInput); len(inputs) > 0 {
		inputs[0].changed = c.sequence
		c.inForce = key{client.UnitTypeInput, inputs[0].unit.ID()}
	}
}

// wantedUnits are those that are not leaving, the next one first.
func (c *Component) wantedUnits(kind client.UnitType) []*held {
	var found []*held
	for _, h := range c.units {
		if h.unit.Type() == kind && !h.stopping {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b *held) int {
		return cmp.Or(cmp.Compare(a.arrived, b.arrived), cmp.Compare(a.unit.ID(), b.unit.ID()))
	})
	return found
}

func anotherInput(in *Input) string {
	name := in.ID
	if in.Name != "" {
		name = fmt.Sprintf("%s (%s)", in.Name, in.ID)
	}
	return "Not in force: the policy of " + name + " protects this node already; " +
		"keep one Defend for Containers integration for each node. This one takes over when the other leaves"
}

// tell passes a report on to the units that it speaks of.
func (c *Component) tell(r Report) {
	if c.ending {
		return
	}
	for k, h := range c.units {
		switch {
		case h.changed > r.Applied:
		case h.stopping:
			c.say(h, client.UnitStateStopped, "Stopped", nil)
		case k == c.inForce:
			c.sayHealth(h, r.Input, h.input)
		case k.kind == client.UnitTypeOutput:
			c.sayHealth(h, r.Output, nil)
		}
	}
}

func (c *Component) sayHealth(h *held, health Health, in *Input) {
	if in != nil {
		health.Reasons = append(slices.Clone(in.Reasons), health.Reasons...)
	}
	state, text := health.state()
	c.say(h, state, text, payload(health, in))
}

// payload is shown beside the state: the counters, and the streams in the form
// that Fleet shows.
func payload(health Health, in *Input) map[string]any {
	all := map[string]any{}
	if len(health.Counters) > 0 {
		counters := map[string]any{}
		for name, n := range health.Counters {
			counters[name] = float64(n)
		}
		all["counters"] = counters
	}
	if in != nil && len(in.Streams) > 0 {
		streams := map[string]any{}
		for _, s := range in.Streams {
			streams[s.ID] = streamStatus(health.Streams[s.Dataset])
		}
		all["streams"] = streams
	}
	return all
}

func streamStatus(fault string) map[string]any {
	if fault == "" {
		return map[string]any{"status": client.UnitStateHealthy.String(), "error": ""}
	}
	return map[string]any{"status": client.UnitStateDegraded.String(), "error": shorten(fault)}
}

func (c *Component) tellStopping() {
	c.ending = true
	for _, h := range c.units {
		c.say(h, client.UnitStateStopping, "Stopping: the process was asked to end", nil)
	}
}

// severity is that of the line that tells of a new state. Others are information.
var severity = map[client.UnitState]slog.Level{
	client.UnitStateDegraded: slog.LevelWarn,
	client.UnitStateFailed:   slog.LevelError,
}

func (c *Component) say(h *held, state client.UnitState, text string, payload map[string]any) {
	before, _, _ := h.unit.State()
	if err := h.unit.UpdateState(state, text, payload); err != nil {
		c.log.Error("a state cannot be reported", "unit.id", h.unit.ID(), "error", err)
		return
	}
	if before != state {
		c.log.Log(context.Background(), severity[state], "unit is "+state.String(), "unit.id", h.unit.ID(), "reason", text)
	}
}
