// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package ecsfields gives the fields that the integration package takes from the Elastic Common Schema their types. The
// package's sources say "external: ecs"; Kibana knows no such thing, so what is delivered has the definitions in its
// place. They stand in package/ecs.json, so that building needs no registry: Update makes that file from the schema,
// and Check compares.
package ecsfields

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Path is where the table stands, below the repository's root.
const Path = "package/ecs.json"

// Table has the definitions of all fields that the package takes from the schema.
type Table struct {
	Version string           `json:"version"`
	Fields  map[string]Field `json:"fields"`
}

// Field is a definition in the words of a package's fields files.
type Field struct {
	Type        string  `json:"type" yaml:"type"`
	Name        string  `json:"name,omitempty" yaml:"name,omitempty"` // of a multi-field
	IgnoreAbove int     `json:"ignore_above,omitempty" yaml:"ignore_above,omitempty"`
	Index       *bool   `json:"index,omitempty" yaml:"index,omitempty"`
	DocValues   *bool   `json:"doc_values,omitempty" yaml:"doc_values,omitempty"`
	MultiFields []Field `json:"multi_fields,omitempty" yaml:"multi_fields,omitempty"`
	// Array: the schema wants a list, also of one value.
	Array bool `json:"array,omitempty" yaml:"-"`
}

// Load reads the table of a repository.
func Load(root string) (Table, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(Path)))
	if err != nil {
		return Table{}, err
	}
	return Parse(text)
}

// Parse reads a table.
func Parse(text []byte) (Table, error) {
	var t Table
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("%s: %w", Path, err)
	}
	return t, nil
}

// External lists the fields of a fields file that the schema defines.
func External(file []byte) ([]string, error) {
	list, err := read(file)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(external(list))), nil
}

// IsFields tells whether a file of the package, by its slash-separated path in it, defines fields.
func IsFields(path string) bool {
	parts := strings.Split(path, "/")
	return len(parts) > 2 && parts[len(parts)-2] == "fields" && strings.HasSuffix(path, ".yml")
}

// Resolve writes the definitions into a fields file. A file without external fields stays as it is.
func (t Table) Resolve(file []byte) ([]byte, error) {
	list, err := read(file)
	if err != nil {
		return nil, err
	}
	names := external(list)
	if len(names) == 0 {
		return file, nil
	}
	for name, field := range names {
		definition, ok := t.Fields[name]
		if !ok {
			return nil, fmt.Errorf("%s is not in %s; go tool mage generate puts it there if the schema has it", name, Path)
		}
		if err := define(field, definition); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(list); err != nil {
		return nil, err
	}
	return out.Bytes(), e.Close()
}

// read returns the list of a fields file.
func read(file []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New("is no list of fields")
	}
	return doc.Content[0], nil
}

// external finds the fields that the schema defines, by name. Groups have none: their members are our own.
func external(list *yaml.Node) map[string]*yaml.Node {
	found := map[string]*yaml.Node{}
	for _, field := range list.Content {
		if value(field, "external") == "ecs" {
			found[value(field, "name")] = field
		}
	}
	return found
}

func value(mapping *yaml.Node, key string) string {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1].Value
		}
	}
	return ""
}

// define replaces a field's mark by its definition.
func define(field *yaml.Node, definition Field) error {
	var keys yaml.Node
	if err := keys.Encode(definition); err != nil {
		return err
	}
	for i := 0; i+1 < len(field.Content); i += 2 {
		if field.Content[i].Value == "external" {
			field.Content = slices.Replace(field.Content, i, i+2, keys.Content...)
			return nil
		}
	}
	return errors.New("has no mark")
}

// used lists the external fields of all fields files of the package.
func used(root string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(root, "package", "*", "data_stream", "*", "fields", "*.yml"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		external, err := External(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, name := range external {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}
