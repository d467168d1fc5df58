// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package telemetry

import (
	"slices"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/queue"
)

// Figures is the table.
func Figures() []Figure { return slices.Clone(figures) }

var figures = slices.Concat(events(), cluster(), refusals(), losses(), delivery(), costs())

func counter(field, metric, help string, read func(*Sample) uint64, labels ...Label) Figure {
	return Figure{Field: field, Metric: metric, Labels: labels, Kind: Counter, Help: help, read: read}
}

func gauge(field, metric string, unit Unit, help string, read func(*Sample) uint64, labels ...Label) Figure {
	return Figure{Field: field, Metric: metric, Labels: labels, Kind: Gauge, Unit: unit, Help: help, read: read}
}

func events() []Figure {
	const records = "Records that the kernel put into a ring."
	all := []Figure{
		counter("events.records.alerts", "records_total", records, func(s *Sample) uint64 { return s.Pipeline.Probe.Alerts }, Label{"ring", "alerts"}),
		counter("events.records.events", "records_total", records, func(s *Sample) uint64 { return s.Pipeline.Probe.Events }, Label{"ring", "events"}),
	}
	for a := event.ActionFork; a.String() != ""; a++ {
		action := a.String()
		all = append(all, counter("events.documented."+action, "events_documented_total", "Events that became documents.",
			func(s *Sample) uint64 { return s.Pipeline.Documented[action] }, Label{"action", action}))
	}
	return append(all,
		gauge("events.waiting", "events_waiting", "", "Events that wait for the description of their container.",
			func(s *Sample) uint64 { return uint64(s.Pipeline.Settle.Held) }),
		counter("events.unsettled", "events_unsettled_total", "Events that were documented before their container was described.",
			func(s *Sample) uint64 { return s.Pipeline.Settle.Expired + s.Pipeline.Settle.PushedOut }),
		counter("events.withheld", "documents_withheld_total", "Documents of streams that are disabled, which were not sent.",
			func(s *Sample) uint64 { return s.Withheld }),
		gauge("containers.known", "containers", "", "Containers that exist.",
			func(s *Sample) uint64 { return uint64(s.Pipeline.Containers.Known) }),
		gauge("containers.incomplete", "containers_incomplete", "", "Containers of which only the id is known.",
			func(s *Sample) uint64 { return uint64(s.Pipeline.Containers.Incomplete) }),
		counter("containers.announced", "containers_announced_total", "Containers that the runtime told of by NRI before they started.",
			func(s *Sample) uint64 { return s.Pipeline.Containers.NRI.Announced }),
		counter("containers.late", "containers_late_total", "Containers announced by NRI that started before the kernel was told of them.",
			func(s *Sample) uint64 { return s.Pipeline.Containers.NRI.Late }),
		gauge("processes.known", "processes", "", "Running processes that are known.",
			func(s *Sample) uint64 { return uint64(s.Pipeline.Processes.Live) }),
	)
}

func cluster() []Figure {
	all := []Figure{gauge("kubernetes.pods", "kubernetes_pods", "", "Pods of this node, as the API server has them.",
		func(s *Sample) uint64 { return uint64(s.Pipeline.Kubernetes.Pods) })}
	for _, f := range kubernetes.Failures() {
		all = append(all, counter("kubernetes.failures."+f.String(), "kubernetes_failures_total", "Questions that the API server did not answer.",
			func(s *Sample) uint64 { return s.Pipeline.Kubernetes.Failures[f] }, Label{"reason", f.String()}))
	}
	return all
}

func refusals() []Figure {
	return []Figure{
		counter("blocked.total", "blocked_total", "Operations that the kernel refused.",
			func(s *Sample) uint64 { return s.Pipeline.Probe.Refused + s.Pipeline.Probe.Blind }),
		counter("blocked.documented", "blocked_documented_total", "Refused operations that a document tells of.",
			func(s *Sample) uint64 { return s.Pipeline.Refused }),
		counter("blocked.folded", "folded_total", "Refusals that documents tell of which stand for several.",
			func(s *Sample) uint64 { return s.Pipeline.Folded.Folded }),
		gauge("blocked.held", "folding", "", "Refusals that such a document will tell of within 10 s.",
			func(s *Sample) uint64 { return s.Pipeline.Folded.Held }),
		counter("blocked.spared", "spared_total", "Operations of the component itself that a response would have refused.",
			func(s *Sample) uint64 { return s.Pipeline.Probe.Spared }),
		counter("blocked.disarmed", "disarmed_total", "Operations that would have been refused, had the node not been disarmed.",
			func(s *Sample) uint64 { return s.Pipeline.Disarmed }),
		counter("blocked.premature", "premature_total", "Operations that would have been refused, had their container been known yet.",
			func(s *Sample) uint64 { return s.Pipeline.Premature }),
		gauge("policy.revision", "ruleset_revision", "", "How many policies were put in force since the programs were loaded.",
			func(s *Sample) uint64 { return uint64(s.Pipeline.Probe.Revision) }),
		counter("policy.swap.count", "swaps_total", "Policies that were put in force, or should have been.",
			func(s *Sample) uint64 { return s.Pipeline.Swaps.Count }),
		counter("policy.swap.failed", "swaps_failed_total", "Policies that could not be put in force, so that the one before stayed.",
			func(s *Sample) uint64 { return s.Pipeline.Swaps.Failed }),
		gauge("policy.swap.last", "swap_last_seconds", Nanos, "How long the last policy took to be in force in the kernel.",
			func(s *Sample) uint64 { return nanos(s.Pipeline.Swaps.Last) }),
		gauge("policy.swap.max", "swap_max_seconds", Nanos, "How long a policy took at the most to be in force in the kernel.",
			func(s *Sample) uint64 { return nanos(s.Pipeline.Swaps.Max) }),
	}
}

