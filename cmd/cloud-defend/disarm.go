// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/settings"
)

const (
	// obeyTime bounds how long the verbs wait for the enforcer: a policy is
	// swapped in some milliseconds, on a loaded machine in seconds.
	obeyTime  = 30 * time.Second
	obeyPoll  = 50 * time.Millisecond
	reasonMax = 500 // bytes; an order has to fit into one link
)

func newDisarm() *cobra.Command {
	var duration time.Duration
	var o orderFlags
	cmd := &cobra.Command{
		Use:   "disarm --for DURATION --reason TEXT",
		Short: "Refuse nothing on this node for a time",
		Long: `Refuse nothing on this node for a time, whoever enforces here and whatever the
policy says. What the policy blocks is let through, and an alert says that it
would have been refused.

The order outlives restarts of the component and of Elastic Agent, but not of
the node. It is in the unit's state, and an alert of its own tells who gave it
and why. "cloud-defend arm" ends it before its time.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("for") {
				return inputError(errors.New("no time: say with --for DURATION how long, such as --for 1h"))
			}
			if duration <= 0 || duration > node.Longest {
				return inputError(fmt.Errorf("--for: %v is not between 1s and %v; write a duration such as 1h", duration, node.Longest))
			}
			if strings.TrimSpace(o.reason) == "" {
				return inputError(errors.New("no reason: say with --reason TEXT why, for those who will ask"))
			}
			return o.give(cmd.Context(), cmd.OutOrStdout(), duration)
		},
	}
	cmd.Flags().DurationVar(&duration, "for", 0, "how long, such as 1h; at most 24h (required)")
	o.register(cmd, "why (required)")
	return cmd
}

func newArm() *cobra.Command {
	o := orderFlags{reason: "the brake was taken off"}
	cmd := &cobra.Command{
		Use:   "arm",
		Short: "Refuse again on this node what the policy blocks",
		Long:  `Refuse again on this node what the policy blocks: the end of cloud-defend disarm.`,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.give(cmd.Context(), cmd.OutOrStdout(), 0)
		},
	}
	o.register(cmd, "why")
	return cmd
}

type orderFlags struct {
	reason, state string
}

func (o *orderFlags) register(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&o.reason, "reason", o.reason, usage)
	cmd.Flags().StringVar(&o.state, "host-state", "", "the node's folder, where the setting host.state names one [CLOUD_DEFEND_HOST_STATE]")
}

// give writes the order, disarming if there is a duration, and waits until it is
// carried out.
func (o *orderFlags) give(ctx context.Context, out io.Writer, duration time.Duration) error {
	if len(o.reason) > reasonMax {
		return inputError(fmt.Errorf("--reason: %d bytes are more than %d", len(o.reason), reasonMax))
	}
	v := settings.Defaults()
	if faults := settings.Environ(&v, os.LookupEnv); len(faults) > 0 {
		return inputError(errors.New(faults[0].String()))
	}
	if o.state != "" {
		v.State = o.state
	}
	folder, err := node.Open(v.State)
	if err != nil {
		return fmt.Errorf("%w; this takes root", err)
	}
	order := orderFrom(o.reason, duration, time.Now())
	if err := folder.Give(order); err != nil {
		return err
	}
	return await(ctx, out, folder, &order, survivalDir)
}

func orderFrom(reason string, duration time.Duration, now time.Time) node.Order {
	id, name := giverOfOrders()
	o := node.Order{At: now, Reason: reason, UserID: id, User: name}
	if duration > 0 {
		o.Disarm, o.Until = true, now.Add(duration)
	}
	return o
}

// giverOfOrders is who asked sudo for root, or who this process is.
func giverOfOrders() (id int, name string) {
	if id, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil {
		return id, os.Getenv("SUDO_USER")
	}
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return os.Getuid(), name
}

// await says what became of an order. What a process left in the kernel, in the
// folder pins, hears of none.
func await(ctx context.Context, out io.Writer, folder *node.Folder, order *node.Order, pins string) error {
	what := "armed"
	if order.Disarm {
		what = "disarmed until " + order.Until.UTC().Format(time.DateTime+" UTC")
	}
	ctx, cancel := context.WithTimeout(ctx, obeyTime)
	defer cancel()
	for {
		enforcer, err := folder.Enforcer()
		if err != nil {
			return err
		}
		if left, _ := os.ReadDir(pins); enforcer == nil && len(left) > 0 && order.Disarm {
			return fmt.Errorf("no process enforces on this node now, but what the last one left in the kernel still does: "+
				"say cloud-defend cleanup to end that. What starts here is %s", what)
		}
		if enforcer == nil {
			fmt.Fprintf(out, "Nothing enforces on this node now. What starts here is %s.\n", what)
			return nil
		}
		if enforcer.Obeys == order.ID() {
			fmt.Fprintf(out, "This node is %s: %s obeys.\n", what, enforcer)
			return nil
		}
		select {
		case <-time.After(obeyPoll):
		case <-ctx.Done():
			return fmt.Errorf("the order is given, and %s has not carried it out within %v; see its state", enforcer, obeyTime)
		}
	}
}
