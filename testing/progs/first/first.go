// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package first is a program that creates a file with the first instructions that it executes. Every language's
// runtime does much before main, and a policy that is in force a moment late would not be caught.
package first

import (
	"bytes"
	"encoding/binary"
)

// code creates the file that the first argument names, and ends with the kernel's error number, 0 for none.
var code = []byte{
	0xb8, 0x02, 0, 0, 0, // mov eax, SYS_open
	0x48, 0x8b, 0x7c, 0x24, 0x10, // mov rdi, [rsp+16]: argv[1]
	0xbe, 0x41, 0, 0, 0, // mov esi, O_WRONLY|O_CREAT
	0xba, 0xa4, 0x01, 0, 0, // mov edx, 0644
	0x0f, 0x05, // syscall
	0x31, 0xff, // xor edi, edi
	0x85, 0xc0, // test eax, eax
	0x79, 0x04, // jns past the next two
	0x89, 0xc7, // mov edi, eax
	0xf7, 0xdf, // neg edi
	0xb8, 0xe7, 0, 0, 0, // mov eax, SYS_exit_group
	0x0f, 0x05, // syscall
}

// base is where it is loaded: a multiple of every page size of the architecture.
const base = 0x400000

// ELF is the program, for Linux on amd64: a header, one segment that is the whole file, and the code.
func ELF() []byte {
	header := struct {
		Ident                                                     [16]byte
		Type, Machine                                             uint16
		Version                                                   uint32
		Entry, ProgramHeaders, SectionHeaders                     uint64
		Flags                                                     uint32
		Size, PHeaderSize, PHeaders, SHeaderSize, SHeaders, Names uint16
		SegmentType, SegmentFlags                                 uint32
		Offset, Address, Physical, FileSize, MemorySize, Align    uint64
	}{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, // 64 bits, little endian, version 1
		Type:  2, Machine: 62, Version: 1,             // ET_EXEC, EM_X86_64
		ProgramHeaders: 64, Size: 64, PHeaderSize: 56, PHeaders: 1,
		SegmentType: 1, SegmentFlags: 5, // PT_LOAD, readable and executable
		Address: base, Physical: base, Align: 0x1000,
	}
	length := uint64(binary.Size(header))
	header.Entry = base + length
	header.FileSize = length + uint64(len(code))
	header.MemorySize = header.FileSize
	var file bytes.Buffer
	_ = binary.Write(&file, binary.LittleEndian, header) // a buffer takes everything
	file.Write(code)
	return file.Bytes()
}
