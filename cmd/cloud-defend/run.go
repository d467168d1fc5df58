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
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/doctor"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/output/file"
	"github.com/elastic/cloud-defend/pkg/output/terminal"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settings"
	"github.com/elastic/cloud-defend/pkg/telemetry"
)

type runFlags struct {
	policy, format string
	outputs        []string
	settings       settings.Values
	environment    []settings.Fault
}

func newRun() *cobra.Command {
	f := runFlags{settings: settings.Defaults()}
	f.environment = settings.Environ(&f.settings, os.LookupEnv)
	cmd := &cobra.Command{
		Use:   "run --policy FILE",
		Short: "Enforce a policy file on this host and print what happens",
		Long: `Enforce a policy file on this host until interrupted.

Ctrl-C ends enforcement at once. After SIGTERM, as from kill or systemd, the
kernel goes on refusing for 2 minutes, after a crash for 15, so that a restart
leaves no gap; cloud-defend cleanup ends that, and --survival=false prevents it.
"cloud-defend disarm" stops refusing while all goes on running.

Events go to --output: on a terminal one readable line each, otherwise ECS
documents as NDJSON. Progress and state go to standard error. The policy is
read again when the file changes and on SIGHUP; a policy with faults leaves the
one before it in force.

Exit status: 0 it refused until it was told to end, 1 it failed, or another
process enforces on this host, 2 the policy or a flag has faults, 3 it could
only observe, 4 this host allows neither.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy file (required)")
	cmd.Flags().StringArrayVar(&f.outputs, "output", []string{"-"}, "file to append events to, - for standard output; can be repeated")
	cmd.Flags().StringVar(&f.format, "format", "auto", "text, ndjson, or auto: text on a terminal, else ndjson;\nwith several outputs, that of standard output")
	for _, s := range settings.Flags(&f.settings) {
		flag := cmd.Flags().VarPF(s, s.Name, "", s.Usage)
		if s.IsBoolFlag() {
			flag.NoOptDefVal = "true"
		}
	}
	return cmd
}

func run(ctx context.Context, f runFlags) error {
	if f.policy == "" {
		return inputError(errors.New("no policy: name one with --policy FILE"))
	}
	if len(f.environment) > 0 {
		return inputError(errors.New(f.environment[0].String()))
	}
	text, err := os.ReadFile(f.policy)
	if err != nil {
		return inputError(fmt.Errorf("read policy: %w", err))
	}
	rs, err := loadPolicy(f.policy, text)
	if err != nil {
		return inputError(err)
	}
	out, err := openOutputs(f)
	if err != nil {
		return err
	}
	defer out.Close()
	brake := openBrake(f.settings.State, "")
	lock, err := lockNode(brake, f.policy)
	if err != nil {
		return err
	}
	defer lock.Close()
	say("loading programs into the kernel")
	p, err := pipeline.Open(pipeline.Config{
		Agent:       ecs.Agent{Version: release()},
		Output:      out,
		HostIP:      f.settings.HostIP,
		Folding:     f.settings.Folding,
		MergeWindow: mergeWindow(f.settings.MergeWindow, out),
		Log:         slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Proc:        f.settings.Proc,
		Cgroup:      f.settings.Cgroup,
		NRI:         f.settings.NRI,
		Kubernetes:  kubernetesOptions(f.settings),
		Survival:    probe.Survival{Dir: survivalDir, Off: !f.settings.Survival},
	})
	if err != nil {
		return cannotRun(ctx, err)
	}
	if a := p.Status().Probe.Adopted; a != nil {
		say("took over what another process left: since then %d operations were refused, %d records lost",
			a.Since.Refused, a.Since.LostAlerts+a.Since.LostEvents)
	}
	sayLimits(p.Status().Probe)
	w := watcher{pipeline: p, path: f.policy, text: text, brake: brake, lock: lock, enforce: f.settings.Enforce, failClosed: f.settings.FailClosed}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.Run(running) }()
	end, err := expose(p, f.settings.Prometheus)
	if err == nil {
		defer end()
		err = w.apply(rs)
	}
	if err != nil {
		stop()
		<-done
		return err
	}
	err = w.watch(ctx, stop, done)
	summary(p.Status())
	if err == nil && !p.Status().Probe.Mode.Refuses() {
		return &exitError{code: exitObserve}
	}
	return err
}

func kubernetesOptions(v settings.Values) kubernetes.Options {
	return kubernetes.Options{Node: v.KubernetesNode, Config: v.KubernetesConfig}
}

// mergeWindow is 0 where somebody watches: lines come as things happen.
func mergeWindow(set time.Duration, out output.All) time.Duration {
	for _, o := range out {
		if _, lines := o.(*terminal.Terminal); lines {
			return 0
		}
	}
	return set
}

// lockNode makes this process the one that enforces on the node. Without a place
// for a lock everybody does.
func lockNode(b *brake, policy string) (*node.Lock, error) {
	if b.folder == nil {
		say("nothing keeps another process from protecting this node, too: %v", b.fault)
		return &node.Lock{}, nil
	}
	// An order of before is not this run's news.
	if !b.disarms(time.Now()) {
		b.told = b.order.ID() + ended
	}
	lock, err := b.folder.Lock("cloud-defend run --policy " + policy)
	if errors.As(err, new(*node.Held)) {
		return nil, fmt.Errorf("%w; end that one first, or remove its integration", err)
	}
	return lock, err
}

// expose serves Prometheus metrics if there is an address. It returns what ends that.
func expose(p *pipeline.Pipeline, address string) (end func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	server, err := telemetry.Listen(address, func() telemetry.Sample {
		return telemetry.Sample{Pipeline: p.Status(), Process: telemetry.Measure()}
	})
	if err != nil {
		return nil, inputError(fmt.Errorf("--prometheus-address: %w; write another address, or free this one", err))
	}
	say("Prometheus metrics are at http://%s/metrics", server.Address())
	return server.Close, nil
}

// cannotRun says what doctor says, because the kernel refused the programs.
func cannotRun(ctx context.Context, err error) error {
	if errors.As(err, new(*probe.Busy)) {
		return fmt.Errorf("%w: end it first, or remove its integration", err)
	}
	var lacking *probe.Unsupported
	if !errors.As(err, &lacking) {
		return err
	}
	fmt.Fprintf(os.Stderr, "cloud-defend: %v\n\n", err)
	return examine(ctx, os.Stderr, "table", doctor.Options{Try: func(context.Context) doctor.Trial { return failedTrial(err) }})
}

// loadPolicy parses and compiles; its error has one line for each fault.
func loadPolicy(name string, text []byte) (*ruleset.Ruleset, error) {
	pol, warnings, err := policy.Parse(name, text)
	for _, w := range warnings {
		say("warning: %s", w)
	}
	if err != nil {
		return nil, err
	}
	rs, err := ruleset.Compile(pol)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rs, nil
}

// openOutputs opens every output that the flags name. The format is that of
// standard output, or of the only output; files beside others are NDJSON.
func openOutputs(f runFlags) (output.All, error) {
	if !slices.Contains([]string{"auto", "text", "ndjson"}, f.format) {
		return nil, inputError(fmt.Errorf("--format %q: use text, ndjson or auto", f.format))
	}
	var all output.All
	for _, name := range f.outputs {
		format := f.format
		if name != "-" && len(f.outputs) > 1 {
			format = "auto"
		}
		out, err := openOutput(name, format)
		if err != nil {
			return nil, inputError(errors.Join(err, all.Close()))
		}
		all = append(all, out)
	}
	return all, nil
}

func openOutput(name, format string) (output.Output, error) {
	if format == "auto" && name == "-" && terminal.IsTerminal(os.Stdout) {
		format = "text"
	}
	if format != "text" {
		return file.Open(name)
	}
	if name == "-" {
		return terminal.New(os.Stdout, terminal.Colour(os.Stdout)), nil
	}
	to, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	return terminal.New(to, false), nil
}
