// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"encoding/json"
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// object is a JSON object.
type object = map[string]any

// Schema is the language as a JSON Schema (draft-07) with the additions that yaml-language-server knows, so that editors
// complete, explain and check a policy while it is written. It refuses nothing that Parse accepts. What it cannot say
// are lengths in bytes, references to selectors, and the rules between responses and selectors.
func Schema() []byte {
	root := object{
		"$schema":     "http://json-schema.org/draft-07/schema#",
		"$id":         "https://github.com/elastic/cloud-defend/raw/main/specs/policy.schema.json",
		"title":       "Policy of cloud-defend",
		"description": "What to watch in containers, and what to refuse: selectors say which operations are meant, responses what to do about them.",
		"type":        "object",
		"properties": object{
			"version":    object{"type": "string", "description": "Not interpreted."},
			"file":       object{"$ref": "#/definitions/fileSection"},
			"process":    object{"$ref": "#/definitions/processSection"},
			selectorsKey: older(listOf(reference("fileSelector")), `"file: selectors:"`),
			responsesKey: older(listOf(reference("response")), `"file: responses:"`),
		},
		"additionalProperties": false,
		"anyOf":                []any{required("file"), required("process"), required(selectorsKey, responsesKey)},
		"definitions":          definitions(),
		"defaultSnippets":      []any{firstPolicy},
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, lists and texts always have a JSON form
	}
	return append(text, '\n')
}

func definitions() object {
	all := object{"response": responseSchema()}
	for _, t := range Types {
		all[t.String()+"Section"] = sectionSchema(t)
		all[t.String()+"Selector"] = selectorSchema(t)
	}
	return all
}

func reference(definition string) object { return object{"$ref": "#/definitions/" + definition} }

func required(keys ...string) object { return object{"required": keys} }

// listOf is a list of selectors or responses.
func listOf(item object) object {
	return object{"type": "array", "minItems": 1, "maxItems": MaxItems, "items": item}
}

// older marks a key of an older generation. Editors do not propose it, and warn of it with this text.
func older(schema object, today string) object {
	says := "A key of an older generation: write " + today + "."
	schema["description"], schema["deprecationMessage"], schema["doNotSuggest"] = says, says, true
	return schema
}

func sectionSchema(t Type) object {
	says := map[Type]string{
		File:    "Operations on files: their creation, change and removal, and reading where a selector names openFile.",
		Process: "Operations of processes: starting another one, and running another program.",
	}
	selectors, responses := listOf(reference(t.String()+"Selector")), listOf(reference("response"))
	selectors["description"] = fmt.Sprintf("Named sets of conditions, at most %d. A selector alone does nothing: responses name it.", MaxItems)
	responses["description"] = fmt.Sprintf("What to do, at most %d. Responses are independent, in any order: the actions of all that fire are united.", MaxItems)
	return object{
		"type":                 "object",
		"description":          says[t],
		"properties":           object{selectorsKey: selectors, responsesKey: responses},
		"required":             []string{selectorsKey, responsesKey},
		"additionalProperties": false,
		"defaultSnippets":      []any{snippet("section", object{selectorsKey: []any{selectorSnippet(t)}, responsesKey: []any{responseSnippet}})},
	}
}

func snippet(label string, body any) object {
	return object{"label": label, "description": "A first " + label + ".", "body": body}
}

func selectorSnippet(t Type) object {
	return object{"name": "${1:name}", operationKey: operationNames[t][:2]}
}

var responseSnippet = object{"match": []any{"${1:name}"}, "actions": []any{"alert"}}

var firstPolicy = snippet("policy", object{
	File.String():    object{selectorsKey: []any{selectorSnippet(File)}, responsesKey: []any{responseSnippet}},
	Process.String(): object{selectorsKey: []any{selectorSnippet(Process)}, responsesKey: []any{responseSnippet}},
})

func nameSchema(says string) object {
	return object{
		"type": "string", "description": says, "minLength": 1, "maxLength": maxName, "pattern": namePattern.String(),
		"patternErrorMessage": nameForm,
	}
}

