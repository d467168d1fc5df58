// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package terminal

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/process"
)

var when = time.Date(2026, 11, 20, 9, 0, 0, 3_700_000, time.Local)

// shell is a shell in a container, some levels below the first process known.
func shell(levels int) process.Lineage {
	table := process.NewTable(process.Identity{BootTime: when.Add(-time.Hour)})
	var l process.Lineage
	for pid := uint32(11); levels > 0; pid, levels = pid+1, levels-1 {
		task := event.Task{PID: pid, Start: uint64(pid), Comm: "init"}
		fork := event.Event{Kind: event.Fork, Time: when.Add(time.Duration(2 * pid)), Task: task, Parent: event.Parent{PID: pid - 1, Start: uint64(pid - 1)}}
		exec := event.Event{Kind: event.Exec, Time: fork.Time.Add(1), Task: task, Executable: event.Path{Name: "/bin/sh"}, Args: []string{"sh", "-c", "ls -a"}}
		table.Apply(&fork)
		l = table.Apply(&exec)
	}
	return l
}

var (
	docs = []ecs.Doc{{}}
	web  = &container.Container{ID: strings.Repeat("ab", 32), Name: "web", Image: container.Image{Reference: "nginx:1.25"}}
	pod  = &container.Container{ID: strings.Repeat("ab", 32), Pod: container.Pod{Namespace: "shop", Name: "web-7d5"}}
)

