// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package conformance is the table of the fields that readers of our documents
// rely on: detection rules, Session View, the Kubernetes dashboard. It says of
// each on which documents it stands, with which type, and what it must agree
// with; or why no document has it.
package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Field is a row of the table.
type Field struct {
	Name string
	Type string // as Elasticsearch maps it; with [] it is a list, with [?] where there are several
	On   string // the key of a condition
	// Without is why no document has the field.
	Without string
}

// conditions say on which documents a field must stand.
var conditions = map[string]func(Document) bool{
	"every document":     func(Document) bool { return true },
	"events and alerts":  Document.isEvent,
	"process events":     func(d Document) bool { return d.isEvent() && d.has("event.category", "process") },
	"file events":        func(d Document) bool { return d.has("event.category", "file") },
	"ends":               func(d Document) bool { return d.has("event.action", "end") },
	"containers":         func(d Document) bool { return d["container.image.name"] != nil },
	"pods":               func(d Document) bool { return d["orchestrator.type"] != nil },
	"heartbeats":         func(d Document) bool { return d.has("event.dataset", "cloud_defend.heartbeat") },
	"terminals":          func(d Document) bool { return d["process.tty.char_device.major"] != nil },
	"where there is one": func(Document) bool { return false },
}

// Document is a document by the whole names of its fields.
type Document map[string]any

// Parse reads one document.
func Parse(text []byte) (Document, error) {
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("decode document: %w", err)
	}
	d := Document{}
	d.add("", tree)
	return d, nil
}

// add takes over a value. A list of objects is a list for each of their fields,
// as a search engine sees it.
func (d Document) add(name string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			d.add(strings.TrimPrefix(name+"."+key, "."), v)
		}
	case []any:
		for _, v := range value {
			if m, ok := v.(map[string]any); ok {
				for key, v := range m {
					list, _ := d[name+"."+key].([]any)
					more, many := v.([]any)
					if !many {
						more = []any{v}
					}
					d[name+"."+key] = append(list, more...)
				}
			}
		}
		if len(value) == 0 {
			d[name] = value
		} else if _, objects := value[0].(map[string]any); !objects {
			d[name] = value
		}
	default:
		d[name] = value
	}
}

// Values are what a field has: none, one or several.
func (d Document) Values(name string) []any {
	switch v := d[name].(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func (d Document) has(name, value string) bool { return slices.Contains(d.Values(name), any(value)) }

func (d Document) text(name string) string {
	s, _ := d[name].(string)
	return s
}

func (d Document) isEvent() bool { return d["process.pid"] != nil }

// excused reports whether the document itself says that a field is missing or
// holds only a part.
func (d Document) excused(name string) bool {
	name = strings.TrimSuffix(name, "_count") // of arguments, which is not told then
	for _, list := range []string{"unresolved", "truncated", "escaped", "foreign"} {
		for _, gap := range d.Values("cloud_defend." + list) {
			if name == gap || strings.HasPrefix(name, fmt.Sprint(gap)+".") {
				return true
			}
		}
	}
	return false
}

// Faults lists what is wrong with a document.
func Faults(d Document) []string {
	var faults []string
	for _, f := range Fields {
		values := d.Values(f.Name)
		switch {
		case f.Without != "" && values != nil:
			faults = append(faults, f.Name+": has a source now, and the table says that it has none")
		case values == nil && f.Without == "" && conditions[f.On](d) && !d.excused(f.Name) && !d.unknown(f.Name):
			faults = append(faults, f.Name+": is missing")
		case values != nil && !fits(f, d[f.Name]):
			faults = append(faults, fmt.Sprintf("%s: %v is no %s", f.Name, d[f.Name], f.Type))
		}
	}
	for _, m := range meanings {
		if fault := m(d); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// unknown reports whether a field is about a process of which only pid and start
// are known, or nothing.
func (d Document) unknown(name string) bool {
	for _, who := range relatives {
		if strings.HasPrefix(name, "process."+who+".") {
			return d["process."+who+".name"] == nil || d["process."+who+".executable"] == nil
		}
	}
	return false
}

func fits(f Field, value any) bool {
	kind, either := strings.CutPrefix(f.Type, "[?]")
	kind, list := strings.CutPrefix(kind, "[]")
	values, many := value.([]any)
	if either && many != (len(values) > 1) || !either && many != list {
		return false
	}
	if !many {
		values = []any{value}
	}
	return !slices.ContainsFunc(values, func(v any) bool { return !kinds[kind](v) }) && len(values) > 0
}

var kinds = map[string]func(any) bool{
	"keyword": isText, "wildcard": isText, "match_only_text": isText, "constant_keyword": isText,
	"boolean": func(v any) bool { _, ok := v.(bool); return ok },
	"long":    isNumber, "short": isNumber,
	"date": func(v any) bool {
		s, _ := v.(string)
		_, err := time.Parse("2006-01-02T15:04:05.000000000Z", s)
		return err == nil
	},
	"ip": func(v any) bool {
		s, _ := v.(string)
		_, err := netip.ParseAddr(s)
		return err == nil
	},
}

func isText(v any) bool { _, ok := v.(string); return ok }

func isNumber(v any) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	_, err := n.Int64()
	return err == nil
}
