// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func parsed(t *testing.T, text string) *Ruleset {
	t.Helper()
	p, _, err := policy.Parse("policy.yml", []byte(text))
	require.NoError(t, err)
	r, err := Compile(p)
	require.NoError(t, err)
	return r
}

const versionOne = `
file:
  selectors:
    - {name: pages, operation: [createFile, modifyFile], targetFilePath: [/srv/**, /www/*], containerImageName: [nginx]}
    - {name: drift, operation: [createExecutable]}
    - {name: old, operation: [deleteFile], ignoreVolumeMounts: true}
    - {name: staging, kubernetesNamespace: [staging]}
  responses:
    - {match: [pages], exclude: [staging], actions: [alert]}
    - {match: [drift, old], actions: [log]}
process:
  selectors:
    - {name: shells, operation: [exec], processName: [sh], sessionLeaderInteractive: true}
  responses:
    - {match: [shells], actions: [alert, block]}
`

const versionTwo = `
process:
  selectors:
    - {name: shells, operation: [exec], processName: [sh, bash], sessionLeaderInteractive: false}
  responses:
    - {match: [shells], actions: [block, alert]}
file:
  selectors:
    - {name: drift, operation: [createExecutable, modifyExecutable]}
    - {name: staging, kubernetesNamespace: [staging]}
    - {name: cache, operation: [modifyFile], targetFilePath: [/srv/cache/**]}
    - {name: pages, operation: [modifyFile, deleteFile], targetFilePath: [/www/*, /srv/*], kubernetesPodLabel: ["app:web"]}
  responses:
    - {match: [cache], actions: [log]}
    - {match: [drift], actions: [log]}
    - {match: [pages], exclude: [cache, staging], actions: [alert, block]}
`

func TestDifference(t *testing.T) {
	var out strings.Builder
	different, err := Difference(&out, parsed(t, versionOne), parsed(t, versionTwo))
	require.NoError(t, err)
	require.True(t, different)
	require.Equal(t, `file.selectors
  removed  old: deleteFile
             and the file is not on a mounted volume
  changed  drift
             operation: also modifyExecutable
  added    cache: modifyFile
             and the file is below /srv/cache/
  changed  pages
             operation: also deleteFile; no longer createFile
             containerImageName: not asked for any more: was nginx
             targetFilePath: also /srv/*; no longer /srv/**
             kubernetesPodLabel: asked for now: app:web

file.responses
  removed  when drift or old: log it
  added    when cache: log it
  added    when drift: log it
  changed  when pages, unless cache or staging: raise an alert, refuse the operation
  was      when pages, unless staging: raise an alert

process.selectors
  changed  shells
             processName: also bash
             sessionLeaderInteractive: false, was true

Kernel hooks
  changed  file_open: also modifyExecutable; no longer createFile
  changed  path_mknod: no longer createFile
  removed  path_symlink for createFile
  changed  path_rename: also modifyExecutable; no longer createFile
  changed  path_link: also modifyExecutable; no longer createFile
  changed  path_chmod: also modifyExecutable
  changed  path_truncate: also modifyExecutable
  changed  file_truncate: also modifyExecutable
  changed  path_chown: also modifyExecutable
  changed  inode_setattr: also modifyExecutable
  changed  inode_setxattr: also modifyExecutable
  changed  inode_set_acl: also modifyExecutable
  changed  inode_removexattr: also modifyExecutable
  changed  inode_remove_acl: also modifyExecutable
  added    file_permission for modifyFile
  changed  mmap_file: also modifyFile
  changed  file_mprotect: also modifyFile

Can be refused, and could not before
  pages: modifyFile, deleteFile
  shells: exec

Could be refused before, and cannot any more
  shells: exec
`, out.String())
}

// TestNoDifference: order, repeated responses and repeated values mean nothing.
func TestNoDifference(t *testing.T) {
	same := strings.Replace(versionOne, "[pages], exclude: [staging], actions: [alert]}", "[drift, old], actions: [log]}", 1)
	same = strings.Replace(same, "match: [drift, old], actions: [log]}",
		"match: [old, drift], actions: [log]}\n    - {match: [pages], exclude: [staging, staging], actions: [alert]}", 1)
	same = strings.Replace(same, "[createFile, modifyFile]", "[modifyFile, createFile, modifyFile]", 1)
	require.NotEqual(t, versionOne, same)
	var out strings.Builder
	different, err := Difference(&out, parsed(t, versionOne), parsed(t, same))
	require.NoError(t, err)
	require.Empty(t, out.String())
	require.False(t, different)
}
