// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package node

import (
	"fmt"
	"time"
)

const brakeEntry = "brake"

// Longest is how long a node can be disarmed by one order.
const Longest = 24 * time.Hour

// Order is what somebody on the node told the enforcer: to refuse nothing for a
// time, or to refuse again.
type Order struct {
	Disarm bool      `json:"disarm"`
	At     time.Time `json:"at"`
	// Until is the end of a disarming.
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// UserID and User are who gave it.
	UserID int    `json:"user_id"`
	User   string `json:"user,omitempty"`
}

// ID tells an order from all others of the node; empty for none.
func (o *Order) ID() string {
	if o == nil {
		return ""
	}
	return o.At.UTC().Format(time.RFC3339Nano)
}

// InForce reports whether the order disarms the node now. One that has longer
// to go than any order may is the work of a clock that was wrong.
func (o *Order) InForce(now time.Time) bool {
	return o != nil && o.Disarm && now.Before(o.Until) && o.Until.Sub(now) <= Longest
}

// Give replaces the order before it. It outlives processes, until the node is
// started anew.
func (f *Folder) Give(o Order) error {
	if err := f.put(brakeEntry, o); err != nil {
		return fmt.Errorf("write the order to %s: %w", f.path, err)
	}
	return nil
}

// Order is the last one; nil where there is none.
func (f *Folder) Order() (*Order, error) {
	var o Order
	found, err := f.get(brakeEntry, &o)
	if err != nil {
		return nil, fmt.Errorf("read the node's brake: %w", err)
	}
	if !found {
		return nil, nil //nolint:nilnil // nobody has given one
	}
	return &o, nil
}
