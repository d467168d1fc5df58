// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
)

const formatText = "text"

func newPolicyValidate() *cobra.Command {
	v := validation{format: formatText}
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Name every fault of policy files: place, cause and remedy",
		Long: `Name every fault of policy files: place, cause and remedy.

A fault is one line, file:line:column: key: problem; remedy. So is a warning,
about something that is allowed and probably not meant. A file without a fault
is ok. FILE - is standard input. Exit status: 0 every file is ok, 2 one is not.

--official refuses what only this program understands, and what Kibana's form
for this integration does not accept: a policy that passes can be edited there.

--format json gives editors and CI the same as a list, empty if all is well:

  [{"file": "web.yml", "line": 4, "column": 7, "severity": "error",
    "key": "file.selectors[0] pages: targetFilePth",
    "message": "unknown key", "remedy": "did you mean \"targetFilePath\"?"}]

"severity" is error or warning. "line" and "column" count from 1, and are left
out of what has no place; so are "key" and "remedy" where there is none.

For diagnostics while you type, give your editor the language's JSON Schema: see
cloud-defend policy schema --help.`,
		Example: `  cloud-defend policy validate web.yml
  cloud-defend policy validate --official --format json *.yml
  kubectl get configmap policy -o jsonpath='{.data.web\.yml}' | cloud-defend policy validate -`,
		Args: files(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return v.run(cmd.InOrStdin(), cmd.OutOrStdout(), args)
		},
	}
	cmd.Flags().StringVar(&v.format, "format", v.format, "output: text or json")
	cmd.Flags().BoolVar(&v.official, "official", false, "refuse what the official grammar and Kibana's form do not have")
	return cmd
}

type validation struct {
	format   string
	official bool
}

// run reports on each file; when one is not valid, its error has nothing more to say.
func (v validation) run(in io.Reader, out io.Writer, names []string) error {
	write := writeVerdicts
	switch v.format {
	case formatText:
	case formatJSON:
		write = writeVerdictsJSON
	default:
		return inputError(fmt.Errorf("--format %q: use %s or %s", v.format, formatText, formatJSON))
	}
	grammar := policy.Parse
	if v.official {
		grammar = policy.ParseOfficial
	}
	verdict := error(nil)
	var read []policyFile
	for _, name := range names {
		f := readPolicy(in, name, grammar)
		if len(f.faults) > 0 {
			verdict = &exitError{code: exitInput}
		}
		read = append(read, f)
	}
	if err := write(out, read); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return verdict
}

func writeVerdicts(out io.Writer, read []policyFile) error {
	for _, f := range read {
		for _, w := range f.warnings {
			fmt.Fprintf(out, "warning: %s\n", w)
		}
		for _, fault := range f.faults {
			fmt.Fprintln(out, fault)
		}
		if len(f.faults) == 0 {
			fmt.Fprintf(out, "%s: ok\n", f.name)
		}
	}
	return nil
}

// diagnosticJSON is one fault or warning as editors and CI want it.
type diagnosticJSON struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"`
	Key      string `json:"key,omitempty"`
	Message  string `json:"message"`
	Remedy   string `json:"remedy,omitempty"`
}

func writeVerdictsJSON(out io.Writer, read []policyFile) error {
	diagnostics := []diagnosticJSON{}
	for _, f := range read {
		for _, fault := range f.faults {
			diagnostics = append(diagnostics, diagnostic("error", fault))
		}
		for _, w := range f.warnings {
			diagnostics = append(diagnostics, diagnostic("warning", policy.Fault(w)))
		}
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(diagnostics)
}

func diagnostic(severity string, f policy.Fault) diagnosticJSON {
	return diagnosticJSON{
		File: f.File, Line: f.Line, Column: f.Column, Severity: severity, Key: f.Key, Message: f.Problem, Remedy: f.Remedy,
	}
}
