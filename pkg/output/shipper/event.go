// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package shipper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-shipper-client/pkg/helpers"
	"github.com/elastic/elastic-agent-shipper-client/pkg/proto/messages"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/elastic/cloud-defend/pkg/queue"
)

// event is a document as the shipper takes it. Where its servers look for the
// data stream and the source differs, so they are everywhere that one looks.
func (s *Source) event(doc *queue.Doc) (*messages.Event, error) {
	stream := strings.SplitN(doc.Index, "-", 3)
	if len(stream) != 3 {
		return nil, fmt.Errorf("%q is no data stream", doc.Index)
	}
	id, ok := s.StreamIDs[stream[1]]
	if !ok {
		return nil, fmt.Errorf("the policy has no stream %s for its documents", stream[1])
	}
	decoder := json.NewDecoder(bytes.NewReader(doc.JSON))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	body, err := helpers.NewStruct(typed(fields).(map[string]any))
	if err != nil {
		return nil, fmt.Errorf("encode a document: %w", err)
	}
	metadata, err := helpers.NewStruct(map[string]any{
		"input_id": s.InputID, "stream_id": id, "raw_index": doc.Index, "op_type": "create", "_id": doc.ID,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a document: %w", err)
	}
	return &messages.Event{
		Timestamp:  timestamppb.New(timestamp(fields)),
		Source:     &messages.Source{InputId: s.InputID, StreamId: id},
		DataStream: &messages.DataStream{Type: stream[0], Dataset: stream[1], Namespace: stream[2]},
		Metadata:   metadata, Fields: body,
	}, nil
}

func timestamp(fields map[string]any) time.Time {
	text, _ := fields["@timestamp"].(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Now()
	}
	return t
}

// typed turns numbers into integers where they are. It changes v.
func typed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = typed(value)
		}
		return v
	case []any:
		for i, value := range v {
			v[i] = typed(value)
		}
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if n, err := v.Float64(); err == nil {
			return n
		}
		return v.String()
	}
	return v
}
