// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output/terminal"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/settings"
	"github.com/elastic/cloud-defend/pkg/unit"
)

const agentManaged = "agent-managed"

// acceptAgent gives the root command what Elastic Agent starts it with:
// --agent-managed -E path.data=DIR, and whatever a later agent may add. Unknown
// flags are let pass for the agent only, because nobody reads its messages; a
// person's are mistakes.
func acceptAgent(root *cobra.Command, args []string) {
	var managed bool
	var overrides []string
	flags := root.Flags()
	flags.BoolVar(&managed, agentManaged, false, "take policy and output from Elastic Agent, which starts the program so")
	flags.StringArrayVarP(&overrides, "override", "E", nil, "key=value, from Elastic Agent")
	for _, name := range []string{agentManaged, "override"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err)
		}
	}
	if !slices.Contains(args, "--"+agentManaged) {
		root.FParseErrWhitelist.UnknownFlags = false
		byHand := root.RunE
		root.RunE = func(cmd *cobra.Command, args []string) error {
			if len(overrides) > 0 {
				return inputError(fmt.Errorf("-E is for Elastic Agent; see %s --help", cmd.CommandPath()))
			}
			return byHand(cmd, args)
		}
		return
	}
	root.FParseErrWhitelist.UnknownFlags = true
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return runManaged(cmd.Context(), overrides) }
}

// runManaged serves Elastic Agent until it asks for the end. That is no
// failure, so the agent does not report one.
func runManaged(ctx context.Context, overrides []string) error {
	if terminal.IsTerminal(os.Stdin) {
		return inputError(errors.New("--agent-managed is how Elastic Agent starts this program; by hand, use: cloud-defend run --policy FILE"))
	}
	level := new(slog.LevelVar)
	log := unit.NewLog(os.Stderr, level)
	m := newManaged(log, openKernel(log), dataFolder(overrides))
	m.logError("more memory is held than is needed", smallPages())
	component, err := unit.Connect(os.Stdin, unit.Options{
		Name: "cloud-defend", Commit: commit(buildInfo()), Log: log, Level: level, Diagnostics: m.diagnostics(),
	})
	if err != nil {
		return inputError(err)
	}
	return m.serve(ctx, component)
}

// dataFolder is where the agent keeps what shall survive a restart of ours. The
// agent makes it our working directory, too.
func dataFolder(overrides []string) string {
	for _, o := range overrides {
		if dir, ok := strings.CutPrefix(o, "path.data="); ok {
			return dir
		}
	}
	return "."
}

func commit(info *debug.BuildInfo) string {
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// enforcer is the part of the program that needs the kernel.
type enforcer interface {
	applier
	Run(ctx context.Context) error
	Leave()
	Fold(on bool)
	NameHost(name string)
	Merge(window time.Duration)
	Status() pipeline.Status
}

// openKernel loads the programs. What they need of the agent and of the node
// does not change while they run.
func openKernel(log *slog.Logger) opener {
	return func(agent ecs.Agent, namespace string, v settings.Values, out *sink) (enforcer, error) {
		return pipeline.Open(pipeline.Config{
			Agent:       agent,
			Namespace:   namespace,
			Output:      out,
			HostIP:      v.HostIP,
			Folding:     v.Folding,
			MergeWindow: v.MergeWindow,
			Log:         log,
			Proc:        v.Proc,
			Cgroup:      v.Cgroup,
			NRI:         v.NRI,
			Kubernetes:  kubernetesOptions(v),
			Survival:    probe.Survival{Dir: survivalDir, Off: !v.Survival},
		})
	}
}

// ephemeralID is a random UUID: agent.ephemeral_id names one run of the program.
func ephemeralID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
