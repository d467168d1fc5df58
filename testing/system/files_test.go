// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

const filePolicy = `
file:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: createExecutable, operation: [createExecutable], targetFilePath: [/srv/guarded/**]}
    - {name: createFile, operation: [createFile], targetFilePath: [/srv/guarded/**]}
    - {name: modifyExecutable, operation: [modifyExecutable], targetFilePath: [/srv/guarded/**]}
    - {name: modifyFile, operation: [modifyFile], targetFilePath: [/srv/guarded/**, /srv/kept/**]}
    - {name: deleteFile, operation: [deleteFile], targetFilePath: [/srv/guarded/**]}
` + markers + `  responses:
    - match: [createExecutable, createFile, modifyExecutable, modifyFile, deleteFile]
      exclude: [trusted]
      actions: [alert, block]
` + markedBy

// fileCase is one deed that the policy forbids, and the document that it makes.
type fileCase struct {
	verb, hook, action, kind string
	operations               string // and names of the selectors that match
}

const (
	guarded = "/srv/guarded"
	kept    = "/srv/kept" // for modifications only
)

var fileCases = []fileCase{
	{"create", "path_mknod", "creation", "creation", "createFile"},
	{"create-executable", "path_mknod", "creation", "creation", "createExecutable"},
	{"mknod", "path_mknod", "creation", "creation", "createFile"},
	{"symlink", "path_symlink", "creation", "creation", "createFile"},
	{"write", "file_open", "open", "change", "modifyFile"},
	{"write-executable", "file_open", "open", "change", "modifyExecutable"},
	{"append", "file_open", "open", "change", "modifyFile"},
	{"open-truncate", "file_open", "open", "change", "modifyFile"},
	{"read-truncate", "_truncate", "modification", "change", "modifyFile"},
	{"truncate", "path_truncate", "modification", "change", "modifyFile"},
	{"ftruncate", "_truncate", "modification", "change", "modifyFile"},
	{"chmod", "path_chmod", "modification", "change", "modifyFile"},
	{"chmod-executable", "path_chmod", "modification", "change", "createExecutable modifyFile"},
	{"chmod-plain", "path_chmod", "modification", "change", "modifyExecutable"},
	{"rename", "path_rename", "rename", "change", "createFile"},
	{"rename-over", "path_rename", "rename", "change", "modifyFile"},
	{"rename-executable", "path_rename", "rename", "change", "createExecutable"},
	{"rename-away", "path_rename", "rename", "change", "deleteFile"},
	{"link", "path_link", "link", "creation", "createFile"},
	{"link-executable", "path_link", "link", "creation", "createExecutable"},
	{"unlink", "path_unlink", "deletion", "deletion", "deleteFile"},
}

// path is what the deed is done to. Truncation by descriptor needs a folder into which files may be moved.
func (c fileCase) path() string {
	if c.verb == "ftruncate" {
		return kept + "/" + c.verb
	}
	return guarded + "/" + c.verb
}

func (c fileCase) deed() string { return c.verb + "=" + c.path() }

// fileDeeds are all cases' deeds, and one that no policy forbids.
func fileDeeds() []string {
	var deeds []string
	for _, c := range fileCases {
		deeds = append(deeds, c.deed())
	}
	return append(deeds, "read="+guarded+"/read")
}

// The four sides of each hook point and operation: it works without the policy, the policy refuses it, it still works
// in a container that the policy excludes, and there is exactly one document, which says so.
func TestKernelFiles(t *testing.T) {
	s := onStage(t)
	prepare := []string{"prepare=" + guarded, "prepare=" + kept}

	s.enforce(t, "file:\n  selectors:\n"+markers+"  responses:\n"+markedBy)
	before, err := s.watch(t.Context(), s.web, append(prepare, fileDeeds()...)...)
	require.NoError(t, err)
	require.Empty(t, before.documents)

	again := "rm -rf /srv/guarded* /srv/kept*"
	out, err := s.web.Exec(t.Context(), "/bin/sh", "-c", again)
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	for _, c := range []*containers.Container{s.web, s.trusted} {
		_, err := c.Act(t.Context(), prepare...)
		require.NoError(t, err)
	}
	s.enforce(t, filePolicy)
	with, err := s.watch(t.Context(), s.web, fileDeeds()...)
	require.NoError(t, err)
	outside, err := s.watch(t.Context(), s.trusted, fileDeeds()...)
	require.NoError(t, err)
	require.Empty(t, outside.documents)

	for i, c := range fileCases {
		t.Run(c.verb, func(t *testing.T) {
			require.Empty(t, errnos(before.reports)[c.deed()], "without the policy")
			require.Equal(t, "EPERM", errnos(with.reports)[c.deed()], "with the policy")
			require.Empty(t, errnos(outside.reports)[c.deed()], "in the excluded container")
			alerts := with.alerts(c.path())
			require.Len(t, alerts, 1)
			c.requireDocument(t, alerts[0], s.web, with.reports[i], with.args)
		})
	}
	t.Run("read", func(t *testing.T) {
		require.Empty(t, with.reports[len(fileCases)].Errno)
		require.Empty(t, with.alerts(guarded+"/read"))
	})
	require.Len(t, with.documents, len(fileCases), "a document about something else")
}

