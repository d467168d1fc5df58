// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package dist

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// embedded are the attributes of saved objects that Kibana stores as strings of JSON. In the tree they stand as what
// they are, so that a change of a dashboard can be read.
var embedded = []string{"panelsJSON", "optionsJSON", "searchSourceJSON"}

func isSavedObject(inside string) bool {
	return strings.HasPrefix(inside, "kibana/") && strings.HasSuffix(inside, ".json")
}

// savedObject makes strings of a saved object's embedded JSON.
func savedObject(content []byte) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, err
	}
	attributes, ok := object["attributes"].(map[string]any)
	if !ok {
		return nil, errors.New("has no attributes")
	}
	if err := embed(attributes); err != nil {
		return nil, err
	}
	text, err := compact(object)
	return append(text, '\n'), err
}

func embed(attributes map[string]any) error {
	for _, name := range embedded {
		if value, ok := attributes[name]; ok {
			text, err := compact(value)
			if err != nil {
				return err
			}
			attributes[name] = string(text)
		}
	}
	if meta, ok := attributes["kibanaSavedObjectMeta"].(map[string]any); ok {
		return embed(meta)
	}
	return nil
}

func compact(value any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSpace(text.Bytes()), err
}
