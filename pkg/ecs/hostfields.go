// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"net"
	"net/netip"
)

// Host is what documents say about the node. Members that are not known are
// left out.
type Host struct {
	ID, Name, Hostname, Architecture string
	BootID                           string
	PIDNamespace                     uint64 // inode number of the initial pid namespace
	IPs                              []netip.Addr
	MACs                             []net.HardwareAddr
	OS                               OS
}

// OS is the operating system of the node.
type OS struct {
	Family, Full, Kernel, Name, Platform, Version string
}

func (b *Builder) host(h *Host) {
	e := &b.enc
	m := e.open("host")
	e.str("id", h.ID)
	e.str("name", h.Name)
	e.str("hostname", h.Hostname)
	e.str("architecture", h.Architecture)
	boot := e.open("boot")
	e.str("id", h.BootID)
	e.close(boot)
	if h.PIDNamespace != 0 {
		e.decimal("pid_ns_ino", h.PIDNamespace)
	}
	e.strs("ip", texts(h.IPs, netip.Addr.String))
	e.strs("mac", texts(h.MACs, ecsMAC))
	os := e.open("os")
	e.str("type", "linux")
	e.str("family", h.OS.Family)
	e.str("full", h.OS.Full)
	e.str("kernel", h.OS.Kernel)
	e.str("name", h.OS.Name)
	e.str("platform", h.OS.Platform)
	e.str("version", h.OS.Version)
	e.close(os)
	e.close(m)
}

func texts[T any](values []T, text func(T) string) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = text(v)
	}
	return list
}

// ecsMAC writes an address as ECS wants it: RFC 7042, AA-BB-CC-DD-EE-FF.
func ecsMAC(a net.HardwareAddr) string {
	const digits = "0123456789ABCDEF"
	var b []byte
	for i, octet := range a {
		if i > 0 {
			b = append(b, '-')
		}
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	return string(b)
}
