// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package rights makes the attributes of a file that grant rights beside its mode.
package rights

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// The attributes' names.
const (
	ACLName        = "system.posix_acl_access"
	CapabilityName = "security.capability"
)

// ACL is a list under which user 1000 has the permission, such as 5 to read and to execute, by
// include/uapi/linux/posix_acl_xattr.h.
func ACL(permission uint16) []byte {
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range []struct {
		tag, permission uint16
		id              uint32
	}{{1, 6, ^uint32(0)}, {2, permission, 1000}, {4, 4, ^uint32(0)}, {0x10, permission, ^uint32(0)}, {0x20, 4, ^uint32(0)}} {
		value = binary.LittleEndian.AppendUint16(value, entry.tag)
		value = binary.LittleEndian.AppendUint16(value, entry.permission)
		value = binary.LittleEndian.AppendUint32(value, entry.id)
	}
	return value
}

// LongACL is a list of forty users who may read and write.
func LongACL() []byte {
	value := ACL(6)
	user := value[4+8 : 4+16]
	for id := uint32(1001); id < 1040; id++ {
		another := binary.LittleEndian.AppendUint32(slices.Clone(user[:4]), id)
		at := 4 + 8*(int(id)-999)
		value = slices.Insert(value, at, another...)
	}
	return value
}

// Capability gives a program CAP_CHOWN, by include/uapi/linux/capability.h.
func Capability() []byte {
	value := binary.LittleEndian.AppendUint32(nil, 0x02000001) // revision 2, effective
	for _, word := range []uint32{1 << unix.CAP_CHOWN, 0, 0, 0} {
		value = binary.LittleEndian.AppendUint32(value, word)
	}
	return value
}
