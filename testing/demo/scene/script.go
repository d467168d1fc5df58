// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/system"
)

// The policies are what a person might write: the names are those of the language's documentation.
const (
	firstPolicy = `
process:
  selectors:
    - name: allProcesses
      operation: [exec]
  responses:
    - match: [allProcesses]
      actions: [log]
file:
  selectors:
    - name: newPrograms
      operation: [createExecutable, modifyExecutable]
      targetFilePath: [/usr/bin/**]
    - name: accounts
      operation: [createFile, modifyFile, deleteFile]
      targetFilePath: [/etc/passwd]
    - name: trustedImage
      containerImageName: [trusted]
  responses:
    - match: [newPrograms, accounts]
      exclude: [trustedImage]
      actions: [alert, block]
`
	secondPolicy = `
file:
  selectors:
    - name: settings
      operation: [modifyFile]
      targetFilePath: [/etc/app.conf]
  responses:
    - match: [settings]
      actions: [alert, block]
`
)

const (
	session  = "/bin/id; /bin/ls /etc; /bin/cat /etc/app.conf"
	backdoor = "/bin/cp /bin/sh /usr/bin/backdoor"
	addUser  = "echo eve:x:0:0::/: >>/etc/passwd"
	settings = "echo colour=red >>/etc/app.conf"
)

// script is the scene itself.
func (s *stage) script(ctx context.Context) error {
	for _, part := range []func(context.Context) error{s.ordinary, s.hostile, s.first, s.excluded, s.swap} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) ordinary(ctx context.Context) error {
	s.act("An ordinary shell session in web is logged, each process with its ancestors")
	s.out.say("A line that begins with | is cloud-defend's: time, verdict, operation, its object, process ← ancestors, container.")
	return s.try(ctx, s.web, session, attempt{wantAnswer: allowed, wantAction: "exec", wantPath: "/bin/cat /etc/app.conf"})
}

func (s *stage) hostile(ctx context.Context) error {
	s.act("A new program under /usr/bin, and a new account in /etc/passwd: refused")
	err := s.try(ctx, s.web, backdoor, attempt{wantAnswer: refused, wantAction: "creation", wantPath: "/usr/bin/backdoor"})
	if err != nil {
		return err
	}
	return s.try(ctx, s.web, addUser, attempt{wantAnswer: refused, wantAction: "open", wantPath: "/etc/passwd"})
}

// first is the same as the very first thing that a container does: neither is its root file system in any cache, nor
// has anybody seen its image's name before.
func (s *stage) first(ctx context.Context) error {
	s.act("The same as the very first thing that a new container does")
	s.out.say("new container of web$ %s", addUser)
	c, err := s.pod.Run(ctx, "first", containers.Web, "/bin/sh", "-c", addUser)
	if err != nil {
		return err
	}
	out, err := c.Wait(ctx)
	if err != nil {
		return err
	}
	return s.record(ctx, c, addUser, out, attempt{wantAnswer: refused, wantAction: "open", wantPath: "/etc/passwd"})
}

func (s *stage) excluded(ctx context.Context) error {
	s.act("The same in trusted, whose image the policy excludes: allowed")
	if err := s.try(ctx, s.trusted, backdoor, attempt{wantAnswer: allowed, wantPath: "/usr/bin/backdoor"}); err != nil {
		return err
	}
	return s.try(ctx, s.trusted, addUser, attempt{wantAnswer: allowed, wantPath: "/etc/passwd"})
}

func (s *stage) swap(ctx context.Context) error {
	s.act("The policy is swapped while all this runs: now /etc/app.conf is guarded, and nothing else")
	s.out.text(secondPolicy)
	if err := s.program.SetPolicy(secondPolicy); err != nil {
		return err
	}
	if err := s.enforcing(ctx); err != nil {
		return err
	}
	if err := s.try(ctx, s.web, addUser, attempt{wantAnswer: allowed, wantPath: "/etc/passwd"}); err != nil {
		return err
	}
	return s.try(ctx, s.web, settings, attempt{wantAnswer: refused, wantAction: "open", wantPath: "/etc/app.conf"})
}

// try runs a shell's command in a container, shows what it says and adds a row to the table.
func (s *stage) try(ctx context.Context, c *containers.Container, command string, a attempt) error {
	s.out.say("%s$ %s", c.Name, command)
	// Without a word after it, the shell would turn itself into the last program and be missing from its lineage.
	out, err := c.Exec(ctx, "/bin/sh", "-c", command+"; exit")
	if err != nil {
		return err
	}
	return s.record(ctx, c, command, out, a)
}

// record adds a row to the table. If there is to be a document, it waits for it, and so finds those of earlier rows
// that should have none.
func (s *stage) record(ctx context.Context, c *containers.Container, command string, out containers.Output, a attempt) error {
	s.out.text(out.Stdout + out.Stderr)
	a.where, a.container, a.what, a.answer = c.Name, c.ID, command, answer(out)
	s.attempts = append(s.attempts, &a)
	if a.wantAction == "" {
		return nil
	}
	documents, err := s.program.Documents(ctx, func(d system.Document) bool { return a.matches(d) })
	if err != nil {
		return fmt.Errorf("%s in %s: %w", command, c.Name, err)
	}
	s.assign(documents)
	return nil
}

// assign gives each document to the latest attempt that it is about.
func (s *stage) assign(documents []system.Document) {
	for _, d := range documents {
		for i := len(s.attempts) - 1; i >= 0; i-- {
			if s.attempts[i].matches(d) {
				s.attempts[i].document = &d
				break
			}
		}
	}
}

// answer is what the kernel said, in the words of the C library.
func answer(out containers.Output) string {
	switch {
	case strings.Contains(out.Stderr, "Operation not permitted"):
		return refused
	case out.Code == 0:
		return allowed
	}
	return fmt.Sprintf("exit status %d", out.Code)
}
