// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/host/cloud"
	"github.com/elastic/cloud-defend/pkg/process"
)

var update = flag.Bool("update", false, "rewrite the golden documents")

var (
	boot     = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	identity = process.Identity{BootID: "58842e5e-4780-43fa-be88-e935d902266f", PIDNamespace: 4026531836, BootTime: boot}
	node     = Static{
		Host: host.Facts{
			BootID: identity.BootID, PIDNamespace: identity.PIDNamespace, Hostname: "node-1",
			MachineID: "0123456789abcdef0123456789abcdef", Architecture: "x86_64",
			IPs: []string{"192.0.2.7", "2001:db8::7"}, MACs: []string{"02-42-AC-11-00-0A"},
			OS: host.OS{Type: "linux", Family: "debian", Platform: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", Codename: "bookworm",
				Kernel: "6.1.0-9-amd64 #1 SMP"},
		},
		Agent: Agent{ID: "2ad26c31-5f1f-4e31-9b57-9b0b5bd1a3c4", EphemeralID: "e1", Name: "node-1", Version: "0.1.0"},
		Mode:  "lsm",
	}
	privileged = false
	webPod     = container.Container{
		ID: strings.Repeat("0123456789abcdef", 4), Name: "web", CgroupID: 4711, Runtime: "containerd", Privileged: &privileged, Complete: true,
		Image: container.Image{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: "sha256:abcd"},
		Pod: container.Pod{Name: "web-7d5", Namespace: "shop", UID: "6f1b", SandboxID: "f00d",
			Label: container.ListPairs(map[string]string{"tier": "front", "app": "web"})},
	}
	docker = container.Container{ID: strings.Repeat("ab", 32), Name: "db", CgroupID: 4712, Runtime: "docker", Complete: true,
		Image: container.Image{Reference: "postgres", Repository: "docker.io/library/postgres", Tag: "16"},
		Users: []container.User{{Name: "root", ID: 0}, {Name: "app", ID: 1000}, {Name: "bin\xff", ID: 1004}}, Groups: []container.Group{{Name: "root", ID: 0}, {Name: "staff", ID: 27}, {Name: "app", ID: 1001}}}
)

// scene plays events through a process table into documents.
type scene struct {
	*Builder
	table *process.Table
	now   time.Duration
	tasks map[uint32]event.Task
	exe   map[uint32]string
	scope event.Scope
	c     *container.Container
	match Match
	docs  []Doc
	again []Doc // the same, when all that can be kept has been
}

func newScene(c *container.Container) *scene {
	s := &scene{
		Builder: NewBuilder(node), table: process.NewTable(identity), now: time.Hour, c: c,
		tasks: map[uint32]event.Task{}, exe: map[uint32]string{},
		match: Match{Selectors: []string{"interesting", "all"}, Log: true, PolicyID: "f4b3-77", PolicyRevision: 7},
	}
	s.Builder.now = func() time.Time { return boot.Add(2 * time.Hour) }
	if c != nil {
		s.scope = event.Scope{State: event.Known, CgroupID: c.CgroupID}
	}
	return s
}

func (s *scene) tick() time.Time {
	s.now += 1234567 * time.Nanosecond
	return boot.Add(s.now)
}

// start lets the runtime, 100, start the container's first program, 101,
// without a document.
func (s *scene) start(argv ...string) {
	log, scope := s.match.Log, s.scope
	s.match.Log, s.scope = false, event.Scope{}
	s.fork(100, 101)
	s.scope = scope
	s.exec(101, argv...)
	s.match.Log = log
}