// Where the policy only alerts, every operation happens and leaves exactly one document, which does not say that it was
// refused; so does the first operation on a file of the image, which the file system copies before it changes it.
func TestKernelAlerts(t *testing.T) {
	s := onStage(t)
	ofImage := []fileCase{
		{"append", "file_open", "open", "change", "modifyFile"},
		{"write", "file_open", "open", "change", "modifyFile"},
		{"chmod", "path_chmod", "modification", "change", "modifyFile"},
		{"unlink", "path_unlink", "deletion", "deletion", "deleteFile"},
	}
	paths := []string{"/etc/group", "/etc/app.conf", "/etc/shadow", "/etc/passwd"}

	s.enforce(t, "file:\n  selectors:\n"+markers+"  responses:\n"+markedBy)
	fresh, err := s.pod.Run(t.Context(), "fresh", containers.Web)
	require.NoError(t, err)
	_, err = fresh.Act(t.Context(), "prepare="+guarded, "prepare="+kept)
	require.NoError(t, err)
	s.enforce(t, strings.NewReplacer("[alert, block]", "[alert]", guarded+"/**", guarded+"/**, /etc/*").Replace(filePolicy))
	deeds := fileDeeds()
	for i, c := range ofImage {
		deeds = append(deeds, c.verb+"="+paths[i])
	}
	got, err := s.watch(t.Context(), fresh, deeds...)
	require.NoError(t, err)
	for _, r := range got.reports {
		require.Empty(t, r.Errno, "%s %s", r.Verb, r.Path)
	}

	for _, c := range fileCases {
		t.Run(c.verb, func(t *testing.T) { c.requireAlert(t, got.alerts(c.path()), c.path(), fresh) })
	}
	for i, c := range ofImage {
		t.Run(c.verb+" file of the image", func(t *testing.T) { c.requireAlert(t, got.alerts(paths[i]), paths[i], fresh) })
	}
	require.Len(t, got.documents, len(fileCases)+len(ofImage), "a document about something else")
	require.NoError(t, fresh.Remove(t.Context()))
}

func (c fileCase) requireAlert(t *testing.T, alerts []Document, path string, in *containers.Container) {
	t.Helper()
	require.Len(t, alerts, 1, "documents about %s", path)
	d := alerts[0]
	require.Equal(t, c.action, d.Event.Action)
	require.Equal(t, []string{c.kind}, d.Event.Type)
	require.Contains(t, []string{"success", "unknown"}, d.Event.Outcome)
	require.Equal(t, strings.Fields(c.operations), d.CloudDefend.MatchedSelectors)
	requireContainer(t, d, in)
}

func (c fileCase) requireDocument(t *testing.T, d Document, in *containers.Container, by report.Report, args []string) {
	t.Helper()
	require.Equal(t, []string{"file"}, d.Event.Category)
	require.Equal(t, c.action, d.Event.Action)
	require.Equal(t, []string{c.kind, "denied"}, d.Event.Type)
	require.Equal(t, "failure", d.Event.Outcome)
	require.Equal(t, "cloud_defend.alerts", d.Event.Dataset)
	require.NotEmpty(t, d.Event.ID)
	require.Contains(t, d.CloudDefend.HookPoint, c.hook)
	require.Equal(t, strings.Fields(c.operations), d.CloudDefend.MatchedSelectors)
	if c.verb == "rename-away" {
		require.Equal(t, c.path(), d.File.Ext.Original.Path)
	} else {
		require.Equal(t, c.path(), d.File.Path)
	}
	if c.verb == "symlink" {
		require.Equal(t, guarded+".from/symlink", d.File.Target)
	}
	requireActor(t, d, in, by, args)
}

// requireActor wants the document to name the process that reported and the container that it was in.
func requireActor(t *testing.T, d Document, in *containers.Container, by report.Report, args []string) {
	t.Helper()
	require.Equal(t, "actor", d.Process.Name)
	require.Equal(t, args[0], d.Process.Executable)
	require.Equal(t, args, d.Process.Args)
	require.Equal(t, by.HostPID, d.Process.PID)
	require.Equal(t, by.PID, d.Process.VPID)
	requireContainer(t, d, in)
}

func requireContainer(t *testing.T, d Document, c *containers.Container) {
	t.Helper()
	require.Equal(t, c.ID, d.Container.ID)
	require.Equal(t, c.Name, d.Container.Name)
	require.Equal(t, c.Image, d.Container.Image.Name+":"+d.Container.Image.Tag[0])
}
