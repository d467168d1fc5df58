// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package conformance

// relatives are the processes that a document tells of beside the one that acted.
var relatives = []string{"parent", "group_leader", "session_leader", "entry_leader"}

// Fields is the table.
var Fields = build()

const (
	everywhere = "every document"
	events     = "events and alerts"
	processes  = "process events"
	files      = "file events"
	ends       = "ends"
	contained  = "containers"
	pods       = "pods"
	heartbeats = "heartbeats"
	maybe      = "where there is one"

	fleets = "Fleet's own pipeline sets it"
	unseen = "the kernel's hooks do not see it"
)

func build() []Field {
	all := []Field{
		{Name: "@timestamp", Type: "date", On: everywhere},
		{Name: "message", Type: "match_only_text", On: everywhere},
		{Name: "data_stream.type", Type: "constant_keyword", On: everywhere},
		{Name: "data_stream.dataset", Type: "constant_keyword", On: everywhere},
		{Name: "data_stream.namespace", Type: "constant_keyword", On: everywhere},
		{Name: "ecs.version", Type: "keyword", On: everywhere},
		{Name: "agent.id", Type: "keyword", On: maybe},
		{Name: "agent.name", Type: "keyword", On: maybe},
		{Name: "agent.type", Type: "keyword", On: everywhere},
		{Name: "agent.version", Type: "keyword", On: everywhere},

		{Name: "event.action", Type: "[?]keyword", On: events},
		{Name: "event.category", Type: "[]keyword", On: events},
		{Name: "event.created", Type: "date", On: everywhere},
		{Name: "event.dataset", Type: "keyword", On: everywhere},
		{Name: "event.id", Type: "keyword", On: everywhere},
		{Name: "event.ingested", Type: "date", On: everywhere},
		{Name: "event.kind", Type: "keyword", On: everywhere},
		{Name: "event.module", Type: "keyword", On: everywhere},
		{Name: "event.outcome", Type: "keyword", On: events},
		{Name: "event.type", Type: "[]keyword", On: events},
		{Name: "event.agent_id_status", Without: fleets},

		{Name: "cloud_defend.matched_selectors", Type: "[]keyword", On: maybe},
		{Name: "cloud_defend.package_policy_id", Type: "keyword", On: maybe},
		{Name: "cloud_defend.package_policy_revision", Type: "short", On: maybe},
		{Name: "cloud_defend.block_action_enabled", Type: "boolean", On: heartbeats},

		{Name: "container.id", Type: "keyword", On: contained},
		{Name: "container.name", Type: "keyword", On: contained},
		{Name: "container.image.name", Type: "keyword", On: contained},
		{Name: "container.image.tag", Type: "[]keyword", On: maybe},
		{Name: "container.image.hash.all", Type: "[]keyword", On: maybe},
		{Name: "container.security_context.privileged", Type: "boolean", On: maybe},

		{Name: "host.architecture", Type: "keyword", On: everywhere},
		{Name: "host.boot.id", Type: "keyword", On: everywhere},
		{Name: "host.hostname", Type: "keyword", On: everywhere},
		{Name: "host.id", Type: "keyword", On: maybe},
		{Name: "host.ip", Type: "[]ip", On: maybe},
		{Name: "host.mac", Type: "[]keyword", On: maybe},
		{Name: "host.name", Type: "keyword", On: everywhere},
		{Name: "host.pid_ns_ino", Type: "keyword", On: everywhere},
		{Name: "host.os.codename", Type: "keyword", On: maybe},
		{Name: "host.os.family", Type: "keyword", On: maybe},
		{Name: "host.os.full", Type: "keyword", On: maybe},
		{Name: "host.os.kernel", Type: "keyword", On: everywhere},
		{Name: "host.os.name", Type: "keyword", On: maybe},
		{Name: "host.os.platform", Type: "keyword", On: maybe},
		{Name: "host.os.type", Type: "keyword", On: everywhere},
		{Name: "host.os.version", Type: "keyword", On: maybe},

		{Name: "orchestrator.namespace", Type: "keyword", On: pods},
		{Name: "orchestrator.resource.name", Type: "keyword", On: pods},
		{Name: "orchestrator.resource.type", Type: "keyword", On: pods},
		{Name: "orchestrator.resource.label", Type: "[]keyword", On: maybe},
		{Name: "orchestrator.cluster.id", Type: "keyword", On: maybe},
		{Name: "orchestrator.cluster.name", Type: "keyword", On: maybe},
		{Name: "orchestrator.resource.annotation", Type: "[]keyword", On: maybe},
		{Name: "orchestrator.resource.ip", Type: "[]ip", On: maybe},
		{Name: "orchestrator.resource.parent.type", Type: "keyword", On: maybe},

		{Name: "file.path", Type: "keyword", On: files},
		{Name: "file.name", Type: "keyword", On: files},
		{Name: "file.extension", Type: "keyword", On: maybe},
		{Name: "file.mode", Type: "keyword", On: maybe},

		{Name: "user.id", Type: "keyword", On: events},
		{Name: "user.name", Type: "keyword", On: maybe},
		{Name: "group.id", Type: "keyword", On: events},
		{Name: "group.name", Type: "keyword", On: maybe},

		{Name: "process.command_line", Type: "wildcard", On: processes},
		{Name: "process.parent.command_line", Type: "wildcard", On: maybe},
		{Name: "process.end", Type: "date", On: ends},
		{Name: "process.exit_code", Type: "long", On: ends},
		{Name: "process.previous.args", Type: "[]keyword", On: maybe},
		{Name: "process.previous.executable", Type: "[]keyword", On: maybe},
		{Name: "process.real_user.id", Type: "keyword", On: events},
		{Name: "process.real_group.id", Type: "keyword", On: events},
		{Name: "process.saved_user.id", Type: "keyword", On: events},
		{Name: "process.saved_group.id", Type: "keyword", On: events},
		{Name: "process.supplemental_groups.id", Type: "[]keyword", On: maybe},
		{Name: "process.thread.capabilities.effective", Type: "[]keyword", On: maybe},
		{Name: "process.thread.capabilities.permitted", Type: "[]keyword", On: maybe},
		{Name: "process.vpid", Type: "long", On: maybe},
		{Name: "process.entry_leader.entry_meta.type", Type: "keyword", On: contained},
		{Name: "process.entry_leader.entry_meta.source.ip", Without: "sshd keeps it in the memory of the processes it starts, where anybody may write"},
		{Name: "process.io.text", Without: unseen},
		{Name: "process.tty.columns", Without: unseen},
		{Name: "process.tty.rows", Without: unseen},
		{Name: "process.same_as_process", Without: "ECS has it for the leaders alone: a process is always itself"},
	}
	for _, name := range []string{
		"account.id", "availability_zone", "instance.id", "instance.name", "machine.type", "project.id", "provider", "region",
	} {
		all = append(all, Field{Name: "cloud." + name, Type: "keyword", On: maybe})
	}
	for _, name := range []string{"account.name", "project.name"} {
		all = append(all, Field{Name: "cloud." + name, Without: "no cloud tells its machines; they know the id"})
	}
	all = append(all, process("process.", events)...)
	for _, who := range relatives {
		on := events
		if who == "entry_leader" {
			on = contained
		}
		all = append(all, process("process."+who+".", on)...)
		all = append(all, Field{Name: "process." + who + ".same_as_process", Type: "boolean", On: on})
	}
	return all
}

// process are the fields of each process that a document tells of.
func process(prefix, on string) []Field {
	fields := []Field{
		{Name: "entity_id", Type: "keyword", On: on}, {Name: "pid", Type: "long", On: on}, {Name: "start", Type: "date", On: on},
		{Name: "name", Type: "keyword", On: on}, {Name: "executable", Type: "keyword", On: on},
		{Name: "args", Type: "[]keyword", On: on}, {Name: "args_count", Type: "long", On: on},
		{Name: "working_directory", Type: "keyword", On: on}, {Name: "interactive", Type: "boolean", On: on},
		{Name: "user.id", Type: "keyword", On: on}, {Name: "user.name", Type: "keyword", On: maybe},
		{Name: "group.id", Type: "keyword", On: on}, {Name: "group.name", Type: "keyword", On: maybe},
		{Name: "tty.char_device.major", Type: "long", On: maybe}, {Name: "tty.char_device.minor", Type: "long", On: maybe},
	}
	for i := range fields {
		fields[i].Name = prefix + fields[i].Name
	}
	return fields
}
