// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// moduleNames are the LSM_ID_* of include/uapi/linux/lsm.h.
var moduleNames = map[uint64]string{
	100: "capability", 101: "selinux", 102: "smack", 103: "tomoyo", 104: "apparmor", 105: "yama", 106: "loadpin",
	107: "safesetid", 108: "lockdown", 109: "bpf", 110: "landlock", 111: "ima", 112: "evm", 113: "ipe",
}

// listSecurityModules asks the kernel directly, which needs neither securityfs
// nor a privilege.
func listSecurityModules() ([]string, error) {
	var ids [64]uint64
	size := uint32(unsafe.Sizeof(ids))
	n, _, errno := unix.Syscall(unix.SYS_LSM_LIST_MODULES,
		uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
	runtime.KeepAlive(&ids)
	if errno != 0 {
		return nil, fmt.Errorf("lsm_list_modules: %w", errno)
	}
	var names []string
	for _, id := range ids[:n] {
		name, known := moduleNames[id]
		if !known {
			name = fmt.Sprintf("#%d", id)
		}
		names = append(names, name)
	}
	return names, nil
}
