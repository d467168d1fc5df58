// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/rights"
)

// attributes change who may do what with the file.
var attributes = []Technique{
	{Name: "chmod", As: "modifyFile", do: func(p *place) error { return unix.Chmod(p.file, 0o666) }},
	{Name: "chmod to executable", As: "createExecutable", do: func(p *place) error { return unix.Chmod(p.file, 0o755) }},
	{Name: "fchmod a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return unix.Fchmod(p.fd, 0o666) }},
	{Name: "fchmodat2 of a descriptor, with AT_EMPTY_PATH", As: "modifyFile", prepare: openWritable, do: func(p *place) error {
		empty := [1]byte{}
		_, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(p.fd), uintptr(unsafe.Pointer(&empty)), 0o666, unix.AT_EMPTY_PATH, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}},
	{Name: "chown", As: "modifyFile", do: func(p *place) error { return unix.Chown(p.file, 1000, 1000) }},
	{Name: "fchown a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return unix.Fchown(p.fd, 1000, 1000) }},
	{Name: "set an ACL that lets a user write", As: "modifyFile", do: func(p *place) error { return unix.Setxattr(p.file, rights.ACLName, rights.ACL(6), 0) }},
	{Name: "set an ACL that lets a user execute", As: "createExecutable", do: func(p *place) error { return unix.Setxattr(p.file, rights.ACLName, rights.ACL(5), 0) }},
	{Name: "set an ACL on a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error {
		return unix.Fsetxattr(p.fd, rights.ACLName, rights.ACL(6), 0)
	}},
	{Name: "take an ACL away, whose mask the group has then", As: "modifyFile", prepare: func(p *place) error {
		return unix.Setxattr(p.file, rights.ACLName, rights.ACL(6), 0)
	}, do: func(p *place) error { return unix.Removexattr(p.file, rights.ACLName) }},
	{Name: "set an ACL by a descriptor, from a root that does not show the file", As: "modifyFile", do: apart(func(p *place) error {
		fd, err := unix.Open(p.file, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := p.pivot(p.free); err != nil {
			return err
		}
		return unix.Fsetxattr(fd, rights.ACLName, rights.ACL(6), 0)
	})},
	{Name: "set file capabilities", As: "modifyFile", do: func(p *place) error {
		return unix.Setxattr(p.file, rights.CapabilityName, rights.Capability(), 0)
	}},
	{Name: "take file capabilities away", As: "modifyFile", prepare: func(p *place) error {
		return unix.Setxattr(p.file, rights.CapabilityName, rights.Capability(), 0)
	}, do: func(p *place) error { return unix.Removexattr(p.file, rights.CapabilityName) }},
}
