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
	format := formatText
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Name every fault of policy files: place, cause and remedy",
		Long: `Name every fault of policy files: place, cause and remedy.

A fault is one line, file:line:column: key: problem; remedy. So is a warning,
about something that is allowed and probably not meant. A file without a fault
is ok. Exit status: 0 every file is ok, 2 one is not.

--format json gives editors and CI the same as a list with one item per file:

  [{"file": "web.yml", "ok": false, "warnings": [], "faults": [
    {"line": 4, "column": 7, "key": "file.selectors[0] pages: targetFilePth",
     "problem": "unknown key", "remedy": "did you mean \"targetFilePath\"?"}]}]

"line" and "column" count from 1, and are left out of what has no place.`,
		Example: `  cloud-defend policy validate web.yml
  cloud-defend policy validate --format json *.yml`,
		Args: files(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return validate(cmd.OutOrStdout(), format, args)
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "output: text or json")
	return cmd
}

// validate reports on each file; when one is not valid, its error has nothing more to say.
func validate(out io.Writer, format string, names []string) error {
	write := writeVerdicts
	switch format {
	case formatText:
	case formatJSON:
		write = writeVerdictsJSON
	default:
		return inputError(fmt.Errorf("--format %q: use %s or %s", format, formatText, formatJSON))
	}
	verdict := error(nil)
	var read []policyFile
	for _, name := range names {
		f := readPolicy(name)
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

type verdictJSON struct {
	File     string      `json:"file"`
	OK       bool        `json:"ok"`
	Faults   []faultJSON `json:"faults"`
	Warnings []faultJSON `json:"warnings"`
}

type faultJSON struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
}

func writeVerdictsJSON(out io.Writer, read []policyFile) error {
	verdicts := []verdictJSON{}
	for _, f := range read {
		v := verdictJSON{File: f.name, OK: len(f.faults) == 0, Faults: []faultJSON{}, Warnings: []faultJSON{}}
		for _, fault := range f.faults {
			v.Faults = append(v.Faults, plainFault(fault))
		}
		for _, w := range f.warnings {
			v.Warnings = append(v.Warnings, plainFault(policy.Fault(w)))
		}
		verdicts = append(verdicts, v)
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(verdicts)
}

func plainFault(f policy.Fault) faultJSON {
	return faultJSON{Line: f.Line, Column: f.Column, Key: f.Key, Problem: f.Problem, Remedy: f.Remedy}
}
