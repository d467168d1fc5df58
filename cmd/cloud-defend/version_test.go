// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, exitDone, execute(t.Context(), []string{"version"}, &out, &errs), errs.String())
	require.Regexp(t, `^cloud-defend \d+\.\d+\.\d+.*, go1\.\d+.*\n$`, out.String())
	require.Contains(t, out.String(), "cloud-defend "+release())
}

func TestDescribeBuild(t *testing.T) {
	for want, info := range map[string]debug.BuildInfo{
		"cloud-defend 0.0.0":           {},
		"cloud-defend 0.0.0, go1.26.8": {GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}},
		"cloud-defend 1.2.3, commit abc with changes, go1.26.8, arm64": {
			GoVersion: "go1.26.8",
			Main:      debug.Module{Version: "v1.2.3"},
			Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "GOARCH", Value: "arm64"},
			},
		},
		"cloud-defend 1.2.3-rc1, commit abc": {
			Main:     debug.Module{Version: "v1.2.3-rc1"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
		},
	} {
		require.Equal(t, want, describeBuild(&info))
	}
}
