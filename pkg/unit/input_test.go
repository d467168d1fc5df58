// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// What agents 8.12.2 and 8.15.5 really sent for several policies.
func TestReadCapturedUnits(t *testing.T) {
	captured, err := os.Open("testdata/captured.jsonl")
	require.NoError(t, err)
	defer captured.Close()
	var got bytes.Buffer
	lines := bufio.NewScanner(captured)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var unit struct {
			Agent, Policy, Type, ID string
			Config                  json.RawMessage
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &unit))
		var config proto.UnitExpectedConfig
		require.NoError(t, protojson.Unmarshal(unit.Config, &config))
		var read any = readOutput(&config)
		if unit.Type == "input" {
			in := readInput(unit.ID, &config)
			require.Empty(t, in.Disabled(), "%s: %s", unit.Agent, unit.Policy)
			require.NotNil(t, in.Policy)
			read = in
		}
		text, err := json.MarshalIndent(read, "", " ")
		require.NoError(t, err)
		got.WriteString("# " + unit.Agent + ", " + unit.Policy + ": " + unit.Type + "\n")
		got.Write(append(text, '\n'))
	}
	require.NoError(t, lines.Err())
	if *update {
		require.NoError(t, os.WriteFile("testdata/captured.want", got.Bytes(), 0o644))
	}
	want, err := os.ReadFile("testdata/captured.want")
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// inputOf makes the message of an input from the form that its source has.
func inputOf(t *testing.T, source map[string]any) *proto.UnitExpectedConfig {
	t.Helper()
	whole, err := structpb.NewStruct(source)
	require.NoError(t, err)
	config := &proto.UnitExpectedConfig{Source: whole, Id: "in-1", Name: "D4C", Revision: 7}
	streams, _ := source["streams"].([]any)
	for _, s := range streams {
		stream, ok := s.(map[string]any)
		require.True(t, ok)
		source, err := structpb.NewStruct(stream)
		require.NoError(t, err)
		dataset, _ := stream["dataset"].(string)
		namespace, _ := stream["namespace"].(string)
		id, _ := stream["id"].(string)
		config.Streams = append(config.Streams, &proto.Stream{
			Source: source, Id: id, DataStream: &proto.DataStream{Dataset: dataset, Type: "logs", Namespace: namespace},
		})
	}
	return config
}

func alertsWith(keys map[string]any) map[string]any {
	keys["dataset"] = Alerts
	return map[string]any{"streams": []any{keys}}
}

func TestReadPolicy(t *testing.T) {
	tree := map[string]any{"file": map[string]any{"selectors": []any{}}}
	for name, tc := range map[string]struct {
		alerts     map[string]any
		policy     *Policy
		extensions *Policy
		reasons    []string
	}{
		"below security-policy": {
			map[string]any{"security-policy": tree}, &Policy{Place: "security-policy", Tree: tree}, nil, nil,
		},
		"text": {
			map[string]any{"configuration": "file: {}\n"}, &Policy{Place: "configuration", Text: "file: {}\n"}, nil, nil,
		},
		"a parsed variable": {
			map[string]any{"configuration": tree}, &Policy{Place: "configuration", Tree: tree}, nil, nil,
		},
		"text below security-policy": {
			map[string]any{"security-policy": "file: {}"}, &Policy{Place: "security-policy", Text: "file: {}"}, nil, nil,
		},
		"bare": {
			map[string]any{"file": tree["file"], "process": nil, "security-policy": nil},
			&Policy{Place: "streams of cloud_defend.alerts", Tree: tree}, nil, nil,
		},
		"with extensions": {
			map[string]any{"security-policy": tree, "extensions": "file: {}"},
			&Policy{Place: "security-policy", Tree: tree}, &Policy{Place: "extensions", Text: "file: {}"}, nil,
		},
		"none": {
			map[string]any{"security-policy": nil, "configuration": " \n", "extensions": nil}, nil, nil,
			[]string{"cloud_defend.alerts: there is no policy; write selectors and responses under security-policy in the stream cloud_defend.alerts"},
		},
		"two": {
			map[string]any{"security-policy": tree, "configuration": "file: {}"}, nil, nil,
			[]string{"cloud_defend.alerts: there are 2 policies, under security-policy and configuration; keep one"},
		},
		"not a policy": {
			map[string]any{"security-policy": []any{}}, nil, nil,
			[]string{
				"security-policy: is a list; write selectors and responses",
				"cloud_defend.alerts: there is no policy; write selectors and responses under security-policy in the stream cloud_defend.alerts",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := readInput("unit-1", inputOf(t, alertsWith(tc.alerts)))
			require.True(t, in.Enforces)
			require.Equal(t, tc.policy, in.Policy)
			require.Equal(t, tc.extensions, in.Extensions)
			require.Equal(t, tc.reasons, spoken(in.Reasons))
		})
	}
}

