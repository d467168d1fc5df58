// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for _, page := range append(pages, "../deploy/README.md") {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := filepath.Join(filepath.Dir(page), m[1])
			_, err := os.Stat(target)
			require.NoError(t, err, "%s: %s leads nowhere", page, m[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// Messages that the page explains are said by the program.
func TestTroubleshootingKnowsTheMessages(t *testing.T) {
	_, table, found := strings.Cut(read(t, "operating.md"), "## Troubleshooting\n")
	require.True(t, found)
	said := sources(t)
	explained := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
	require.Greater(t, len(explained), 10)
	for _, m := range explained {
		require.Contains(t, said, m[1], "no source says this any more")
	}
}

func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../cmd", "../pkg"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				all.WriteString(read(t, path))
			}
			return err
		}))
	}
	return all.String()
}

// Figures that somebody shall watch exist.
func TestWatchedFiguresExist(t *testing.T) {
	metrics := read(t, "metrics.md")
	_, page, _ := strings.Cut(read(t, "operating.md"), "## What to watch\n")
	page, _, _ = strings.Cut(page, "## Roll out")
	names := regexp.MustCompile("`(cloud_defend_[a-z_]+|[a-z_]+\\.[a-z_.]+)`").FindAllStringSubmatch(page, -1)
	require.Greater(t, len(names), 10)
	for _, m := range names {
		if strings.HasPrefix(m[1], "host.") || strings.HasPrefix(m[1], "event.") || strings.HasPrefix(m[1], "cloud_defend.") {
			require.Contains(t, read(t, "fields.md"), "`"+m[1]+"`")
			continue
		}
		if m[1] == "spool.size" {
			continue // a setting
		}
		require.True(t, strings.Contains(metrics, "`"+m[1]+"`") || strings.Contains(metrics, "`"+m[1]+"{"), m[1])
	}
}
