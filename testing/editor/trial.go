// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// trial is a session of somebody who writes policies.
type trial struct {
	server  *server
	root    string // of the repository
	session strings.Builder
	judged  int
}

// typed is a policy while it is written. A ^ stands where the cursor stops: the server is asked there for proposals and
// for the text under the mouse.
const typed = `file:
  selectors:
    - name: pages
      op^eration: [createFile, ^]
      targetFilePath: [/usr/share/nginx/**, etc]
      ^
      targetFile: [/etc]
      fullContainerImageName: [docker.io/library/nginx]
      ignoreVolumeMounts: true
      ignoreVolumeFiles: true
      kubernetesPodLabel: ["env"]
    - name: empty
    - ^
  responses:
    - match: [pages]
      actions: [bl^ock]
    - ^
`

func (t *trial) run() error {
	if err := t.write(typed); err != nil {
		return err
	}
	return t.judge()
}

func (t *trial) write(typed string) error {
	text, stops := cursors(typed)
	uri, modeline, err := t.document("typed.yml")
	if err != nil {
		return err
	}
	fmt.Fprintf(&t.session, "What is written, ^ where the cursor stops:\n\n%s\nWhat is wrong with it:\n\n", typed)
	found, err := t.server.open(uri, modeline+text)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b diagnostic) int { return a.Range.Start.Line - b.Range.Start.Line })
	for _, d := range found {
		fmt.Fprintf(&t.session, "  line %d: %s\n", d.Range.Start.Line, d.Message) // counted from 0, and the modeline is one more
	}
	for _, stop := range stops {
		if err := t.look(uri, stop); err != nil {
			return err
		}
	}
	return nil
}

// look asks for what an editor shows at a place of the text that follows the modeline.
func (t *trial) look(uri string, stop position) error {
	fmt.Fprintf(&t.session, "\nLine %d, column %d\n", stop.Line+1, stop.Character+1)
	stop.Line++
	text, err := t.server.hover(uri, stop)
	if err != nil {
		return err
	}
	if text != "" {
		fmt.Fprintf(&t.session, "  under the mouse:\n    %s\n", strings.ReplaceAll(text, "\n", "\n    "))
	}
	labels, err := t.server.complete(uri, stop)
	if err != nil {
		return err
	}
	slices.Sort(labels)
	fmt.Fprintf(&t.session, "  proposed: %s\n", strings.Join(labels, ", "))
	return nil
}

// document returns the address of a document that need not exist, and the line that gives it the schema.
func (t *trial) document(name string) (uri, modeline string, err error) {
	root, err := filepath.Abs(t.root)
	if err != nil {
		return "", "", err
	}
	schema := filepath.Join(root, "specs", "policy.schema.json")
	return "file://" + filepath.Join(root, name), "# yaml-language-server: $schema=" + schema + "\n", nil
}

// cursors takes the marks out of a text and returns where they were.
func cursors(marked string) (text string, stops []position) {
	var lines []string
	for number, line := range strings.Split(marked, "\n") {
		for {
			i := strings.IndexByte(line, '^')
			if i < 0 {
				break
			}
			stops = append(stops, position{number, i})
			line = line[:i] + line[i+1:]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), stops
}

// beyond are refused policies in which an editor cannot see a fault: a schema does not compare one place with another,
// and a text without any value is not held against it.
var beyond = []string{"block-without-path.yml", "openfile-block.yml", "generation-0-order.yml", "empty.yml", "only-comment.yml"}

// judge opens the policies that the tests of the validator have. Of those that it accepts none may be shown a fault, of
// those that it refuses each.
func (t *trial) judge() error {
	var wrong []error
	for _, folder := range []string{"accepted", "official", "refused"} {
		paths, err := filepath.Glob(filepath.Join(t.root, "pkg", "policy", "testdata", folder, "*.yml"))
		if err != nil || len(paths) == 0 {
			return fmt.Errorf("find the policies of %s: %w", folder, errors.Join(err, os.ErrNotExist))
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			uri, modeline, err := t.document(folder + "-" + filepath.Base(path))
			if err != nil {
				return err
			}
			found, err := t.server.open(uri, modeline+string(text))
			if err != nil {
				return err
			}
			accepts := folder != "refused" || slices.Contains(beyond, filepath.Base(path))
			if faults := faultsIn(found); accepts != (len(faults) == 0) {
				wrong = append(wrong, fmt.Errorf("%s: an editor shows %q", path, faults))
			}
			t.judged++
		}
	}
	return errors.Join(wrong...)
}

// faultsIn leaves out that a key is of an older generation, which is no fault.
func faultsIn(found []diagnostic) []string {
	var faults []string
	for _, d := range found {
		if !strings.HasPrefix(d.Message, "A key of an older generation") {
			faults = append(faults, fmt.Sprintf("%d: %s", d.Range.Start.Line, d.Message))
		}
	}
	return faults
}