func selectorSchema(t Type) object {
	properties := object{"name": nameSchema("What responses and documents call the selector. Unique in its section.")}
	rivals := object{}
	for _, c := range conditions {
		if !slices.Contains(c.types, t) {
			continue
		}
		properties[c.key] = c.schema(t)
		// Once for both: the condition that comes first in the language forbids the other.
		if _, known := rivals[c.rival]; c.rival != "" && !known {
			rivals[c.key] = object{
				"properties": object{c.rival: false}, "errorMessage": fmt.Sprintf("%s cannot be combined with %s.", c.rival, c.key),
			}
		}
	}
	for name, today := range renamed {
		c, _ := conditionOf(today)
		properties[name] = older(c.schema(t), fmt.Sprintf("%q", today))
	}
	for name, only := range inPodKeys {
		properties[name] = older(object{"type": "array", "minItems": 1, "items": object{"const": only}}, podNameKey+`: ["*"]`)
	}
	return object{
		"type":                 "object",
		"description":          "A named set of conditions. All of them must hold; within one, any of its values.",
		"properties":           properties,
		"required":             []string{"name"},
		"additionalProperties": false,
		// Whoever has nothing but a name is told so; that it asks for operation only serves to refuse.
		"if":              object{"maxProperties": 1},
		"then":            object{"required": []string{operationKey}, "errorMessage": "A selector needs a name and at least one condition."},
		"dependencies":    rivals,
		"defaultSnippets": []any{snippet("selector", selectorSnippet(t))},
	}
}

// schema describes the values of a condition in a selector of type t.
func (c condition) schema(t Type) object {
	says := c.says
	if c.ours {
		says += " (An extension: the official grammar does not have it.)"
	}
	if c.rival != "" {
		says += fmt.Sprintf(" Not together with %s.", c.rival)
	}
	schema := object{"type": "array", "minItems": 1, "description": says}
	switch {
	case c.flag != nil:
		return object{"type": "boolean", "description": says}
	case c.key == operationKey:
		schema["items"] = oneOfWords(operationNames[t], operationSays[t])
	case c.ids != nil:
		schema["items"] = object{"type": "integer", "minimum": 0, "maximum": uint32(maxUserID), "description": says, "examples": c.examples()}
	default:
		schema["items"] = c.textSchema(says)
	}
	return schema
}

func (c condition) textSchema(says string) object {
	item := object{"type": "string", "minLength": 1, "maxLength": c.maxBytes, "description": says, "examples": c.examples()}
	if c.pattern != nil {
		item["pattern"] = c.pattern.String()
		item["patternErrorMessage"] = "Not valid here: " + c.form + "."
	}
	return item
}

// examples is the example as a value: it is kept as a user writes it.
func (c condition) examples() []any {
	var value any
	if err := yaml.Unmarshal([]byte(c.example), &value); err != nil {
		panic(err) // a constant of the table
	}
	return []any{value}
}

// oneOfWords is one of some words, each with its explanation.
func oneOfWords(words, says []string) object {
	return object{"type": "string", "enum": words, "enumDescriptions": says, "markdownEnumDescriptions": says}
}

func responseSchema() object {
	names := func(says string) object {
		return object{"type": "array", "description": says, "items": nameSchema("The name of a selector of this section.")}
	}
	match := names("The response fires when at least one of these selectors matches, and none of exclude.")
	match["minItems"] = 1
	return object{
		"type":        "object",
		"description": "What to do when selectors match.",
		"properties": object{
			"match":   match,
			"exclude": names("The response does not fire when one of these selectors matches."),
			"actions": object{
				"type": "array", "minItems": 1, "description": "What is done. block asks for alert beside it.",
				"items": oneOfWords(actionNames[:], actionSays[:]),
				"if":    object{"contains": object{"const": "block"}},
				"then": object{
					"contains": object{"const": "alert"}, "errorMessage": "block stands without alert: what is refused must be reported.",
				},
			},
		},
		"required":             []string{"match", "actions"},
		"additionalProperties": false,
		"defaultSnippets":      []any{snippet("response", responseSnippet)},
	}
}