func (s *scene) fork(parent, pid uint32) {
	from := s.tasks[parent]
	from.PID, from.TID = parent, parent
	t := from
	if t.Start == 0 { // the first: what the container runtime would have left
		from = event.Task{PID: parent, TID: parent, Start: 5, Comm: "containerd-shim"}
		t = event.Task{Comm: from.Comm, GroupLeaderPID: pid, SessionLeaderPID: pid, CapEffective: 1<<0 | 1<<21, CapPermitted: 1<<0 | 1<<21 | 1<<41}
	}
	when := s.tick()
	t.PID, t.TID, t.NamespacePID, t.Start = pid, pid, pid-100, uint64(s.now)
	t.ParentPID, t.ParentStart = from.PID, from.Start
	s.tasks[pid], s.exe[pid] = t, s.exe[parent]
	s.play(event.Event{Kind: event.Fork, Time: when, Hook: "tracepoint__sched_process_fork", Action: event.ActionFork,
		Outcome: event.OutcomeSuccess, Task: t, Parent: event.Parent{PID: from.PID, Start: from.Start}, Executable: event.Path{Name: s.exe[parent]}})
}

func (s *scene) exec(pid uint32, argv ...string) {
	s.exe[pid] = argv[0]
	exe := event.Path{Name: argv[0]}
	s.play(event.Event{Kind: event.Exec, Time: s.tick(), Hook: "tracepoint__sched_process_exec", Action: event.ActionExec,
		Outcome: event.OutcomeSuccess, Task: s.tasks[pid], Path: exe, Executable: exe, Args: argv, WorkingDirectory: event.Path{Name: "/srv"}})
}

func (s *scene) exit(pid uint32, code int32) {
	s.play(event.Event{Kind: event.Exit, Time: s.tick(), Hook: "fentry__taskstats_exit", Action: event.ActionEnd,
		Outcome: event.OutcomeSuccess, Task: s.tasks[pid], Executable: event.Path{Name: s.exe[pid]}, ExitCode: code})
}

// file plays a file event; change fills in what is special about it.
func (s *scene) file(pid uint32, action event.Action, hook, path string, change func(*event.Event)) {
	ev := event.Event{Kind: event.File, Time: s.tick(), Hook: hook, Action: action, Task: s.tasks[pid],
		Path: event.Path{Name: path}, Executable: event.Path{Name: s.exe[pid]}}
	if change != nil {
		change(&ev)
	}
	s.play(ev)
}

func (s *scene) play(ev event.Event) {
	ev.Scope = s.scope
	l := s.table.Apply(&ev)
	s.docs = s.Documents(s.docs, &ev, &l, s.c, &s.match)
	s.again = s.Documents(s.again, &ev, &l, s.c, &s.match)
}

func refused(ev *event.Event) { ev.Outcome = event.OutcomeRefused }

