// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import "math/bits"

// capabilityNames are those of capabilities(7), by bit.
var capabilityNames = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capabilities lists a set by name; a bit that is newer than the list by its
// number, as CAP_41.
func (b *Builder) capabilities(name string, set uint64) {
	if set == 0 {
		return
	}
	e := &b.enc
	e.key(name)
	e.buf = append(e.buf, '[')
	for ; set != 0; set &= set - 1 {
		bit := bits.TrailingZeros64(set)
		e.buf = append(e.buf, '"')
		if bit < len(capabilityNames) {
			e.put(capabilityNames[bit])
		} else {
			e.put("CAP_")
			e.digits(uint64(bit))
		}
		e.buf = append(e.buf, '"', ',')
	}
	e.end(']')
	e.buf = append(e.buf, ',')
}
