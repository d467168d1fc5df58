// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settings

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "rewrite docs/settings.md")

const root = "../.."

// everything is the table as if each setting did something.
func everything() []Setting {
	rows := slices.Clone(table)
	for i := range rows {
		rows[i].Reader = "somebody"
	}
	return rows
}

func TestTable(t *testing.T) {
	var v Values
	fields := reflect.ValueOf(&v).Elem()
	used := map[any]string{}
	for i, s := range table {
		require.Empty(t, used[s.field(&v)], s.Key)
		used[s.field(&v)] = s.Key
		require.Regexp(t, `^[a-z]+([._][a-z]+)*$`, s.Key)
		require.Regexp(t, `^[A-Z].*\.$`, s.Doc, s.Key)
		for _, other := range table[:i] {
			require.NotEqual(t, other.Key, s.Key)
		}
		require.Nil(t, s.set(&v, s.Default), s.Key)
		require.Equal(t, s.Default, s.text(&v), "a default is written as it is printed")
	}
	for i := range fields.NumField() {
		require.NotEmpty(t, used[fields.Field(i).Addr().Interface()], fields.Type().Field(i).Name)
	}
	require.Equal(t, Defaults(), v)
}

// A setting that users see is read by the file that says so.
func TestReadersRead(t *testing.T) {
	for _, s := range ready(table) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, s.Reader), nil, 0)
		require.NoError(t, err)
		name, found := fieldName(s), false
		ast.Inspect(parsed, func(n ast.Node) bool {
			selected, ok := n.(*ast.SelectorExpr)
			found = found || ok && selected.Sel.Name == name
			return !found
		})
		require.True(t, found, "%s does not read the field %s of %s", s.Reader, name, s.Key)
	}
}

func fieldName(s Setting) string {
	var v Values
	fields := reflect.ValueOf(&v).Elem()
	for i := range fields.NumField() {
		if fields.Field(i).Addr().Interface() == s.field(&v) {
			return fields.Type().Field(i).Name
		}
	}
	return ""
}

func TestRead(t *testing.T) {
	inForce := defaults(everything())
	inForce.Proc = "/hostfs/proc"
	inForce.MergeWindow = 3 * time.Second
	got, faults := read(everything(), inForce, map[string]any{
		"enforce":            false,
		"fail_closed":        "TRUE",
		"spool":              map[string]any{"size": 1048576.0},
		"host.ip":            nil,
		"merge_window":       "11s",
		"prometheus.address": "0.0.0.0:9273",
		"folding":            []any{true},
		"host":               map[string]any{"proc": "/elsewhere"},
		"fail_open":          true,
	})
	want := defaults(everything())
	want.Proc, want.MergeWindow = "/hostfs/proc", 3*time.Second
	want.Enforce, want.FailClosed, want.SpoolSize = false, true, 1<<20
	require.Equal(t, want, got)
	require.Equal(t, []string{
		"settings.fail_open: unknown setting; the settings are host.ip, enforce, fail_closed, survival, folding, merge_window, spool.size, nri, prometheus.address",
		"settings.folding: is a list; write one value",
		"settings.host.proc: belongs to the node, not to a policy; set CLOUD_DEFEND_HOST_PROC in the environment of Elastic Agent",
		`settings.merge_window: "11s" is not between 0s and 10s; write a duration in these bounds`,
		`settings.prometheus.address: "0.0.0.0:9273" can be reached from other machines; write a loopback address such as 127.0.0.1:9273`,
	}, said(faults))

	later := slices.Clone(table)
	later[len(later)-1].Reader = ""
	_, faults = read(later, Defaults(), map[string]any{"prometheus.address": "", "x": 1.5})
	require.Contains(t, said(faults), "settings.prometheus.address: this version does not have the setting yet; remove it")
	require.Len(t, faults, 2)
}

func said(faults []Fault) []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.String())
	}
	return all
}

func TestEnviron(t *testing.T) {
	environment := map[string]string{
		"ELASTIC_NETINFO": "true", "CLOUD_DEFEND_HOST_IP": "false", "HOSTFS_PROC_PATH": "/hostfs/proc",
		"CLOUD_DEFEND_SPOOL_SIZE": "plenty", "CLOUD_DEFEND_HOST_CGROUP": "cgroup",
	}
	v := defaults(everything())
	faults := environ(everything(), &v, func(name string) (string, bool) { text, ok := environment[name]; return text, ok })
	want := defaults(everything())
	want.HostIP, want.Proc = false, "/hostfs/proc"
	require.Equal(t, want, v)
	require.Equal(t, []string{
		`CLOUD_DEFEND_HOST_CGROUP: "cgroup" is not an absolute path; begin it with /`,
		`CLOUD_DEFEND_SPOOL_SIZE: "plenty" is not a size; write a number and a unit, such as 512MiB`,
	}, said(faults))
	require.Empty(t, Environ(&v, func(string) (string, bool) { return "", false }))
}

