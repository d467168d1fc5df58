// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

// The data views that panels read. The first has the id that the integration has always given it.
const (
	logsView    = "cloud_defend-42ae0e4c-d963-4661-a507-16e45a793fc2"
	metricsView = "cloud_defend-metrics"
)

var views = []struct{ id, title, name string }{
	{logsView, "logs-cloud_defend*", "Container protection: events and alerts"},
	{metricsView, "metrics-cloud_defend*", "Container protection: the component"},
}

// dashboard is a page of Kibana. Its panels fill rows of 48 columns from left to right.
type dashboard struct {
	id, title, description string
	view                   string
	datasets               []string // the page's filter
	panels                 []panel
}

// panel is one picture: a number, a course over time, a ring or a table of what a KQL query finds.
type panel struct {
	title  string
	shape  shape
	query  string
	by     []group   // buckets, the first one outermost
	show   []measure // what is shown of each bucket; a count where there is nothing
	width  int
	height int
}

type shape string

const (
	number shape = "lnsMetric"
	course shape = "lnsXY"
	ring   shape = "lnsPie"
	table  shape = "lnsDatatable"
)

// group is a bucket for each of the most frequent values of a field.
type group struct {
	label, field string
	size         int
}

// measure is a figure of a bucket. how is a Lens operation.
type measure struct{ label, how, field string }

var count = measure{label: "Documents", how: "count"}

const (
	alerts  = `event.kind : "alert"`
	refused = `event.kind : "alert" and event.type : "denied"`
	drift   = `event.kind : "alert" and event.category : "file"`
)

