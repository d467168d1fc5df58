// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"time"
)

// resolveTime bounds how long the host's name may hold up what the agent wants.
const resolveTime = 2 * time.Second

// nameHost has documents call the host as the agent's feature "fqdn" asks. A
// resolver that fails leaves the hostname.
func (m *managed) nameHost(qualified bool) {
	m.hostName = ""
	if qualified {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
		defer cancel()
		name, err := m.resolve(ctx)
		m.logError("host.name stays the hostname", err)
		m.hostName = name
	}
	if m.running != nil {
		m.running.NameHost(m.hostName)
	}
	if m.notices.builder != nil {
		m.notices.builder.NameHost(m.hostName)
	}
}