func TestFlags(t *testing.T) {
	v := defaults(everything())
	byName := map[string]*Flag{}
	for _, f := range flags(everything(), &v) {
		byName[f.Name] = f
	}
	require.NotContains(t, byName, "spool-size", "only a component has a spool")
	require.Equal(t, "1s", byName["merge-window"].String())
	require.Equal(t, "duration", byName["merge-window"].Type())
	require.False(t, byName["merge-window"].IsBoolFlag())
	require.True(t, byName["fail-closed"].IsBoolFlag())
	require.Equal(t, "keep enforcing while the component restarts or is upgraded [CLOUD_DEFEND_SURVIVAL]", byName["survival"].Usage)
	require.NoError(t, byName["merge-window"].Set("2s"))
	require.Equal(t, 2*time.Second, v.MergeWindow)
	require.EqualError(t, byName["merge-window"].Set("soon"), "is not a duration; write a number and a unit, such as 500ms or 2s")
	require.Len(t, Flags(&v), 13)
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "7": 7, "7B": 7, "1kB": 1000, "3KiB": 3072, "5 MiB": 5 << 20, "18446744073709551615": 1<<64 - 1} {
		got, bad := parseBytes(text)
		require.Nil(t, bad, text)
		require.Equal(t, want, got)
		again, bad := parseBytes(got.String())
		require.Nil(t, bad)
		require.Equal(t, got, again)
	}
	for _, text := range []string{"", "B", "-1", "1.5GiB", "18014398509481984KiB", "1 gib"} {
		_, bad := parseBytes(text)
		require.NotNil(t, bad, text)
	}
}

func TestWaiting(t *testing.T) {
	other := Defaults()
	require.Empty(t, Waiting(Defaults(), other))
	other.Proc, other.Enforce = "/hostfs/proc", !other.Enforce
	require.Equal(t, []string{"host.proc"}, Waiting(Defaults(), other))
}

func TestDocumentation(t *testing.T) {
	path := filepath.Join(root, "docs", "settings.md")
	got := documentation(ready(table))
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./pkg/settings -update rewrites it")
}

const documentationHead = `# Settings

Everything that can be set apart from the policy and the output. This page is written from the table in ` + "`pkg/settings`" + `.

What is set nearer to the node wins: a flag of ` + "`cloud-defend run`" + ` over the environment, the environment over the
agent's policy, that over the default. Under Elastic Agent the environment is that of the agent, in Kubernetes ` + "`env`" + ` of
its container.

- **A policy's setting** stands below ` + "`settings`" + ` of the input in a standalone ` + "`elastic-agent.yml`" + `, next to ` + "`streams`" + `. With
  Fleet it is a variable of the integration, its name the key with ` + "`_`" + ` for each dot. Kibana's form for this integration
  shows only the policy: use Fleet's API for the others.
- **A node's setting** is about one machine, so no policy has it: the environment and the flags of ` + "`run`" + ` do.

A value that cannot be used leaves the one before it in force, and the unit's state says so.

`

func documentation(rows []Setting) string {
	var b strings.Builder
	b.WriteString(documentationHead)
	b.WriteString("| key | type | default | takes effect | belongs to | environment | meaning |\n|---|---|---|---|---|---|---|\n")
	for _, s := range rows {
		when, owner, env := "at the next start", "policy", "`"+s.env()+"`"
		if s.Live {
			when = "at once"
		}
		if s.Node {
			owner = "node"
		}
		if s.Env != "" {
			env += ", `" + s.Env + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", s.Key, s.kind(), code(s.Default), when, owner, env, s.Doc)
	}
	return b.String()
}

func code(text string) string {
	if text == "" {
		return "none"
	}
	return "`" + text + "`"
}

// The integration has a variable for each setting that a policy can have, and
// its template passes on what the user set.
func TestPackageVariables(t *testing.T) {
	var manifest struct {
		Templates []struct {
			Inputs []struct {
				Path string `yaml:"template_path"`
				Vars []struct {
					Name, Type, Title, Description string
					Default                        any
					Required                       bool
				}
			}
		} `yaml:"policy_templates"`
	}
	text, err := os.ReadFile(filepath.Join(root, "package", "cloud_defend", "manifest.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &manifest))
	input := manifest.Templates[0].Inputs[0]
	found := map[string]bool{}
	for _, v := range input.Vars {
		found[v.Name] = true
	}
	template := ""
	for _, s := range ready(table) {
		name := strings.ReplaceAll(s.Key, ".", "_")
		require.Equal(t, !s.Node, found[name], "%s", name)
		if s.Node {
			continue
		}
		for _, v := range input.Vars {
			if v.Name == name {
				kind := map[bool]string{true: "bool", false: "text"}[s.kind() == "bool"]
				require.Equal(t, []any{kind, s.Doc, s.Default, false}, []any{v.Type, v.Description, fmt.Sprint(v.Default), v.Required}, name)
			}
		}
		template += templateLine(s.Key, name)
	}
	if template == "" {
		require.Empty(t, input.Path, "a template that has nothing to say")
		return
	}
	got, err := os.ReadFile(filepath.Join(root, "package", "cloud_defend", "agent", "input", input.Path))
	require.NoError(t, err)
	require.Equal(t, "settings:\n"+template, string(got))
}

func templateLine(key, name string) string {
	return fmt.Sprintf("  %s: {{%s}}\n", key, name)
}