func spoken(reasons []Reason) []string {
	var said []string
	for _, r := range reasons {
		said = append(said, r.String())
	}
	return said
}

func TestReadStreams(t *testing.T) {
	in := readInput("unit-1", inputOf(t, map[string]any{"streams": []any{
		map[string]any{"dataset": File, "id": "f", "namespace": "of-stream"},
		map[string]any{"dataset": File, "id": "g"},
		map[string]any{"dataset": Process, "enabled": false},
		map[string]any{"dataset": Heartbeat, "period": "30m"},
		map[string]any{},
	}}))
	require.False(t, in.Enforces)
	require.Nil(t, in.Policy)
	require.Equal(t, []string{Alerts, Process, Metrics}, in.Disabled())
	file, ok := in.Stream(File)
	require.True(t, ok)
	require.Equal(t, "logs-cloud_defend.file-of-stream", file.Index())
	heartbeat, ok := in.Stream(Heartbeat)
	require.True(t, ok)
	require.Equal(t, "in-1-cloud_defend.heartbeat", heartbeat.ID)
	require.Equal(t, "30m", heartbeat.Config["period"])
	require.Equal(t, []string{
		"streams[1]: is the second stream of cloud_defend.file; remove one of the two",
		"streams[4]: has no data_stream.dataset; name one of cloud_defend.alerts, cloud_defend.file, cloud_defend.process, cloud_defend.heartbeat, cloud_defend.metrics",
		"No policy is enforced, because the alerts stream is disabled; enable Alerts in the integration's settings",
	}, spoken(in.Reasons))
}

// An agent may leave the type out, and then the dataset tells it.
func TestTypesOfStreams(t *testing.T) {
	config := &proto.UnitExpectedConfig{}
	for _, dataset := range []string{Alerts, Heartbeat, Metrics} {
		config.Streams = append(config.Streams, &proto.Stream{DataStream: &proto.DataStream{Dataset: dataset}})
	}
	var types []string
	for _, s := range readInput("unit-1", config).Streams {
		types = append(types, s.Type)
	}
	require.Equal(t, []string{"logs", "metrics", "metrics"}, types)
}

func TestNamespace(t *testing.T) {
	for _, tc := range []struct{ input, stream, want string }{
		{"", "", "default"},
		{"default", "of-stream", "of-stream"},
		{"of-input", "of-stream", "of-input"},
		{"of-input", "", "of-input"},
	} {
		config := inputOf(t, map[string]any{"streams": []any{map[string]any{"dataset": Alerts, "namespace": tc.stream}}})
		config.DataStream = &proto.DataStream{Namespace: tc.input}
		s, ok := readInput("u", config).Stream(Alerts)
		require.True(t, ok)
		require.Equal(t, tc.want, s.Namespace, tc)
	}
}

func TestReadSettings(t *testing.T) {
	in := readInput("u", inputOf(t, map[string]any{
		"settings": map[string]any{"enforce": false, "spool": map[string]any{"size": "1GiB"}}, "settings.folding": true,
	}))
	require.Equal(t, map[string]any{"enforce": false, "spool": map[string]any{"size": "1GiB"}, "folding": true}, in.Settings)

	in = readInput("u", inputOf(t, map[string]any{"settings": "enforce", "processors": []any{}}))
	require.Empty(t, in.Settings)
	require.Contains(t, spoken(in.Reasons), "settings: is a text, so every setting has its default; write keys and values below it")
	require.Contains(t, spoken(in.Reasons), "processors: processors are not applied")
}

// An agent that is not well may send less than it should.
func TestReadNothing(t *testing.T) {
	in := readInput("u", nil)
	require.Equal(t, "u", in.ID)
	require.Nil(t, in.Policy)
	require.Empty(t, readOutput(nil).Type)
}
