// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func buildInfo() *debug.BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return &debug.BuildInfo{}
	}
	return info
}

// release names this build in documents: the version that Go took from the
// repository's tags, 0.0.0 where it found none.
func release() string { return releaseOf(buildInfo()) }

func releaseOf(info *debug.BuildInfo) string {
	v, tagged := strings.CutPrefix(info.Main.Version, "v")
	if !tagged {
		return "0.0.0"
	}
	return v
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), describeBuild(buildInfo()))
			return err
		},
	}
}

// describeBuild gives version, commit, compiler and platform, as far as the
// build recorded them.
func describeBuild(info *debug.BuildInfo) string {
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	text := "cloud-defend " + releaseOf(info)
	if commit := setting["vcs.revision"]; commit != "" {
		text += ", commit " + commit
	}
	if setting["vcs.modified"] == "true" {
		text += " with changes"
	}
	for _, part := range []string{info.GoVersion, setting["GOARCH"]} {
		if part != "" {
			text += ", " + part
		}
	}
	return text
}
