// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Event is something that happened, or that is described, as policies judge it.
type Event struct {
	// Place is its file and line, Name what it is for a person.
	Place, Name string
	// Readings are the ways in which it may be understood, the likelier first; there are several where a document does
	// not tell an operation exactly. Each is a set of operations that are judged together, two for a rename.
	Readings [][]policy.Case
	// Untold are the keys of conditions of which it does not say whether they hold.
	Untold []string
}

// FromCases makes an event of each case of a file. What the cases expect plays no part.
func FromCases(file string, cases []policy.Case) []Event {
	events := make([]Event, len(cases))
	for i, c := range cases {
		c.Selectors, c.Actions = nil, nil
		events[i] = Event{Place: fmt.Sprintf("%s:%d", file, c.Line), Name: c.Name, Readings: [][]policy.Case{{c}}}
	}
	return events
}

// Documents are the events of a file of ECS documents.
type Documents struct {
	Events []Event
	// Skipped counts documents of which no policy can be asked, by the reason.
	Skipped map[string]int
}

// maxLine bounds a document; the kernel's records hold some ten kilobytes of strings.
const maxLine = 1 << 20

// LooksLikeDocuments tells NDJSON from a file of cases, which may be JSON too. The first line may be torn.
func LooksLikeDocuments(text []byte) bool {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(text), []byte{'\n'})
	second, _, _ := bytes.Cut(rest, []byte{'\n'})
	object := objectOf(first)
	if object == nil {
		object = objectOf(second)
	}
	_, cases := object["cases"]
	return object != nil && !cases
}

// objectOf is the JSON object that a line is; nil if it is none.
func objectOf(line []byte) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(line, &object) != nil {
		return nil
	}
	return object
}

// faultOf says why a line is no document, in the words of who wrote it.
func faultOf(line []byte, err error) error {
	if objectOf(line) == nil {
		return errors.New("this line is not a JSON object")
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("the field %s of this document is a JSON %s, which it is in no ECS document", wrong.Field, wrong.Value)
	}
	return errors.New("a field of this document has a type that it has in no ECS document")
}

// ReadDocuments reads documents as "run --output" writes them, one on each line. Two documents of one event, a log and
// an alert, are one event. The error names the line that is no document.
func ReadDocuments(file string, r io.Reader) (Documents, error) {
	docs := Documents{Skipped: map[string]int{}}
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	line := 0
	for lines.Scan() {
		line++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		var d document
		if err := json.Unmarshal(text, &d); err != nil || text[0] != '{' {
			return docs, fmt.Errorf("%s:%d: %w", file, line, faultOf(text, err))
		}
		e, skipped := d.event()
		id := d.identity()
		switch {
		case skipped != "":
			docs.Skipped[skipped]++
		case seen[id]:
			docs.Skipped["a second document of an event"]++
		default:
			seen[id] = true
			e.Place = fmt.Sprintf("%s:%d", file, line)
			docs.Events = append(docs.Events, e)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return docs, fmt.Errorf("%s:%d: this line is longer than any document, %d bytes", file, line+1, maxLine)
	} else if err != nil {
		return docs, fmt.Errorf("%s:%d: %w", file, line+1, err)
	}
	return docs, nil
}

// texts is a field that may have one value or several.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func (t texts) first() string {
	if len(t) == 0 {
		return ""
	}
	return t[0]
}

// document holds the fields of an ECS document that a policy asks for.
type document struct {
	Timestamp string `json:"@timestamp"`
	Event     struct {
		Action   texts `json:"action"`
		Category texts `json:"category"`
	} `json:"event"`
	File struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Type string `json:"type"`
		Ext  struct {
			Original struct {
				Path string `json:"path"`
			} `json:"original"`
		} `json:"Ext"`
	} `json:"file"`
	Process struct {
		Executable  string `json:"executable"`
		EntityID    string `json:"entity_id"`
		Interactive *bool  `json:"interactive"`
		Thread      struct {
			ID json.Number `json:"id"`
		} `json:"thread"`
		SessionLeader struct {
			Executable string `json:"executable"`
		} `json:"session_leader"`
	} `json:"process"`
	User struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"user"`
	Container *struct {
		Name  string `json:"name"`
		Image struct {
			Name string `json:"name"`
			Tag  texts  `json:"tag"`
		} `json:"image"`
	} `json:"container"`
	Orchestrator struct {
		Namespace string `json:"namespace"`
		Cluster   struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"cluster"`
		Resource struct {
			Name  string `json:"name"`
			Label texts  `json:"label"`
		} `json:"resource"`
	} `json:"orchestrator"`
	CloudDefend struct {
		HookPoint  texts `json:"hook_point"`
		Truncated  texts `json:"truncated"`
		Unresolved texts `json:"unresolved"`
		Escaped    texts `json:"escaped"`
	} `json:"cloud_defend"`
}

