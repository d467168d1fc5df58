// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package mapping holds documents against the fields that the integration package maps.
package mapping

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v3"

	integration "github.com/elastic/cloud-defend/package"
	"github.com/elastic/cloud-defend/testing/ecsfields"
)

// Field is a field of a stream.
type Field struct {
	Name        string  `yaml:"name"`
	Type        string  `yaml:"type"`
	Value       string  `yaml:"value"`
	External    string  `yaml:"-"` // who defines it; empty for the package itself
	Description string  `yaml:"description"`
	Unit        string  `yaml:"unit"`
	MetricType  string  `yaml:"metric_type"`
	IgnoreAbove int     `yaml:"ignore_above"`
	Index       *bool   `yaml:"index"`
	DocValues   *bool   `yaml:"doc_values"`
	MultiFields []Field `yaml:"multi_fields"`
	Fields      []Field `yaml:"fields"` // of a group
}

// Stream has the fields of a data stream by their full names.
type Stream map[string]Field

// Load returns all streams, by the values of data_stream.dataset.
var Load = sync.OnceValues(load)

func load() (map[string]Stream, error) {
	ecs, err := ecsfields.Parse(integration.ECS)
	if err != nil {
		return nil, err
	}
	paths, err := fs.Glob(integration.Files, "cloud_defend/data_stream/*/fields/*.yml")
	if err != nil {
		return nil, err
	}
	streams := map[string]Stream{}
	for _, p := range paths {
		dataset := "cloud_defend." + path.Base(path.Dir(path.Dir(p)))
		if streams[dataset] == nil {
			streams[dataset] = Stream{}
		}
		text, err := fs.ReadFile(integration.Files, p)
		if err == nil {
			err = streams[dataset].read(text, ecs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return streams, nil
}

func (s Stream) read(text []byte, ecs ecsfields.Table) error {
	external, err := ecsfields.External(text)
	if err != nil {
		return err
	}
	if text, err = ecs.Resolve(text); err != nil {
		return err
	}
	var list []Field
	if err := yaml.Unmarshal(text, &list); err != nil {
		return err
	}
	for i := range list {
		if slices.Contains(external, list[i].Name) {
			list[i].External = "ecs"
		}
	}
	return s.add("", list)
}

func (s Stream) add(prefix string, list []Field) error {
	for _, f := range list {
		name := prefix + f.Name
		if f.Type == "group" {
			if err := s.add(name+".", f.Fields); err != nil {
				return err
			}
			continue
		}
		if _, twice := s[name]; twice {
			return fmt.Errorf("%s is there twice", name)
		}
		if f.Type == "" {
			return fmt.Errorf("%s has no type", name)
		}
		s[name] = f
	}
	return nil
}

// Faults says what of a document, a JSON object, its stream does not map or maps to another type.
func Faults(document []byte) ([]string, error) {
	streams, err := Load()
	if err != nil {
		return nil, err
	}
	doc := map[string]any{}
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	dataset := Dataset(doc)
	stream, ok := streams[dataset]
	if !ok {
		return nil, fmt.Errorf("data_stream.dataset: the package has no stream %q", dataset)
	}
	return stream.Faults(doc), nil
}

// Dataset is the value of data_stream.dataset; empty where there is none.
func Dataset(doc map[string]any) string {
	stream, _ := doc["data_stream"].(map[string]any)
	dataset, _ := stream["dataset"].(string)
	return dataset
}

// Faults says what of a document the stream does not map or maps to another type.
func (s Stream) Faults(doc map[string]any) []string {
	var faults []string
	for name, values := range Values(doc) {
		f, ok := s[name]
		if !ok {
			faults = append(faults, name+" has no field")
			continue
		}
		for _, value := range values {
			if !f.takes(value) {
				faults = append(faults, fmt.Sprintf("%s: a field of type %s does not take %v", name, f.Type, value))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// Values are a document's values by the full names of their fields. A list is its members, whatever is in them.
func Values(doc map[string]any) map[string][]any {
	found := map[string][]any{}
	var walk func(name string, value any)
	walk = func(name string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, member := range value {
				walk(strings.TrimPrefix(name+"."+key, "."), member)
			}
		case []any:
			for _, member := range value {
				walk(name, member)
			}
		default:
			found[name] = append(found[name], value)
		}
	}
	walk("", doc)
	return found
}

func (f Field) takes(value any) bool {
	if f.Value != "" {
		return value == f.Value
	}
	switch value := value.(type) {
	case bool:
		return f.Type == "boolean"
	case float64:
		return value == math.Trunc(value) && (f.Type == "long" || f.Type == "short" && value <= math.MaxInt16)
	case string:
		return f.takesText(value)
	}
	return false
}

func (f Field) takesText(value string) bool {
	var err error
	switch f.Type {
	case "keyword", "constant_keyword", "match_only_text", "wildcard":
	case "date":
		_, err = time.Parse(time.RFC3339Nano, value)
	case "ip":
		_, err = netip.ParseAddr(value)
	default:
		return false
	}
	return err == nil
}
