// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"cmp"
	"strings"

	"github.com/elastic/cloud-defend/pkg/host"
)

func (b *Builder) host(h *host.Facts) {
	e := &b.enc
	m := e.open("host")
	e.str("id", h.MachineID)
	e.str("name", cmp.Or(h.Name, h.Hostname))
	e.str("hostname", h.Hostname)
	e.str("architecture", h.Architecture)
	boot := e.open("boot")
	e.str("id", h.BootID)
	e.close(boot)
	if h.PIDNamespace != 0 {
		e.decimal("pid_ns_ino", h.PIDNamespace)
	}
	e.strs("ip", h.IPs)
	e.strs("mac", h.MACs)
	os := e.open("os")
	e.str("type", "linux")           // whatever is known of the rest: rules ask for it
	e.str("codename", h.OS.Codename) // not ECS; upstream has it
	e.str("family", h.OS.Family)
	e.str("full", strings.TrimSpace(h.OS.Name+" "+h.OS.Version))
	e.str("kernel", h.OS.Kernel)
	e.str("name", h.OS.Name)
	e.str("platform", h.OS.Platform)
	e.str("version", h.OS.Version)
	e.close(os)
	e.close(m)
}
