// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/progs/report"
)

// In a prepared folder, without a policy, every deed succeeds, and leaves behind what it says.
func TestDeeds(t *testing.T) {
	actor := filepath.Join(t.TempDir(), "actor")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", actor, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	dir := filepath.Join(t.TempDir(), "a b")
	args := []string{"prepare=" + dir}
	for _, verb := range slices.Sorted(maps.Keys(deeds)) {
		args = append(args, verb+"="+filepath.Join(dir, verb))
	}
	cmd := exec.CommandContext(t.Context(), actor, args...)
	out, err = cmd.Output()
	require.NoError(t, err)
	reports, err := report.Read(bytes.NewReader(out))
	require.NoError(t, err)
	require.Len(t, reports, len(deeds))
	for _, r := range reports {
		require.Empty(t, r.Errno, r.Verb)
		require.Equal(t, cmd.Process.Pid, r.PID)
	}

	for verb, want := range map[string]string{
		"create": "written\n", "append": "prepared\nwritten\n", "open-truncate": "written\n", "read-truncate": "",
		"truncate": "", "ftruncate": "", "rename-over": "prepared\n", "mknod": "",
	} {
		content, err := os.ReadFile(filepath.Join(dir, verb))
		require.NoError(t, err)
		require.Equal(t, want, string(content), verb)
	}
	require.NoFileExists(t, filepath.Join(dir, "unlink"))
	require.NoFileExists(t, filepath.Join(dir, "rename-away"))
	require.FileExists(t, filepath.Join(dir+".from", "rename-away"))
	for verb, want := range map[string]os.FileMode{
		"create-executable": 0o755, "chmod-executable": 0o755, "chmod-plain": 0o644, "chmod": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, verb))
		require.NoError(t, err)
		require.Equal(t, want, info.Mode(), verb)
	}
}

// What the kernel refuses is reported; what the actor does not understand is an error.
func TestRefusals(t *testing.T) {
	var out strings.Builder
	missing := filepath.Join(t.TempDir(), "none")
	require.NoError(t, act(&out, []string{"write=" + missing, "exec=" + missing, "unlink=" + missing}))
	reports, err := report.Read(strings.NewReader(out.String()))
	require.NoError(t, err)
	require.Len(t, reports, 3)
	for _, r := range reports {
		require.Equal(t, "ENOENT", r.Errno, r.Verb)
	}
	require.ErrorContains(t, act(&out, []string{"write"}), "want verb=path")
	require.ErrorContains(t, act(&out, []string{"times=many"}), "many")
	require.ErrorContains(t, act(&out, []string{"bite=/x"}), "no such verb: bite")
}

// A storm is told deed by deed, and waits at its gates.
func TestStorm(t *testing.T) {
	dir := t.TempDir()
	gate, path := filepath.Join(dir, "gate"), filepath.Join(dir, "x")
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- act(&out, []string{"times=2", "create=" + path, "gate=" + gate, "unlink=" + path}) }()
	require.Eventually(t, func() bool { _, err := os.Stat(gate); return err == nil }, time.Minute, time.Millisecond)
	require.FileExists(t, path+"-1")
	require.FileExists(t, path+"-2")
	opened, err := os.OpenFile(gate, os.O_WRONLY, 0)
	require.NoError(t, err)
	require.NoError(t, opened.Close())
	require.NoError(t, <-ended)
	require.NoFileExists(t, path+"-2")
	reports, err := report.Read(&out)
	require.NoError(t, err)
	var said []string
	for _, r := range reports {
		require.Empty(t, r.Errno)
		said = append(said, r.Verb+" "+strings.TrimPrefix(r.Path, path))
	}
	require.Equal(t, []string{"create -1", "create -2", "unlink -1", "unlink -2"}, said)
}
