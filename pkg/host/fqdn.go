// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package host

import (
	"context"
	"fmt"

	"github.com/elastic/go-sysinfo"
)

// FQDN asks the resolver for the node's fully qualified name. It takes as long
// as the resolver does, or until ctx ends.
func FQDN(ctx context.Context) (string, error) {
	h, err := sysinfo.Host()
	if err != nil {
		return "", fmt.Errorf("look for the host's name: %w", err)
	}
	name, err := h.FQDNWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("resolve the host's fully qualified name: %w", err)
	}
	return name, nil
}
