// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// Datasets of the input's streams.
const (
	Alerts    = "cloud_defend.alerts"
	File      = "cloud_defend.file"
	Process   = "cloud_defend.process"
	Heartbeat = "cloud_defend.heartbeat"
	Metrics   = "cloud_defend.metrics"
)

var datasets = []string{Alerts, File, Process, Heartbeat, Metrics}

// Input is an input unit in plain values: what one integration policy asks for.
type Input struct {
	// ID is the input's own, and names the integration policy with Fleet.
	ID, Name string
	// UnitID is what log lines about the unit carry as unit.id.
	UnitID string
	// PolicyID and Revision go into documents. Without Fleet they may be empty
	// and 0.
	PolicyID string
	Revision int64
	// Policy is what to enforce. It is nil when Enforces is false, and when
	// there is none where one should be; Reasons tell.
	Policy *Policy
	// Extensions are to be appended to Policy. They are nil as a rule.
	Extensions *Policy
	// Enforces is false when the user disabled the alerts stream: a policy
	// that nobody would hear of is not put in force.
	Enforces bool
	// Settings are the keys of the settings table, nested as they were sent.
	Settings map[string]any
	// Streams are those that the user enabled.
	Streams []Stream
	// Reasons are what is wrong with the input, apart from policy and
	// settings, which others judge. They are in every state of the unit.
	Reasons []Reason
}

// Policy is a policy or its extensions as the agent handed it over.
type Policy struct {
	// Place is the key under which it stood.
	Place string
	// Text is YAML, with lines and columns to point to; Tree is a structure
	// that the agent had parsed already. Exactly one of them is set.
	Text string
	Tree map[string]any
}

// Stream is a data stream that documents may go to.
type Stream struct {
	ID, Dataset, Type, Namespace string
	// Config holds the stream's other keys, such as period.
	Config map[string]any
}

// Index is the name of the data stream.
func (s Stream) Index() string { return s.Type + "-" + s.Dataset + "-" + s.Namespace }

// Stream returns the stream of a dataset, and false when the user disabled it.
func (in *Input) Stream(dataset string) (Stream, bool) {
	i := slices.IndexFunc(in.Streams, func(s Stream) bool { return s.Dataset == dataset })
	if i < 0 {
		return Stream{}, false
	}
	return in.Streams[i], true
}

// Namespace is that of the documents: the alerts stream's.
func (in *Input) Namespace() string {
	s, _ := in.Stream(Alerts)
	return cmp.Or(s.Namespace, "default")
}

// Disabled lists the datasets to which nothing may be sent.
func (in *Input) Disabled() []string {
	return slices.DeleteFunc(slices.Clone(datasets), func(d string) bool {
		_, enabled := in.Stream(d)
		return enabled
	})
}

func readInput(unitID string, config *proto.UnitExpectedConfig) *Input {
	source := config.GetSource().AsMap()
	in := &Input{
		ID:       cmp.Or(config.GetId(), unitID),
		Name:     config.GetName(),
		UnitID:   unitID,
		Revision: int64(config.GetRevision()),
		PolicyID: text(source, "package_policy_id"),
		Settings: below(source, "settings"),
	}
	if v := source["settings"]; v != nil && len(in.Settings) == 0 && kind(v) != "map" {
		in.say(Reduced, "settings", "is a "+kind(v)+", so every setting has its default", "write keys and values below it")
	}
	for i, s := range config.GetStreams() {
		in.addStream(i, s, config.GetDataStream().GetNamespace())
	}
	in.readPolicy()
	if _, set := source["processors"]; set {
		in.say(Note, "processors", "processors are not applied", "")
	}
	return in
}

// typeOf is a dataset's type where the agent names none.
func typeOf(dataset string) string {
	if dataset == Heartbeat || dataset == Metrics {
		return "metrics"
	}
	return "logs"
}

func (in *Input) say(w Weight, place, fault, remedy string) {
	in.Reasons = append(in.Reasons, Reason{w, place, fault, remedy})
}