var cases = map[string]func() *scene{
	"process": func() *scene {
		s := newScene(&webPod)
		s.start("/docker-entrypoint.sh", "nginx")
		s.exec(101, "/usr/sbin/nginx", "-g", "daemon off;")
		s.fork(101, 102)
		s.exec(102, "/bin/sh", "-c", "ls -a \"$HOME\"", "")
		s.exit(102, 2)
		return s
	},
	"interactive": func() *scene {
		s := newScene(&docker)
		s.start("/bin/bash")
		t := s.tasks[101]
		t.TTYMajor, t.TTYMinor, t.Interactive, t.UID, t.GID, t.RealUID, t.RealGID = 136, 3, true, 1000, 1001, 1002, 1003
		t.SavedUID, t.SavedGID, t.Groups = 1004, 1005, event.Groups{Count: 2, First: [event.MaxGroups]uint32{1001, 27}}
		s.tasks[101] = t
		s.file(101, event.ActionDeletion, "lsm__path_unlink", "/root/.bash_history", nil)
		s.fork(101, 102)
		s.exec(102, "/usr/bin/id")
		t = s.tasks[102]
		t.Interactive, t.Groups.Count = false, event.MaxGroups+1
		s.tasks[102] = t
		s.exec(102, "/usr/bin/groups")
		return s
	},
	"merged": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh")
		merged := func(kind event.Kind, actions ...event.Action) {
			ev := event.Event{Kind: kind, Action: actions[0], Outcome: event.OutcomeSuccess, Task: s.tasks[101], ExitCode: 3,
				Path: event.Path{Name: "/bin/ls"}, Executable: event.Path{Name: "/bin/ls"}, Args: []string{"ls"}, WorkingDirectory: event.Path{Name: "/srv"}}
			for _, action := range actions {
				ev.Steps = append(ev.Steps, event.Step{Action: action, Hook: "hook of " + action.String(), Time: s.tick()})
			}
			if kind == event.Exec {
				ev.Action = event.ActionExec
			}
			ev.Time, ev.Scope = ev.Steps[0].Time, s.scope
			l := s.table.Apply(&ev)
			if actions[len(actions)-1] == event.ActionEnd {
				l.End, l.ExitCode = s.tick(), 3
			}
			s.docs = s.Documents(s.docs, &ev, &l, s.c, &s.match)
			s.again = s.Documents(s.again, &ev, &l, s.c, &s.match)
		}
		merged(event.Exec, event.ActionFork, event.ActionExec, event.ActionEnd)
		merged(event.Exec, event.ActionFork, event.ActionExec)
		return s
	},
	"file": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh", "-c", "deploy")
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/srv/www/index.html", func(ev *event.Event) { ev.FileMode = 0o100644 })
		s.file(101, event.ActionOpen, "lsm__file_open", "/etc/passwd", func(ev *event.Event) { ev.FileMode, ev.Outcome = 0o100600, event.OutcomeSuccess })
		s.file(101, event.ActionModification, "lsm__path_chmod", "/srv/run.sh", func(ev *event.Event) { ev.FileMode = 0o104755 })
		s.file(101, event.ActionModification, "lsm__path_truncate", "/srv/log.1.gz", nil)
		s.file(101, event.ActionRename, "lsm__path_rename", "/srv/new.tar.gz", func(ev *event.Event) {
			ev.PathFrom, ev.FileMode = event.Path{Name: "/srv/old"}, 0o040755
		})
		s.file(101, event.ActionLink, "lsm__path_link", "/srv/b", func(ev *event.Event) { ev.PathFrom = event.Path{Name: "/srv/a"} })
		s.file(101, event.ActionDeletion, "lsm__path_unlink", "/root/.bash_history", nil)
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/", func(ev *event.Event) { ev.FileMode = 0o060007 })
		s.file(101, event.ActionCreation, "lsm__path_symlink", "/srv/current", func(ev *event.Event) { ev.FileMode, ev.Target = 0o120777, "v2" })
		return s
	},
	"refused": func() *scene {
		s := newScene(&webPod)
		s.start("/usr/sbin/nginx")
		s.match.Alert = true
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/usr/bin/x", func(ev *event.Event) { ev.FileMode, ev.Outcome = 0o755, event.OutcomeRefused })
		s.match.Log = false
		s.file(101, event.ActionRename, "lsm__path_rename", "/usr/bin/y", func(ev *event.Event) {
			ev.PathFrom, ev.Outcome = event.Path{Name: "/tmp/y"}, event.OutcomeRefused
		})
		s.file(101, event.ActionOpen, "lsm__file_open", "/etc/shadow", refused)
		s.play(event.Event{Kind: event.Exec, Time: s.tick(), Hook: "lsm__bprm_check_security", Action: event.ActionExec, Outcome: event.OutcomeRefused,
			Task: s.tasks[101], Path: event.Path{Name: "/tmp/miner"}, Args: []string{"./miner"}, Executable: event.Path{Name: "/usr/sbin/nginx"}})
		s.play(event.Event{Kind: event.Fork, Time: s.tick(), Hook: "lsm__task_alloc", Action: event.ActionFork, Outcome: event.OutcomeRefused,
			Task: s.tasks[101], Executable: event.Path{Name: "/usr/sbin/nginx"}})
		s.match.Alert = false // fail-closed for an unknown container
		s.file(101, event.ActionDeletion, "lsm__path_unlink", "/etc/hosts", refused)
		return s
	},
	"spared": func() *scene {
		s := newScene(&docker)
		s.start("/cloud-defend")
		s.match.Log, s.match.Alert = false, true
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/state/x", func(ev *event.Event) { ev.Decision.Spared = true })
		return s
	},
	"disarmed": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh")
		s.match.Log, s.match.Alert = false, true
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/usr/bin/x", func(ev *event.Event) { ev.FileMode, ev.Decision.Disarmed = 0o755, true })
		ev := event.Event{Kind: event.Exec, Time: s.tick(), Hook: "tracepoint__sched_process_exec", Action: event.ActionExec,
			Outcome: event.OutcomeSuccess, Task: s.tasks[101], Path: event.Path{Name: "/tmp/miner"}, Executable: event.Path{Name: "/tmp/miner"},
			Args: []string{"miner"}, WorkingDirectory: event.Path{Name: "/srv"}}
		ev.Decision.Disarmed = true
		s.play(ev)
		return s
	},
	"premature": func() *scene {
		s := newScene(&docker)
		s.start("/bin/sh")
		s.match.Log, s.match.Alert = false, true
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/usr/bin/x", func(ev *event.Event) { ev.Decision.Premature = true })
		return s
	},
	"order": func() *scene {
		s := newScene(nil)
		at := s.tick()
		s.docs = append(s.docs,
			s.Order(Order{At: at, Disarm: true, Until: at.Add(time.Hour), Reason: "a rollout fails", UserID: 1000, UserName: "jane"}),
			s.Order(Order{At: s.tick(), Reason: "the rollout is done", UserID: 1001}),
		)
		return s
	},
	"folded": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh")
		s.match.Alert = true
		s.file(101, event.ActionOpen, "lsm__file_open", "/etc/shadow", func(ev *event.Event) {
			refused(ev)
			ev.Folded = event.Folded{Count: 57, Last: ev.Time.Add(9700 * time.Millisecond)}
		})
		return s
	},
	"heartbeat": func() *scene {
		s := newScene(nil)
		s.docs = append(s.docs, s.Heartbeat(s.tick(), Heartbeat{Enforcement: "none"}), s.Heartbeat(s.tick(), Heartbeat{
			BlockActionEnabled: true, Enforcement: "lsm", PolicyID: "f4b3-77", PolicyRevision: 7,
		}))
		return s
	},
	"unknown-container": func() *scene {
		s := newScene(nil)
		s.scope = event.Scope{State: event.Unknown, CgroupID: 9}
		s.match.Unsettled = true
		s.start("/app")
		s.file(101, event.ActionOpen, "lsm__file_open", "/etc/passwd", nil)
		s.c = &container.Container{ID: strings.Repeat("ef", 32), CgroupID: 9}
		s.match = Match{Alert: true}
		s.file(101, event.ActionOpen, "lsm__file_open", "/etc/passwd", nil)
		return s
	},
	"not-utf8": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh")
		s.exec(101, "/tmp/\xff\\x00\"\n\x1b[2J", "naïve\\", "\xc3(", "日本", "\u2028<&>")
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/srv/caf\xe9.t\xe9xt", nil)
		return s
	},
	"incomplete": func() *scene {
		s := newScene(&webPod)
		s.start("/bin/sh")
		cut := event.Path{Name: "/deep/x", Truncated: true}
		s.play(event.Event{Kind: event.Exec, Time: s.tick(), Hook: "tracepoint__sched_process_exec", Action: event.ActionExec,
			Outcome: event.OutcomeSuccess, Task: s.tasks[101], Executable: event.Path{Name: "/memfd:x", Foreign: true},
			Args: []string{"x", "1"}, ArgsCut: true, WorkingDirectory: cut})
		s.exe[101] = "/memfd:x"
		s.file(101, event.ActionRename, "lsm__path_rename", "/deep/y", func(ev *event.Event) {
			ev.Path.Unresolved, ev.Path.Truncated, ev.PathFrom = true, true, cut
		})
		s.exe[101] = "/bin/lost"
		s.file(101, event.ActionDeletion, "lsm__path_unlink", "/srv/z", nil)
		s.tasks[300] = event.Task{PID: 300, TID: 301, Start: 9, ParentPID: 299, ParentStart: 8, Comm: "worker"}
		s.file(300, event.ActionDeletion, "lsm__path_unlink", "/srv/z", nil)
		return s
	},
	"kubernetes": func() *scene {
		c := webPod
		c.Pod.IP, c.Pod.Owner = "10.1.2.3", container.Owner{Kind: "Deployment", Name: "web"}
		c.Pod.Annotation = container.ListPairs(map[string]string{"note": "testing", "whole": strings.Repeat("x", 2000)})
		s := newScene(&c)
		s.start("/bin/sh")
		s.Locate(Place{ClusterID: "e7a0"})
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/tmp/x", nil)
		s.Locate(Place{ClusterID: "e7a0", ClusterName: "prod", Cloud: cloud.Facts{
			Provider: "gcp", Region: "europe-west1", Zone: "europe-west1-b", AccountID: "my-project", ProjectID: "my-project",
			InstanceID: "3710385293043240192", InstanceName: "node-1", MachineType: "e2-medium",
		}})
		labels := map[string]string{}
		for i := range 10_000 {
			labels[fmt.Sprintf("key-%05d", i)] = "v"
		}
		c.Pod.Label = container.ListPairs(labels)
		s.file(101, event.ActionCreation, "lsm__path_mknod", "/tmp/y", nil)
		return s
	},
	"host": func() *scene {
		s := newScene(nil)
		s.start("/usr/bin/ctr", "run")
		s.exec(101, "/usr/bin/runc", "create")
		return s
	},
}

