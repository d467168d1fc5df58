// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func newPolicySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies, for editors",
		Long: `Print the JSON Schema of policies, for editors.

With it an editor completes keys and values, explains them under the mouse and
marks what is wrong. Editors with yaml-language-server (Visual Studio Code with
the YAML extension, vim, Emacs and others) take it from a policy's first line:

  # yaml-language-server: $schema=policy.schema.json

A schema cannot see everything: what it passes, validate may still refuse.`,
		Example: "  cloud-defend policy schema > policy.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(policy.Schema()); err != nil {
				return fmt.Errorf("write schema: %w", err)
			}
			return nil
		},
	}
}
