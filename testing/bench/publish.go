// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Page is where figures are published, below the repository's root.
const Page = "docs/performance.md"

// Marks on the page; what stands between them is replaced.
const (
	figuresBegin = "<!-- figures: UPDATE=1 go tool mage bench -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// Update measures the tree at root and puts the figures on the page, with the revision and the day.
func Update(ctx context.Context, root string, out io.Writer) error {
	var figures bytes.Buffer
	if err := Run(ctx, root, "", io.MultiWriter(out, &figures)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	cmd.Dir = root
	revision, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("name the revision: %w", err)
	}
	page := filepath.Join(root, Page)
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("Revision %s, %s.\n\n", strings.TrimSpace(string(revision)), time.Now().UTC().Format(time.DateOnly))
	replaced, err := publish(string(text), title+"```text\n"+figures.String()+"```\n")
	if err != nil {
		return fmt.Errorf("%s: %w", Page, err)
	}
	return os.WriteFile(page, []byte(replaced), 0o644)
}

var errNoMarks = errors.New("the marks around the figures are gone")

func publish(page, figures string) (string, error) {
	before, rest, begins := strings.Cut(page, figuresBegin)
	_, after, ends := strings.Cut(rest, figuresEnd)
	if !begins || !ends {
		return "", errNoMarks
	}
	return before + figuresBegin + figures + figuresEnd + after, nil
}
