// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"cmp"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// Output is an output unit. It holds secrets.
type Output struct {
	// Type is elasticsearch or shipper. The agent changes it in place.
	Type string
	// Config is the output as it stands in the agent's policy, keys nested.
	// Numbers are float64, durations text.
	Config map[string]any
}

func readOutput(config *proto.UnitExpectedConfig) *Output {
	source := config.GetSource().AsMap()
	return &Output{Type: cmp.Or(config.GetType(), text(source, "type")), Config: source}
}
