// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/mapping"
)

// Document is the part of an ECS document that tests look at. Its names are those of the Elastic Common Schema.
type Document struct {
	// Raw is the whole document.
	Raw json.RawMessage `json:"-"`

	Message string `json:"message"`
	Event   struct {
		ID       string   `json:"id"`
		Kind     string   `json:"kind"`
		Category []string `json:"category"`
		Action   string   `json:"action"`
		Type     []string `json:"type"`
		Outcome  string   `json:"outcome"`
		Dataset  string   `json:"dataset"`
	} `json:"event"`
	Process struct {
		Process
		Parent        *Process `json:"parent"`
		EntryLeader   *Process `json:"entry_leader"`
		SessionLeader *Process `json:"session_leader"`
	} `json:"process"`
	File struct {
		Path   string `json:"path"`
		Target string `json:"target_path"`
		Ext    struct {
			Original struct {
				Path string `json:"path"`
			} `json:"original"`
		} `json:"Ext"`
	} `json:"file"`
	Container struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Runtime string `json:"runtime"`
		Image   struct {
			Name string   `json:"name"`
			Tag  []string `json:"tag"`
		} `json:"image"`
		SecurityContext struct {
			Privileged *bool `json:"privileged"` // nil: not told
		} `json:"security_context"`
	} `json:"container"`
	Orchestrator struct {
		Cluster struct {
			ID string `json:"id"`
		} `json:"cluster"`
		Resource struct {
			IP     []string `json:"ip"`
			Label  []string `json:"label"`
			Parent struct {
				Type string `json:"type"`
			} `json:"parent"`
		} `json:"resource"`
	} `json:"orchestrator"`
	Cloud struct {
		Instance struct {
			ID string `json:"id"`
		} `json:"instance"`
	} `json:"cloud"`
	CloudDefend struct {
		MatchedSelectors []string `json:"matched_selectors"`
		HookPoint        any      `json:"hook_point"` // a list in process documents
		Disarmed         bool     `json:"disarmed"`
		Count            int      `json:"count"` // 0: one
	} `json:"cloud_defend"`
}

// Process is a process, or another one that explains it.
type Process struct {
	PID         int      `json:"pid"`
	VPID        int      `json:"vpid"`
	EntityID    string   `json:"entity_id"`
	Name        string   `json:"name"`
	Executable  string   `json:"executable"`
	Args        []string `json:"args"`
	CommandLine string   `json:"command_line"`
}

// reader reads documents from a file that is being written.
type reader struct {
	path   string
	offset int64
}

// until reads documents up to the one that is the mark. What follows it is left for the next call.
func (r *reader) until(ctx context.Context, ended <-chan struct{}, mark func(Document) bool) ([]Document, error) {
	var got []Document
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for last := false; ; {
		marked, err := r.read(&got, mark)
		if err != nil || marked {
			return got, err
		}
		if last {
			return got, errors.New("the program has ended")
		}
		select {
		case <-ticks.C:
		case <-ended:
			last = true // it may have written more at the end
		case <-ctx.Done():
			return got, context.Cause(ctx)
		}
	}
}

// read appends the complete lines that there are, as documents, up to the mark.
func (r *reader) read(got *[]Document, mark func(Document) bool) (bool, error) {
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for {
		line, _, complete := bytes.Cut(text[min(r.offset, int64(len(text))):], []byte("\n"))
		if !complete {
			return false, nil
		}
		r.offset += int64(len(line)) + 1
		var d Document
		if err := json.Unmarshal(line, &d); err != nil {
			return false, fmt.Errorf("decode document: %w: %s", err, line)
		}
		if err := mapped(line); err != nil {
			return false, err
		}
		d.Raw = line
		*got = append(*got, d)
		if mark(d) {
			return true, nil
		}
	}
}

// mapped fails for a document with a value that Elasticsearch would refuse or not index, so that no test is content
// with one.
func mapped(line []byte) error {
	faults, err := mapping.Faults(line)
	if err == nil && len(faults) > 0 {
		err = errors.New(strings.Join(faults, "; "))
	}
	if err != nil {
		return fmt.Errorf("hold document against the integration package: %w: %s", err, line)
	}
	return nil
}