func lines(t *testing.T, colour bool, batch ...output.Record) []string {
	var out bytes.Buffer
	term := New(&out, colour)
	require.NoError(t, term.Write(t.Context(), batch))
	require.NoError(t, term.Close())
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestLines(t *testing.T) {
	l := shell(1)
	exec := event.Event{Kind: event.Exec, Action: event.ActionExec, Time: when}
	file := event.Event{Kind: event.File, Action: event.ActionCreation, Time: when, Path: event.Path{Name: "/usr/bin/x"}}
	refused, renamed, symlinked, unknown, ended, spared, disarmed := file, file, file, file, exec, file, file
	refused.Outcome = event.OutcomeRefused
	renamed.Action, renamed.PathFrom.Name = event.ActionRename, "/tmp/a b"
	symlinked.Target = "/opt/x 2"
	unknown.Scope.State = event.Unknown
	ended.Kind, ended.Action, ended.ExitCode = event.Exit, event.ActionEnd, 137
	spared.Decision.Spared = true
	disarmed.Decision.Disarmed, disarmed.Folded.Count = true, 57
	alert := ecs.Match{Alert: true, Log: true, Selectors: []string{"newPrograms", "accounts"}}
	log := ecs.Match{Log: true, Selectors: []string{"allProcesses"}}
	require.Equal(t, []string{
		`09:00:00.003  LOG      exec          /bin/sh -c "ls -a"  by sh ← init  in web (nginx:1.25)`,
		`09:00:00.003  BLOCKED  creation      /usr/bin/x  by sh ← init  in web (nginx:1.25)  [newPrograms, accounts]`,
		`09:00:00.003  ALERT    rename        "/tmp/a b" → /usr/bin/x  by sh ← init  in abababababab (shop/web-7d5)  [newPrograms, accounts]`,
		`09:00:00.003  ALERT    creation      /usr/bin/x → "/opt/x 2"  by sh ← init  in web (nginx:1.25)  [newPrograms, accounts]`,
		`09:00:00.003  ALERT    creation      /usr/bin/x  by sh ← init  in an unknown container  [newPrograms, accounts]`,
		`09:00:00.003  LOG      end           /bin/sh -c "ls -a"  exit 137  by sh ← init  on the host`,
		`09:00:00.003  ALERT    creation      /usr/bin/x  by sh ← init  in web (nginx:1.25)  [newPrograms, accounts]  (spared: our own)`,
		`09:00:00.003  ALERT    creation      /usr/bin/x  by sh ← init  in web (nginx:1.25)  [newPrograms, accounts]  (57 times)  (would have been refused: enforcement is off)`,
	}, lines(t, false,
		output.Record{Event: &exec, Lineage: l, Container: web, Match: log, Docs: docs},
		output.Record{Event: &exec, Lineage: l, Container: web},
		output.Record{Event: &refused, Lineage: l, Container: web, Match: alert, Docs: docs},
		output.Record{Event: &renamed, Lineage: l, Container: pod, Match: alert, Docs: docs},
		output.Record{Event: &symlinked, Lineage: l, Container: web, Match: alert, Docs: docs},
		output.Record{Event: &unknown, Lineage: l, Match: alert, Docs: docs},
		output.Record{Event: &ended, Lineage: l, Docs: docs},
		output.Record{Event: &spared, Lineage: l, Container: web, Match: alert, Docs: docs},
		output.Record{Event: &disarmed, Lineage: l, Container: web, Match: alert, Docs: docs},
	))
}

// What tells of the component has no event, and may hold anybody's words.
func TestMessages(t *testing.T) {
	require.Equal(t, []string{`cloud-defend: off\x1b[2J by jane`}, lines(t, false, output.Record{Message: "off\x1b[2J by jane", Docs: docs}))
	require.Equal(t, []string{`cloud-defend: turned off by jane`}, lines(t, false, output.Record{Message: "turned off by jane", Docs: docs}))
}

func TestLongChains(t *testing.T) {
	ev := event.Event{Kind: event.File, Action: event.ActionOpen, Time: when, Path: event.Path{Name: "/x"}}
	got := lines(t, false, output.Record{Event: &ev, Lineage: shell(9), Docs: docs})
	require.Contains(t, got[0], "by sh ← sh ← sh ← sh ← sh ← …  on")
}

func TestColours(t *testing.T) {
	ev := event.Event{Kind: event.File, Action: event.ActionOpen, Time: when, Outcome: event.OutcomeRefused, Path: event.Path{Name: "/x"}}
	got := lines(t, true, output.Record{Event: &ev, Lineage: shell(1), Docs: docs})
	require.Contains(t, got[0], "  \x1b[1;31mBLOCKED\x1b[0m  open")
}

func TestCommands(t *testing.T) {
	for want, p := range map[string]process.Process{
		`/bin/busybox [ls] -a ""`: {Executable: event.Path{Name: "/bin/busybox"}, Args: []string{"ls", "-a", ""}},
		"/bin/ls a …":             {Executable: event.Path{Name: "/bin/ls"}, Args: []string{"/usr/bin/ls", "a"}, ArgsCut: true},
		"/bin/ls":                 {Executable: event.Path{Name: "/bin/ls"}},
		"kworker":                 {Name: "kworker"},
		`/bin/ls ["\x1b[2J"]`:     {Executable: event.Path{Name: "/bin/ls"}, Args: []string{"\x1b[2J"}},
	} {
		require.Equal(t, want, string(appendCommand(nil, &p)))
	}
}

func TestHostileNamesStayOneWord(t *testing.T) {
	for name, want := range map[string]string{
		"/usr/bin/x":          "/usr/bin/x",
		"/données/日本":         "/données/日本",
		"":                    `""`,
		"a b":                 `"a b"`,
		"a\nb":                `"a\nb"`,
		"\x1b[2J\x1b[H":       `"\x1b[2J\x1b[H"`,
		"\u009b2J":            `"\u009b2J"`,
		"\x9b2J":              `"\x9b2J"`,
		"gpj.\u202eexe":       `"gpj.\u202eexe"`,
		"zero\u200bwidth":     `"zero\u200bwidth"`,
		"line\u2028separator": `"line\u2028separator"`,
		"no\u00a0break":       `"no\u00a0break"`,
		`back\slash`:          `"back\\slash"`,
		`quo"te`:              `"quo\"te"`,
		"\ufffd":              `"�"`,
		"\r\x07\x7f":          `"\r\a\x7f"`,
	} {
		require.Equal(t, want, string(appendWord(nil, name)), "%q", name)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b]0;title\x07", "a\nb", "\u202e")
	f.Fuzz(func(t *testing.T, file, name, arg string) {
		l := shell(1)
		p := *l.Process
		p.Name, p.Executable.Name, p.Args = name, file, []string{arg, arg}
		l.Process = &p
		ev := event.Event{Kind: event.File, Time: when, Path: event.Path{Name: file}, PathFrom: event.Path{Name: arg}}
		exec := ev
		exec.Kind = event.Exec
		c := &container.Container{Name: name, Image: container.Image{Reference: arg}}
		got := lines(t, false, output.Record{Event: &ev, Lineage: l, Container: c, Docs: docs}, output.Record{Event: &exec, Lineage: l, Container: c, Docs: docs})
		require.Len(t, got, 2)
		for _, line := range got {
			require.True(t, utf8.ValidString(line))
			require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' }), "%q", line)
		}
	})
}

type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteFails(t *testing.T) {
	ev := event.Event{Kind: event.File, Time: when}
	err := New(broken{}, false).Write(t.Context(), []output.Record{{Event: &ev, Lineage: shell(1), Docs: docs}})
	require.ErrorIs(t, err, errBroken)
}

func TestOnlyTerminalsHaveColours(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, IsTerminal(null))
	require.False(t, Colour(null))

	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	require.True(t, Colour(terminal))
	t.Setenv("NO_COLOR", "1")
	require.False(t, Colour(terminal))
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	require.False(t, Colour(terminal))
}
