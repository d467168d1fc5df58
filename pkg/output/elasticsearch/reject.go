// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/queue"
)

const rejectedDataset = "cloud_defend.rejected"

// rejection is a document about one that was refused, in its own data stream.
type rejection struct {
	Timestamp time.Time `json:"@timestamp"`
	ECS       struct {
		Version string `json:"version"`
	} `json:"ecs"`
	DataStream struct {
		Type      string `json:"type"`
		Dataset   string `json:"dataset"`
		Namespace string `json:"namespace"`
	} `json:"data_stream"`
	Event struct {
		ID       string `json:"id"`
		Kind     string `json:"kind"`
		Module   string `json:"module"`
		Dataset  string `json:"dataset"`
		Original string `json:"original"`
	} `json:"event"`
	Error struct {
		Type    string `json:"type,omitempty"`
		Message string `json:"message"`
		Code    string `json:"code"`
	} `json:"error"`
	CloudDefend struct {
		Rejected struct {
			Index string `json:"index"`
		} `json:"rejected"`
	} `json:"cloud_defend"`
	origin
}

// origin is where a document is from, as far as it can be read from it.
type origin struct {
	Agent *struct {
		EphemeralID string `json:"ephemeral_id,omitempty"`
		ID          string `json:"id,omitempty"`
		Name        string `json:"name,omitempty"`
		Type        string `json:"type,omitempty"`
		Version     string `json:"version,omitempty"`
	} `json:"agent,omitempty"`
	Host *struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	} `json:"host,omitempty"`
}

// rejected is the document that tells of a refused one. It has the same id.
func rejected(doc *queue.Doc, r *refusal, now time.Time) (queue.Doc, error) {
	namespace := "default"
	if i := strings.LastIndexByte(doc.Index, '-'); i >= 0 {
		namespace = doc.Index[i+1:]
	}
	var out rejection
	if json.Unmarshal(doc.JSON, &out.origin) != nil {
		out.origin = origin{} // what the server refused need not be readable
	}
	out.Timestamp = now.UTC()
	out.ECS.Version = ecs.Version
	out.DataStream.Type, out.DataStream.Dataset, out.DataStream.Namespace = "logs", rejectedDataset, namespace
	out.Event.ID, out.Event.Kind, out.Event.Module, out.Event.Dataset = doc.ID, "pipeline_error", "cloud_defend", rejectedDataset
	out.Event.Original = string(doc.JSON)
	out.Error.Type, out.Error.Message, out.Error.Code = r.kind, r.reason, strconv.Itoa(r.status)
	out.CloudDefend.Rejected.Index = doc.Index
	text, err := json.Marshal(&out)
	if err != nil {
		return queue.Doc{}, fmt.Errorf("tell of a refused document: %w", err)
	}
	return queue.Doc{Lane: doc.Lane, Index: "logs-" + rejectedDataset + "-" + namespace, ID: doc.ID, JSON: text}, nil
}

// reject writes the refused documents of a delivery to the rejected stream. On
// an error they stay in the queue, and are refused and rejected again.
func (w *worker) reject(ctx context.Context, d *delivery) error {
	second := &delivery{}
	for i := range d.refused {
		doc, err := rejected(&d.docs[d.refused[i].at], &d.refused[i], time.Now())
		if err != nil {
			return err
		}
		second.docs = append(second.docs, doc)
	}
	second.outcomes = make([]queue.Outcome, len(second.docs))
	items, err := w.request(ctx, second.docs)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusRequestEntityTooLarge {
		for i := range d.refused {
			w.refuse(d, i, "too large to be rejected (413)")
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i := range items {
		second.judge(i, &items[i])
	}
	for i, o := range second.outcomes {
		switch o {
		case queue.Delivered:
			d.outcomes[d.refused[i].at] = queue.Rejected
		case queue.Delay:
			w.refuse(d, i, items[i].Error.String())
		}
	}
	for _, r := range second.refused {
		w.refuse(d, r.at, r.reason)
	}
	d.retried += second.retried
	return nil
}

// refuse keeps a document of which not even the rejection was taken.
func (w *worker) refuse(d *delivery, i int, second string) {
	r := &d.refused[i]
	why := fmt.Sprintf("%d %s: %s; and the rejection: %s", r.status, r.kind, r.reason, second)
	d.outcomes[r.at] = w.out.keep(&d.docs[r.at], why)
}

// keeper appends documents to a file, up to its size.
type keeper struct {
	path string
	max  int64
	mu   sync.Mutex
}

type keptLine struct {
	Time     time.Time       `json:"time"`
	Reason   string          `json:"reason"`
	Index    string          `json:"index"`
	ID       string          `json:"id"`
	Document json.RawMessage `json:"document"`
}

var errNoRoom = errors.New("no room for refused documents")

func (k *keeper) keep(doc *queue.Doc, reason string) error {
	if k.path == "" {
		return errNoRoom
	}
	line, err := json.Marshal(keptLine{time.Now().UTC(), reason, doc.Index, doc.ID, doc.JSON})
	if err != nil {
		return fmt.Errorf("keep a refused document: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := os.OpenFile(k.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keep a refused document: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size()+int64(len(line)) > k.max {
		err = errNoRoom
	}
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	return errors.Join(err, f.Close())
}

// keep keeps a document locally, or counts it as lost.
func (o *Output) keep(doc *queue.Doc, reason string) queue.Outcome {
	err := o.keeper.keep(doc, reason)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusedFor, o.refusedAt = reason, time.Now()
	if err != nil {
		o.stats.LostRefused++
		return queue.LostRefused
	}
	o.stats.Kept++
	return queue.Kept
}
