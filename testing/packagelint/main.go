// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command packagelint holds integration packages, as folders or as zips, against Elastic's own specification of them. It
// is a module of its own because the validator is under the Elastic License: nothing that is delivered may link it.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/elastic/package-spec/v3/code/go/pkg/validator"
)

func main() {
	// The validator returns its warnings as errors when this is set, and else only logs them.
	if err := os.Setenv("PACKAGE_SPEC_WARNINGS_AS_ERRORS", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := 0
	for _, path := range os.Args[1:] {
		validate := validator.ValidateFromPath
		if strings.HasSuffix(path, ".zip") {
			validate = validator.ValidateFromZip
		}
		if err := validate(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			status = 1
		}
	}
	os.Exit(status)
}