// action is what a policy is asked about. Of the steps of a short life it is the exec, whose program the document names.
func (d *document) action() string {
	if slices.Contains(d.Event.Action, "exec") {
		return "exec"
	}
	return d.Event.Action.first()
}

// identity is the same for the documents of one event.
func (d *document) identity() string {
	return strings.Join([]string{
		d.Timestamp, d.Process.EntityID, d.Process.Thread.ID.String(), d.action(), d.CloudDefend.HookPoint.first(),
		d.File.Path, d.File.Ext.Original.Path, d.Process.Executable,
	}, "\x00")
}

// event is the operation that the document tells of, or the reason why it tells of none.
func (d *document) event() (e Event, skipped string) {
	if d.Container == nil && !slices.Contains(d.CloudDefend.Unresolved, "container") {
		return e, "not in a container"
	}
	readings, skipped := d.operations()
	if skipped != "" {
		return e, skipped
	}
	where, untold := d.surroundings()
	for _, reading := range readings {
		for i := range reading {
			reading[i].Container = where
		}
	}
	first := readings[0][0]
	e = Event{Readings: readings, Untold: untold}
	e.Name = fmt.Sprintf("%s %s in %s", first.Type.OperationName(first.Operation), first.Path, d.where())
	if first.Type == policy.File {
		e.Untold = append(e.Untold, "ignoreVolumeMounts", "ignoreVolumeFiles")
		e.Name += " by " + orUnknown(d.Process.Executable)
	} else {
		e.Untold = append(e.Untold, d.untoldActor(first)...)
	}
	return e, ""
}

func orUnknown(s string) string {
	if s == "" {
		return "an unknown process"
	}
	return s
}

func (d *document) where() string {
	switch c := d.Container; {
	case c == nil:
		return "an unknown container"
	case c.Image.Name == "":
		return "container " + c.Name
	case len(c.Image.Tag) > 0:
		return c.Image.Name + ":" + c.Image.Tag[0]
	default:
		return c.Image.Name
	}
}

// noDigest keeps an image without a tag from being taken for one with the tag latest.
var noDigest = "@sha256:" + strings.Repeat("0", 64)

// surroundings is the container, and the conditions on it of which the document says nothing.
func (d *document) surroundings() (s policy.Surroundings, untold []string) {
	if d.Container == nil || slices.Contains(d.CloudDefend.Unresolved, "container") {
		return policy.Surroundings{Unknown: true}, nil
	}
	if s.Image = d.Container.Image.Name; s.Image == "" {
		untold = append(untold, "containerImageName", "containerImageFullName", "containerImageTag")
	} else if tag := d.Container.Image.Tag.first(); tag != "" {
		s.Image += ":" + tag
	} else {
		s.Image += noDigest
	}
	o := &d.Orchestrator
	s.Namespace, s.Pod, s.ClusterID, s.ClusterName = o.Namespace, o.Resource.Name, o.Cluster.ID, o.Cluster.Name
	for _, label := range o.Resource.Label {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		key, value, _ := strings.Cut(label, ":")
		s.Labels[key] = value
	}
	if s.Pod != "" && s.Labels == nil {
		untold = append(untold, "kubernetesPodLabel")
	}
	if s.Pod != "" && s.ClusterID == "" {
		untold = append(untold, "kubernetesClusterId")
	}
	if s.Pod != "" && s.ClusterName == "" {
		untold = append(untold, "kubernetesClusterName")
	}
	return s, untold
}
