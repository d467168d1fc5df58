// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// lookPeriod is how often orders are looked for, and a lock that another holds.
const lookPeriod = time.Second

// brake follows the orders that people give on this node. One goroutine uses it.
type brake struct {
	folder *node.Folder // nil: there is none
	order  *node.Order  // the last one
	fault  error        // of folder, or of the order in it
	told   string       // what the last document told of
	// memory is the file that keeps told; empty for none.
	memory string
}

func openBrake(dir, memory string) *brake {
	b := &brake{memory: memory}
	b.folder, b.fault = node.Open(dir)
	if text, err := os.ReadFile(memory); err == nil {
		b.told = string(text)
	}
	b.look()
	return b
}

// look reads the last order. One that cannot be read changes nothing.
func (b *brake) look() {
	if b.folder == nil {
		return
	}
	order, err := b.folder.Order()
	if b.fault = err; err == nil {
		b.order = order
	}
}

func (b *brake) disarms(now time.Time) bool { return b.order.InForce(now) }

// ended marks the end of an order in what was told.
const ended = " ended"

// news is what is to be told of next; its id is for tell. A disarming has two
// ends: somebody's order, or its time.
func (b *brake) news(now time.Time) (order ecs.Order, id string, is bool) {
	o := b.order
	if o == nil || b.told == o.ID()+ended {
		return ecs.Order{}, "", false
	}
	if b.told != o.ID() {
		return ecs.Order{At: o.At, Disarm: o.Disarm, Until: o.Until, Reason: o.Reason, UserID: o.UserID, UserName: o.User}, o.ID(), true
	}
	if !o.Disarm || o.InForce(now) {
		return ecs.Order{}, "", false
	}
	return ecs.Order{At: o.Until, Reason: "the time was over for which it was off", UserID: os.Geteuid(), UserName: "cloud-defend"}, o.ID() + ended, true
}

// tell notes that a document told of an order.
func (b *brake) tell(id string) error {
	b.told = id
	if b.memory == "" {
		return nil
	}
	if err := replaceFile(b.memory, []byte(id)); err != nil {
		return fmt.Errorf("note what was told of the brake: %w", err)
	}
	return nil
}

// stance is how rules are put in force.
type stance struct {
	disarmed   bool // nothing is refused
	failClosed bool
}

// of is what the kernel gets of rules.
func (s stance) of(rules *ruleset.Ruleset) *ruleset.Ruleset {
	if s.failClosed {
		rules = rules.FailingClosed()
	}
	if s.disarmed {
		rules = rules.Disarm()
	}
	return rules
}

// whyDisarmed says an order in force to a person.
func whyDisarmed(o *node.Order) string {
	return fmt.Sprintf("nothing is refused until %s: disarmed by %s, %s", o.Until.UTC().Format(time.DateTime+" UTC"), giver(o), o.Reason)
}

func giver(o *node.Order) string {
	if o.User != "" {
		return o.User
	}
	return fmt.Sprintf("user %d", o.UserID)
}

func toldPath(dir string) string { return filepath.Join(dir, "order-told") }