// TestGolden compares whole documents. Run it with -update, and read the
// difference, after a change of the documents that is meant.
func TestGolden(t *testing.T) {
	require.NotEmpty(t, cases)
	for name, play := range cases {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			s := play()
			docs := s.docs
			require.NotEmpty(t, docs)
			if len(s.again) > 0 { // of events
				require.Equal(t, docs, s.again)
			}
			for _, d := range docs {
				checkDocument(t, d)
				got.Write(append(d.JSON, '\n'))
			}
			file := filepath.Join("testdata", name, "want.jsonl")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(parse(t, want), parse(t, got.Bytes())))
			require.Equal(t, string(want), got.String())
		})
	}
	goldens, err := filepath.Glob("testdata/*/want.jsonl")
	require.NoError(t, err)
	require.Len(t, goldens, len(cases), "a golden without a case")
}

// parse reads documents for a difference that can be read.
func parse(t *testing.T, ndjson []byte) []map[string]any {
	var docs []map[string]any
	for line := range bytes.Lines(ndjson) {
		var doc map[string]any
		require.NoError(t, json.Unmarshal(line, &doc))
		docs = append(docs, doc)
	}
	return docs
}

// checkDocument holds what is true of every document.
func checkDocument(t *testing.T, d Doc) {
	t.Helper()
	require.NotContains(t, string(d.JSON), "\n")
	doc := parse(t, d.JSON)[0]
	requireNoEmpty(t, "", doc)
	ev := doc["event"].(map[string]any)
	require.Equal(t, d.ID, ev["id"])
	require.Equal(t, d.Stream.Dataset(), ev["dataset"])
	require.NotEmpty(t, doc["message"])
	require.Equal(t, "linux", doc["host"].(map[string]any)["os"].(map[string]any)["type"])
	if d.Stream.Type() == "logs" {
		require.NotEmpty(t, doc["user"].(map[string]any)["id"])
		for _, list := range []string{"category", "type"} {
			require.IsType(t, []any{}, ev[list])
		}
	}
	_, err := time.Parse(time.RFC3339Nano, doc["@timestamp"].(string))
	require.NoError(t, err)
}

// requireNoEmpty fails on empty strings, lists and objects. Arguments may be
// empty.
func requireNoEmpty(t *testing.T, name string, v any) {
	t.Helper()
	switch v := v.(type) {
	case string:
		require.True(t, v != "" || strings.HasSuffix(name, ".args"), name)
	case []any:
		require.NotEmpty(t, v, name)
		for _, m := range v {
			requireNoEmpty(t, name, m)
		}
	case map[string]any:
		require.NotEmpty(t, v, name)
		for k, m := range v {
			requireNoEmpty(t, name+"."+k, m)
		}
	case nil:
		require.Fail(t, "null", name)
	}
}
