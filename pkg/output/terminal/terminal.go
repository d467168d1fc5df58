// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package terminal shows events to a person: one line for each, such as
//
//	09:00:00.003  BLOCKED  creation      /usr/bin/x  by nginx ← sh ← containerd-shim  in web (shop/web-7d5)
//
// Names are the attacker's choice. What could move the cursor, hide text or
// look like two words is shown quoted and escaped as in a Go string.
package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/process"
)

// Terminal is an output.Output for a reader. Times are in the local time zone.
type Terminal struct {
	w      io.Writer
	colour bool
	buf    []byte
}

var _ output.Output = (*Terminal)(nil)

// New writes to w, with colours or without.
func New(w io.Writer, colour bool) *Terminal {
	return &Terminal{w: w, colour: colour}
}

// Colour says whether to write colours to a file: if it is a terminal that has
// them and nobody objects (NO_COLOR).
func Colour(f *os.File) bool {
	return IsTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// IsTerminal says whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Write shows the events of a batch that have documents.
func (t *Terminal) Write(_ context.Context, batch []output.Record) error {
	t.buf = t.buf[:0]
	for i := range batch {
		if len(batch[i].Docs) > 0 {
			t.line(&batch[i])
		}
	}
	if len(t.buf) == 0 {
		return nil
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// Close does nothing: the writer is the caller's.
func (t *Terminal) Close() error { return nil }

func (t *Terminal) line(r *output.Record) {
	ev := r.Event
	if ev == nil {
		quoted := strconv.Quote(r.Message)
		t.buf = append(append(append(t.buf, "cloud-defend: "...), quoted[1:len(quoted)-1]...), '\n')
		return
	}
	b := ev.Time.Local().AppendFormat(t.buf, "15:04:05.000")
	b = t.appendVerdict(append(b, "  "...), r)
	b = appendPadded(append(b, "  "...), ev.Action.String(), len("modification"))
	b = appendObject(append(b, "  "...), r)
	b = appendChain(append(b, "  by "...), &r.Lineage)
	b = appendContainer(b, r)
	b = appendSelectors(b, r)
	if n := ev.Folded.Count; n > 1 {
		b = fmt.Appendf(b, "  (%d times)", n)
	}
	if ev.Decision.Spared {
		b = append(b, "  (spared: our own)"...)
	}
	if ev.Decision.Disarmed {
		b = append(b, "  (would have been refused: enforcement is off)"...)
	}
	t.buf = append(b, '\n')
}

const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

func (t *Terminal) appendVerdict(b []byte, r *output.Record) []byte {
	verdict, colour := "LOG", faint
	switch {
	case r.Event.Outcome == event.OutcomeRefused:
		verdict, colour = "BLOCKED", red
	case r.Match.Alert:
		verdict, colour = "ALERT", yellow
	}
	if !t.colour {
		return appendPadded(b, verdict, len("BLOCKED"))
	}
	b = append(b, colour...)
	b = appendPadded(b, verdict, len("BLOCKED"))
	return append(b, plain...)
}

func appendPadded(b []byte, s string, width int) []byte {
	b = append(b, s...)
	for range width - len(s) {
		b = append(b, ' ')
	}
	return b
}

// appendObject shows what was acted on: a path, two, or a command line.
func appendObject(b []byte, r *output.Record) []byte {
	ev := r.Event
	if ev.Kind != event.File {
		b = appendCommand(b, r.Lineage.Process)
		if ev.Kind == event.Exit {
			b = strconv.AppendInt(append(b, "  exit "...), int64(ev.ExitCode), 10)
		}
		return b
	}
	if ev.PathFrom.Name != "" {
		b = append(appendWord(b, ev.PathFrom.Name), " → "...)
	}
	b = appendWord(b, ev.Path.Name)
	if ev.Target != "" {
		b = appendWord(append(b, " → "...), ev.Target)
	}
	return b
}

// appendCommand shows the executable and its arguments, with argv[0] only
// where it says something else.
func appendCommand(b []byte, p *process.Process) []byte {
	exe := p.Executable.Name
	if exe == "" {
		exe = p.Name
	}
	b = appendWord(b, exe)
	if len(p.Args) > 0 && path.Base(p.Args[0]) != path.Base(exe) {
		b = append(appendWord(append(b, " ["...), p.Args[0]), ']')
	}
	for i, arg := range p.Args {
		if i > 0 {
			b = appendWord(append(b, ' '), arg)
		}
	}
	if p.ArgsCut {
		b = append(b, " …"...)
	}
	return b
}

// maxChain is how many ancestors a line has room for.
const maxChain = 4

func appendChain(b []byte, l *process.Lineage) []byte {
	b = appendWord(b, l.Process.Name)
	for i, p := range l.Ancestors() {
		b = append(b, " ← "...)
		if i == maxChain {
			return append(b, "…"...)
		}
		b = appendWord(b, p.Name)
	}
	return b
}

// appendSelectors names the policy's selectors that an alert comes from.
func appendSelectors(b []byte, r *output.Record) []byte {
	if !r.Match.Alert || len(r.Match.Selectors) == 0 {
		return b
	}
	b = append(b, "  ["...)
	for i, name := range r.Match.Selectors {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, name...)
	}
	return append(b, ']')
}

func appendContainer(b []byte, r *output.Record) []byte {
	c := r.Container
	switch {
	case c == nil && r.Event.Scope.State == event.Host:
		return append(b, "  on the host"...)
	case c == nil:
		return append(b, "  in an unknown container"...)
	}
	b = appendWord(append(b, "  in "...), containerName(c))
	switch {
	case c.Pod.Name != "":
		b = appendWord(append(b, " ("...), c.Pod.Namespace+"/"+c.Pod.Name)
		return append(b, ')')
	case c.Image.Reference != "":
		b = appendWord(append(b, " ("...), c.Image.Reference)
		return append(b, ')')
	}
	return b
}

func containerName(c *container.Container) string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID[:min(len(c.ID), 12)]
}

// appendWord shows a text as one word.
func appendWord(b []byte, s string) []byte {
	special := func(r rune) bool {
		return r == ' ' || r == '"' || r == '\\' || r == '\ufffd' || !strconv.IsPrint(r)
	}
	if s == "" || strings.ContainsFunc(s, special) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}
