// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var folder = regexp.MustCompile(`\]\((pkg/[^)]+)\)`)

// The table of folders has each package and no other.
func TestFolderTable(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "pkg"))
	require.NoError(t, err)
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, "pkg/"+e.Name())
		}
	}
	require.NotEmpty(t, folders)
	var listed []string
	for line := range strings.Lines(realText(t)) {
		if strings.HasPrefix(line, "| ") {
			listed = append(listed, first(folder.FindAllStringSubmatch(line, -1))...)
		}
	}
	require.ElementsMatch(t, folders, listed)
}
