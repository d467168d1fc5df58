// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import "fmt"

// What a table of dashboards becomes in Kibana: saved objects in the form of 8.11, which later versions migrate.

type object = map[string]any

type reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

const layer = "layer"

// savedObject is a dashboard as Kibana exports it, but for the strings of JSON, which stand here as objects.
func (d dashboard) savedObject() object {
	const filterIndex = "kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"
	references := []reference{{d.view, filterIndex, "index-pattern"}}
	var panels []object
	x, y, lowest := 0, 0, 0
	for i, p := range d.panels {
		index := fmt.Sprintf("panel-%d", i+1)
		if x+p.width > 48 {
			x, y = 0, lowest
		}
		panels = append(panels, object{
			"type": "lens", "panelIndex": index, "title": p.title,
			"gridData":         object{"x": x, "y": y, "w": p.width, "h": p.height, "i": index},
			"embeddableConfig": object{"attributes": p.lens(d.view), "enhancements": object{}, "hidePanelTitles": false},
		})
		references = append(references, reference{d.view, index + ":" + dataView, "index-pattern"})
		x, lowest = x+p.width, max(lowest, y+p.height)
	}
	return object{
		"id": d.id, "type": "dashboard", "references": references,
		"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.9.0",
		"attributes": object{
			"title": d.title, "description": d.description, "version": 1, "timeRestore": false,
			"panelsJSON":  panels,
			"optionsJSON": object{"useMargins": true, "syncColors": false, "syncCursor": true, "syncTooltips": false, "hidePanelTitles": false},
			"kibanaSavedObjectMeta": object{"searchSourceJSON": object{
				"query": kql(""), "filter": []object{d.filter(filterIndex)},
			}},
		},
	}
}

// filter keeps a page to its streams.
func (d dashboard) filter(index string) object {
	var should []object
	for _, dataset := range d.datasets {
		should = append(should, object{"match_phrase": object{"data_stream.dataset": dataset}})
	}
	return object{
		"$state": object{"store": "appState"},
		"meta": object{
			"alias": nil, "disabled": false, "negate": false, "type": "phrases", "key": "data_stream.dataset", "field": "data_stream.dataset",
			"params": d.datasets, "indexRefName": index,
		},
		"query": object{"bool": object{"minimum_should_match": 1, "should": should}},
	}
}

func kql(query string) object { return object{"language": "kuery", "query": query} }

const dataView = "indexpattern-datasource-layer-" + layer

func (p panel) lens(view string) object {
	columns, order := p.columns()
	return object{
		"title": p.title, "type": "lens", "visualizationType": string(p.shape),
		"references": []reference{{view, dataView, "index-pattern"}},
		"state": object{
			"query": kql(p.query), "filters": []object{}, "internalReferences": []object{}, "adHocDataViews": object{},
			"datasourceStates": object{"formBased": object{"layers": object{layer: object{
				"columnOrder": order, "columns": columns, "incompleteColumns": object{}, "sampling": 1,
			}}}},
			"visualization": p.visualization(),
		},
	}
}

func (p panel) measures() []measure {
	if len(p.show) == 0 {
		return []measure{count}
	}
	return p.show
}

func columnOfGroup(i int) string   { return fmt.Sprintf("by-%d", i+1) }
func columnOfMeasure(i int) string { return fmt.Sprintf("show-%d", i+1) }

// columns are the buckets and figures of a panel, and their order.
func (p panel) columns() (object, []string) {
	columns, order := object{}, []string{}
	for i, g := range p.by {
		columns[columnOfGroup(i)] = g.column()
		order = append(order, columnOfGroup(i))
	}
	if p.shape == course {
		columns["time"] = object{
			"label": "@timestamp", "dataType": "date", "operationType": "date_histogram", "sourceField": "@timestamp", "isBucketed": true,
			"scale": "interval", "params": object{"interval": "auto", "includeEmptyRows": true, "dropPartials": false},
		}
		order = append(order, "time")
	}
	for i, m := range p.measures() {
		columns[columnOfMeasure(i)] = m.column()
		order = append(order, columnOfMeasure(i))
	}
	return columns, order
}

func (g group) column() object {
	return object{
		"label": g.label, "customLabel": true, "dataType": "string", "operationType": "terms", "sourceField": g.field, "isBucketed": true, "scale": "ordinal",
		"params": object{
			"size": g.size, "orderBy": object{"type": "column", "columnId": columnOfMeasure(0)}, "orderDirection": "desc",
			"otherBucket": false, "missingBucket": false, "parentFormat": object{"id": "terms"},
		},
	}
}

func (m measure) column() object {
	c := object{
		"label": m.label, "customLabel": true, "dataType": "number", "operationType": m.how, "sourceField": m.field, "isBucketed": false, "scale": "ratio",
		"params": object{"emptyAsNull": false},
	}
	switch m.how {
	case "count":
		c["sourceField"] = "___records___"
	case "last_value":
		c["params"] = object{"sortField": "@timestamp"}
		c["filter"] = kql(m.field + " : *")
		c["dataType"], c["scale"] = "string", "ordinal"
	case "max":
		c["params"] = object{}
		if m.field == "@timestamp" {
			c["dataType"] = "date"
		}
	}
	return c
}

func (p panel) visualization() object {
	var groups, shown []string
	for i := range p.by {
		groups = append(groups, columnOfGroup(i))
	}
	for i := range p.measures() {
		shown = append(shown, columnOfMeasure(i))
	}
	switch p.shape {
	case number:
		return object{"layerId": layer, "layerType": "data", "metricAccessor": shown[0]}
	case course:
		return object{
			"legend": object{"isVisible": true, "position": "right"}, "valueLabels": "hide", "preferredSeriesType": "bar_stacked",
			"layers": []object{{
				"layerId": layer, "layerType": "data", "seriesType": "bar_stacked", "xAccessor": "time", "splitAccessor": groups[0], "accessors": shown,
			}},
		}
	case ring:
		return object{"shape": "donut", "layers": []object{{
			"layerId": layer, "layerType": "data", "primaryGroups": groups, "metrics": shown,
			"numberDisplay": "percent", "categoryDisplay": "default", "legendDisplay": "default",
		}}}
	default:
		var columns []object
		for _, id := range append(groups, shown...) {
			columns = append(columns, object{"columnId": id})
		}
		return object{"layerId": layer, "layerType": "data", "columns": columns}
	}
}