// dashboards are all that the package brings. The files in kibana/dashboard are made from them.
var dashboards = []dashboard{
	{
		id: "cloud_defend-overview", title: "[Container protection] Overview",
		description: "What policies alerted on and refused, where, and on how many nodes.",
		view:        logsView, datasets: []string{"cloud_defend.alerts", "cloud_defend.file", "cloud_defend.process"},
		panels: []panel{
			{title: "Alerts", shape: number, query: alerts, width: 12, height: 7},
			{title: "Alerts of refused operations", shape: number, query: refused, width: 12, height: 7},
			{title: "Containers", shape: number, show: []measure{{"Containers", "unique_count", "container.id"}}, width: 12, height: 7},
			{title: "Nodes", shape: number, show: []measure{{"Nodes", "unique_count", "host.name"}}, width: 12, height: 7},
			{title: "Alerts over time, by action", shape: course, query: alerts, by: []group{{"Action", "event.action", 10}}, width: 24, height: 13},
			{title: "Alerts over time, by selector", shape: course, query: alerts, by: []group{{"Selector", "cloud_defend.matched_selectors", 10}}, width: 24, height: 13},
			{title: "Pods with most alerts", shape: table, query: alerts, by: []group{
				{"Namespace", "orchestrator.namespace", 10}, {"Pod", "orchestrator.resource.name", 10},
			}, width: 24, height: 14},
			{title: "Images with most alerts", shape: table, query: alerts, by: []group{
				{"Image", "container.image.name", 10}, {"Tag", "container.image.tag", 5},
			}, width: 24, height: 14},
			{title: "All documents over time, by stream", shape: course, by: []group{{"Stream", "data_stream.dataset", 3}}, width: 48, height: 11},
		},
	},
	{
		id: "cloud_defend-drift", title: "[Container protection] Drift and blocked operations",
		description: "Files and programs that changed against a policy, what was refused, and what would have been.",
		view:        logsView, datasets: []string{"cloud_defend.alerts"},
		panels: []panel{
			{title: "Refused", shape: number, query: refused, width: 12, height: 7},
			{title: "File alerts", shape: number, query: drift, width: 12, height: 7},
			{title: "Let through while enforcement was off", shape: number, query: "cloud_defend.disarmed : true", width: 12, height: 7},
			{title: "Let through because they were the component's own", shape: number, query: "cloud_defend.spared : true", width: 12, height: 7},
			{title: "Refused and not refused, over time", shape: course, query: alerts, by: []group{{"Outcome", "event.outcome", 3}}, width: 48, height: 12},
			{title: "Who was refused what", shape: table, query: refused, by: []group{
				{"Pod", "orchestrator.resource.name", 10}, {"Container", "container.name", 5}, {"Executable", "process.executable", 5},
				{"Action", "event.action", 5}, {"Path", "file.path", 5},
			}, show: []measure{count, {"Refusals in folded alerts", "sum", "cloud_defend.count"}}, width: 48, height: 16},
			{title: "Files that changed", shape: table, query: drift, by: []group{{"Path", "file.path", 20}, {"Action", "event.action", 5}}, width: 24, height: 16},
			{title: "Programs that changed them", shape: table, query: drift, by: []group{
				{"Image", "container.image.name", 10}, {"Executable", "process.executable", 10},
			}, width: 24, height: 16},
			{title: "Orders to turn enforcement off or on", shape: table, query: `event.category : "configuration"`, by: []group{
				{"Node", "host.name", 20}, {"Order", "event.action", 2}, {"User", "user.name", 5}, {"Reason", "event.reason", 5},
			}, show: []measure{{"Last", "max", "@timestamp"}}, width: 48, height: 12},
		},
	},
	{
		id: "cloud_defend-processes", title: "[Container protection] Process activity by pod",
		description: "Which programs pods start, who sits at a terminal in them, and what ended badly.",
		view:        logsView, datasets: []string{"cloud_defend.process"},
		panels: []panel{
			{title: "Programs started, by pod", shape: course, query: `event.action : "exec"`, by: []group{{"Pod", "orchestrator.resource.name", 10}}, width: 48, height: 13},
			{title: "Programs of each pod", shape: table, query: `event.action : "exec"`, by: []group{
				{"Namespace", "orchestrator.namespace", 10}, {"Pod", "orchestrator.resource.name", 10}, {"Executable", "process.executable", 20},
			}, width: 24, height: 18},
			{title: "At a terminal", shape: table, query: `event.action : "exec" and process.interactive : true`, by: []group{
				{"Namespace", "orchestrator.namespace", 10}, {"Pod", "orchestrator.resource.name", 10},
				{"Executable", "process.executable", 10}, {"User", "process.user.id", 5},
			}, width: 24, height: 18},
			{title: "Images", shape: ring, query: `event.action : "exec"`, by: []group{{"Image", "container.image.name", 10}}, width: 16, height: 14},
			{title: "Users", shape: ring, query: `event.action : "exec"`, by: []group{{"User", "process.user.id", 10}}, width: 16, height: 14},
			{title: "Ended with another code than 0", shape: table, query: `event.action : "end" and process.exit_code > 0`, by: []group{
				{"Executable", "process.executable", 10}, {"Pod", "orchestrator.resource.name", 5},
			}, width: 16, height: 14},
		},
	},
	{
		id: "cloud_defend-health", title: "[Container protection] Sensor health and loss",
		description: "Which nodes report, what is in force there, and whether anything was lost on the way.",
		view:        metricsView, datasets: []string{"cloud_defend.heartbeat", "cloud_defend.metrics"},
		panels: []panel{
			{title: "Nodes that report", shape: number, show: []measure{{"Nodes", "unique_count", "host.name"}}, width: 12, height: 7},
			{title: "Nodes that refuse nothing", shape: number, query: `cloud_defend.enforcement : "none"`, show: []measure{{"Nodes", "unique_count", "host.name"}}, width: 12, height: 7},
			{title: "Most lost on one node", shape: number, show: []measure{{"Lost", "max", "cloud_defend.metrics.lost.total"}}, width: 12, height: 7},
			{title: "Most documents rejected on one node", shape: number, show: []measure{{"Rejected", "max", "cloud_defend.metrics.output.rejected"}}, width: 12, height: 7},
			{title: "What is in force", shape: table, query: "data_stream.dataset : \"cloud_defend.heartbeat\"", by: []group{{"Node", "host.name", 100}}, show: []measure{
				{"Last heartbeat", "max", "@timestamp"}, {"Refuses by", "last_value", "cloud_defend.enforcement"},
				{"Policy revision", "last_value", "cloud_defend.package_policy_revision"},
			}, width: 24, height: 16},
			{title: "Lost, by node", shape: table, query: "cloud_defend.metrics.lost.total > 0", by: []group{{"Node", "host.name", 100}}, show: []measure{
				{"All", "max", "cloud_defend.metrics.lost.total"}, {"Kernel, alerts", "max", "cloud_defend.metrics.lost.kernel.alerts_full"},
				{"Kernel, events", "max", "cloud_defend.metrics.lost.kernel.events_full"}, {"Spool full", "max", "cloud_defend.metrics.lost.queue.spool_full"},
			}, width: 24, height: 16},
			{title: "Heartbeats over time", shape: course, query: "data_stream.dataset : \"cloud_defend.heartbeat\"", by: []group{{"Refuses by", "cloud_defend.enforcement", 3}}, width: 24, height: 12},
			{title: "Memory, by node", shape: course, by: []group{{"Node", "host.name", 10}}, show: []measure{{"Bytes", "max", "cloud_defend.metrics.process.memory.rss"}}, width: 24, height: 12},
			{title: "Queued on disk, by node", shape: course, by: []group{{"Node", "host.name", 10}}, show: []measure{{"Bytes", "max", "cloud_defend.metrics.queue.disk"}}, width: 24, height: 12},
			{title: "Refused and told of, by node", shape: table, query: "data_stream.dataset : \"cloud_defend.metrics\"", by: []group{{"Node", "host.name", 100}}, show: []measure{
				{"Refused", "max", "cloud_defend.metrics.blocked.total"}, {"Told of", "max", "cloud_defend.metrics.blocked.documented"},
				{"Held back", "last_value", "cloud_defend.metrics.blocked.held"},
			}, width: 24, height: 12},
		},
	},
}