// addStream adds a stream unless it is disabled. The name of its index is made
// as Beats make it: what stands at the input wins, unless it is the default.
func (in *Input) addStream(i int, s *proto.Stream, namespace string) {
	config := s.GetSource().AsMap()
	stream := Stream{
		ID:      s.GetId(),
		Dataset: s.GetDataStream().GetDataset(),
		Type:    cmp.Or(s.GetDataStream().GetType(), typeOf(s.GetDataStream().GetDataset())),
		Config:  config,
	}
	if namespace == "default" {
		namespace = ""
	}
	stream.Namespace = cmp.Or(namespace, s.GetDataStream().GetNamespace(), "default")
	stream.ID = cmp.Or(stream.ID, in.ID+"-"+stream.Dataset)
	place := fmt.Sprintf("streams[%d]", i)
	switch _, twice := in.Stream(stream.Dataset); {
	case config["enabled"] == false:
	case stream.Dataset == "":
		in.say(Rejected, place, "has no data_stream.dataset", "name one of "+strings.Join(datasets, ", "))
	case twice:
		in.say(Rejected, place, "is the second stream of "+stream.Dataset, "remove one of the two")
	default:
		in.Streams = append(in.Streams, stream)
	}
}

// readPolicy finds the policy in the alerts stream.
func (in *Input) readPolicy() {
	alerts, enabled := in.Stream(Alerts)
	in.Enforces = enabled
	if !enabled {
		in.say(Reduced, "", "no policy is enforced, because the alerts stream is disabled", "enable Alerts in the integration's settings")
		return
	}
	in.Policy = in.onePolicy(alerts.Config)
	in.Extensions = in.onePart(alerts.Config, "extensions")
}

const howToGivePolicy = "write selectors and responses under security-policy in the stream " + Alerts

// policyKeys are where a policy may stand: as the integration's template writes
// it, and as the variable of its form.
var policyKeys = []string{"security-policy", "configuration"}

func (in *Input) onePolicy(config map[string]any) *Policy {
	var found []*Policy
	for _, k := range policyKeys {
		if p := in.onePart(config, k); p != nil {
			found = append(found, p)
		}
	}
	if bare := bare(config); bare != nil {
		found = append(found, bare)
	}
	switch len(found) {
	case 0:
		in.say(Rejected, Alerts, "there is no policy", howToGivePolicy)
		return nil
	case 1:
		return found[0]
	}
	in.say(Rejected, Alerts, "there are "+fmt.Sprint(len(found))+" policies, under "+found[0].Place+" and "+found[1].Place, "keep one")
	return nil
}

// onePart reads what is text or a structure. An empty part counts as absent:
// templates write null where the user wrote nothing.
func (in *Input) onePart(config map[string]any, place string) *Policy {
	switch v := config[place].(type) {
	case nil:
	case map[string]any:
		return &Policy{Place: place, Tree: v}
	case string:
		if strings.TrimSpace(v) != "" {
			return &Policy{Place: place, Text: v}
		}
	default:
		in.say(Rejected, place, fmt.Sprintf("is a %s", kind(v)), "write selectors and responses")
	}
	return nil
}

// bare finds a policy whose sections stand in the stream itself, as one version
// of the integration's template wrote them.
func bare(config map[string]any) *Policy {
	tree := map[string]any{}
	for _, section := range []string{"file", "process"} {
		if v, ok := config[section]; ok && v != nil {
			tree[section] = v
		}
	}
	if len(tree) == 0 {
		return nil
	}
	return &Policy{Place: "streams of " + Alerts, Tree: tree}
}

// kind names a value of the agent's structure in YAML's words.
func kind(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "text"
	case []any:
		return "list"
	}
	return "map"
}

func text(m map[string]any, k string) string {
	s, _ := m[k].(string)
	return s
}

// below collects what stands under a key, also where its path was written with
// dots: an agent hands such keys through as they are.
func below(m map[string]any, k string) map[string]any {
	all := map[string]any{}
	if nested, ok := m[k].(map[string]any); ok {
		for name, v := range nested {
			all[name] = v
		}
	}
	for name, v := range m {
		if rest, ok := strings.CutPrefix(name, k+"."); ok {
			all[rest] = v
		}
	}
	return all
}