// losses are by the stage at which something ended, and why.
func losses() []Figure {
	const help = "Events, operations and documents that were lost."
	lost := func(stage, reason string, read func(*Sample) uint64) Figure {
		return counter("lost."+stage+"."+reason, "lost_total", help, read, Label{"stage", stage}, Label{"reason", reason})
	}
	all := []Figure{
		counter("lost.total", "", help+" All stages.", func(s *Sample) uint64 { return s.Pipeline.Lost() + s.Pipeline.Probe.Missed + s.Queue.Lost() }),
		lost("kernel", "alerts_full", func(s *Sample) uint64 { return s.Pipeline.Probe.LostAlerts }),
		lost("kernel", "events_full", func(s *Sample) uint64 { return s.Pipeline.Probe.LostEvents }),
		lost("kernel", "refused_without_record", func(s *Sample) uint64 { return s.Pipeline.Probe.Blind }),
		lost("kernel", "not_judged", func(s *Sample) uint64 { return s.Pipeline.Probe.Missed }),
		lost("decode", "malformed", func(s *Sample) uint64 { return s.Pipeline.Probe.Malformed }),
	}
	for o := range (queue.Counts{}) {
		if outcome := queue.Outcome(o); outcome.Lost() {
			all = append(all, lost("queue", key(outcome), func(s *Sample) uint64 { return settled(&s.Queue, outcome) }))
		}
	}
	return all
}

// key is an outcome as part of a name.
func key(o queue.Outcome) string { return strings.ReplaceAll(o.String(), " ", "_") }

func settled(s *queue.Stats, o queue.Outcome) uint64 {
	var n uint64
	for _, l := range s.Lanes {
		n += l.Counts[o]
	}
	return n
}

func delivery() []Figure {
	var all []Figure
	for i := range (queue.Stats{}).Lanes {
		lane := queue.Lane(i)
		label := Label{"lane", lane.String()}
		all = append(all,
			counter("queue.accepted."+lane.String(), "queue_accepted_total", "Documents that came into the queue.",
				func(s *Sample) uint64 { return s.Queue.Lanes[lane].Accepted }, label),
			gauge("queue.documents."+lane.String(), "queue_documents", "", "Documents that wait to be delivered.",
				func(s *Sample) uint64 { return s.Queue.Lanes[lane].Queued }, label),
			gauge("queue.on_disk."+lane.String(), "queue_on_disk_documents", "", "Documents that wait on disk alone.",
				func(s *Sample) uint64 { return s.Queue.Lanes[lane].OnDisk }, label),
		)
	}
	for _, o := range []queue.Outcome{queue.Delivered, queue.Rejected, queue.Kept} {
		all = append(all, counter("output."+key(o), "output_documents_total", "Documents by what became of them.",
			func(s *Sample) uint64 { return settled(&s.Queue, o) }, Label{"outcome", key(o)}))
	}
	return append(all,
		gauge("queue.memory", "queue_memory_bytes", Bytes, "Memory of documents in the queue.", func(s *Sample) uint64 { return uint64(s.Queue.MemoryBytes) }),
		gauge("queue.disk", "queue_disk_bytes", Bytes, "Size of the spool.", func(s *Sample) uint64 { return uint64(s.Queue.DiskBytes) }),
	)
}

func costs() []Figure {
	runs := counter("bpf.runs", "bpf_runs_total", "Runs of the attached programs; only where the kernel counts them (sysctl kernel.bpf_stats_enabled).",
		func(s *Sample) uint64 { return s.Pipeline.Probe.Runs })
	spent := counter("bpf.run_time", "bpf_run_seconds_total", "Time spent in the attached programs; only where the kernel counts it.",
		func(s *Sample) uint64 { return nanos(s.Pipeline.Probe.RunTime) })
	spent.Unit = Nanos
	counted := func(s *Sample) bool { return s.Pipeline.Probe.Runs > 0 }
	runs.known, spent.known = counted, counted
	cpu := counter("process.cpu", "process_cpu_seconds_total", "CPU time of the component.", func(s *Sample) uint64 { return s.Process.CPU })
	cpu.Unit = Nanos
	return []Figure{
		runs, spent, cpu,
		gauge("process.memory.rss", "process_resident_memory_bytes", Bytes, "Memory of the component.", func(s *Sample) uint64 { return s.Process.RSS }),
	}
}

func nanos(d time.Duration) uint64 { return uint64(max(d, 0)) }
