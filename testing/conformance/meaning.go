// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package conformance

import (
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"
)

// meanings say what the fields of one document have to do with each other; each
// returns what is wrong, or nothing.
var meanings = []func(Document) string{
	streams, types, outcomes, hooks, images, identities, leaders, actors, fileNames, tags,
}

func wrong(name string, format string, args ...any) string {
	return name + ": " + fmt.Sprintf(format, args...)
}

func streams(d Document) string {
	dataset := d.text("event.dataset")
	switch {
	case dataset != d.text("data_stream.dataset"):
		return wrong("data_stream.dataset", "differs from event.dataset")
	case d.text("event.module") != "cloud_defend" || !strings.HasPrefix(dataset, "cloud_defend."):
		return wrong("event.module", "%v of %s", d["event.module"], dataset)
	case (d.text("event.kind") == "alert") != (dataset == "cloud_defend.alerts"):
		return wrong("event.kind", "%v in %s", d["event.kind"], dataset)
	case d.text("event.created") < d.text("@timestamp"):
		return wrong("event.created", "before the event")
	case d.text("host.os.type") != "linux" || d.text("agent.type") != "cloud-defend":
		return wrong("host.os.type", "%v, and the agent is %v", d["host.os.type"], d["agent.type"])
	}
	return ""
}

// typeOf is event.type of each event.action.
var typeOf = map[string]string{
	"fork": "start", "exec": "start", "end": "end", "creation": "creation", "link": "creation", "open": "change",
	"modification": "change", "rename": "change", "deletion": "deletion", "access": "access",
}

func types(d Document) string {
	if !d.isEvent() {
		return ""
	}
	got := slices.DeleteFunc(slices.Clone(d.Values("event.type")), func(v any) bool { return v == "denied" })
	var want []any
	for _, action := range d.Values("event.action") {
		if t := any(typeOf[fmt.Sprint(action)]); !slices.Contains(want, t) {
			want = append(want, t)
		}
	}
	if !slices.Equal(got, want) {
		return wrong("event.type", "%v of %v", got, d["event.action"])
	}
	return ""
}

func outcomes(d Document) string {
	refused := d.text("event.outcome") == "failure"
	message := d.text("message")
	switch {
	case !d.isEvent():
		return ""
	case refused != d.has("event.type", "denied"):
		return wrong("event.outcome", "%v of type %v", d["event.outcome"], d["event.type"])
	case refused != strings.Contains(message, ") was refused "):
		return wrong("message", "%q of outcome %v", message, d["event.outcome"])
	case strings.Contains(message, ") tried to ") != (d.text("event.outcome") == "unknown"):
		return wrong("message", "%q of outcome %v", message, d["event.outcome"])
	}
	return ""
}

func hooks(d Document) string {
	_, list := d["cloud_defend.hook_point"].([]any)
	switch {
	case !d.isEvent():
		return ""
	case d["cloud_defend.hook_point"] == nil:
		return wrong("cloud_defend.hook_point", "is missing")
	case list == d.has("event.category", "file"):
		return wrong("cloud_defend.hook_point", "is a list of process events alone, %v", d["cloud_defend.hook_point"])
	case len(d.Values("cloud_defend.hook_point")) != len(d.Values("event.action")):
		return wrong("cloud_defend.hook_point", "%v of %v", d["cloud_defend.hook_point"], d["event.action"])
	}
	return ""
}

// each calls check for the process and all its relatives.
func (d Document) each(check func(prefix string) string) string {
	for _, who := range append([]string{""}, relatives...) {
		prefix := strings.Replace("process."+who+".", "..", ".", 1)
		if d[prefix+"pid"] == nil {
			continue
		}
		if fault := check(prefix); fault != "" {
			return fault
		}
	}
	return ""
}

func images(d Document) string {
	return d.each(func(prefix string) string {
		name, exe := d.text(prefix+"name"), d.text(prefix+"executable")
		args, count := d.Values(prefix+"args"), d.Values(prefix+"args_count")
		if exe != "" && !d.excused(prefix+"executable") && (name != path.Base(exe) || !path.IsAbs(exe)) {
			return wrong(prefix+"name", "%q of %q", name, exe)
		}
		if count != nil && fmt.Sprint(count[0]) != fmt.Sprint(len(args)) {
			return wrong(prefix+"args_count", "%v of %d", count[0], len(args))
		}
		line, has := d[prefix+"command_line"].(string)
		if joined := strings.Trim(fmt.Sprint(args), "[]"); has && !d.excused(prefix+"command_line") && strings.Trim(line, "[]") != joined {
			return wrong(prefix+"command_line", "%q of %v", line, args)
		}
		return ""
	})
}

// identities looks into the entity ids: pid namespace, boot, pid, start.
func identities(d Document) string {
	return d.each(func(prefix string) string {
		id, err := base64.StdEncoding.DecodeString(d.text(prefix + "entity_id"))
		parts := strings.Split(string(id), "__")
		if err != nil || len(parts) != 4 || parts[0] != d.text("host.pid_ns_ino") && d["host.pid_ns_ino"] != nil ||
			parts[1] != d.text("host.boot.id") || parts[2] != fmt.Sprint(d[prefix+"pid"]) {
			return wrong(prefix+"entity_id", "%q of pid %v", id, d[prefix+"pid"])
		}
		return ""
	})
}

func leaders(d Document) string {
	for _, who := range relatives {
		prefix := "process." + who + "."
		same := d[prefix+"entity_id"] == d["process.entity_id"]
		if d[prefix+"pid"] != nil && d[prefix+"same_as_process"] != same {
			return wrong(prefix+"same_as_process", "%v, and it is %v", d[prefix+"same_as_process"], same)
		}
	}
	return ""
}

// actors: sequences join files and processes by the ids at the top.
func actors(d Document) string {
	for _, who := range []string{"user", "group"} {
		if p := d["process."+who+".id"]; p != nil && p != d[who+".id"] && d.text("event.action") != "end" {
			return wrong(who+".id", "%v, the process has %v", d[who+".id"], p)
		}
	}
	return ""
}

func fileNames(d Document) string {
	if !d.has("event.category", "file") || d.excused("file.path") {
		return ""
	}
	name := path.Base(d.text("file.path"))
	if d.text("file.name") != name {
		return wrong("file.name", "%v of %v", d["file.name"], d["file.path"])
	}
	if ext := strings.TrimPrefix(path.Ext(strings.TrimPrefix(name, ".")), "."); !d.excused("file.extension") && d.text("file.extension") != ext {
		return wrong("file.extension", "%v of %v", d["file.extension"], d["file.path"])
	}
	return ""
}

// tags: labels are key:value.
func tags(d Document) string {
	for _, label := range d.Values("orchestrator.resource.label") {
		if !strings.Contains(fmt.Sprint(label), ":") {
			return wrong("orchestrator.resource.label", "%v", label)
		}
	}
	return ""
}
