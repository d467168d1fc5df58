// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"path"
	"strconv"
	"strings"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Bits of st_mode, as inode(7) has them.
const (
	formatMask    = 0o170000
	formatRegular = 0o100000
	permMask      = 0o7777
	permExecute   = 0o111
)

// formats are the values of file.type but for regular files. ECS names only
// the first two of these; the rest say what they are too.
var formats = map[uint32]string{
	0o040000: "dir",
	0o120000: "symlink",
	0o060000: "block_device",
	0o020000: "char_device",
	0o010000: "fifo",
	0o140000: "socket",
}

// regular says whether a mode is a regular file's. mknod(2) takes a mode
// without a format for one.
func regular(mode uint32) bool {
	return mode&formatMask == 0 || mode&formatMask == formatRegular
}

func (b *Builder) file(ev *event.Event) {
	e := &b.enc
	m := e.open("file")
	b.filePath(ev.Path)
	if ev.Path.Name != "" {
		e.str("directory", path.Dir(ev.Path.Name))
		e.str("extension", extension(ev.Path.Name))
	}
	e.str("target_path", ev.Target)
	if mode := ev.FileMode; mode != 0 {
		e.str("type", fileType(mode))
		e.key("mode")
		e.buf = append(e.buf, '"')
		e.buf = appendMode(e.buf, mode&permMask)
		e.buf = append(e.buf, '"', ',')
	}
	if ev.PathFrom.Name != "" {
		ext := e.open("Ext")
		original := e.open("original")
		b.filePath(ev.PathFrom)
		e.close(original)
		e.close(ext)
	}
	e.close(m)
	b.gaps.path("file.path", ev.Path)
	b.gaps.path("file.Ext.original.path", ev.PathFrom)
}

func (b *Builder) filePath(p event.Path) {
	b.enc.str("path", p.Name)
	if p.Name != "" {
		b.enc.str("name", path.Base(p.Name))
	}
}

func fileType(mode uint32) string {
	if regular(mode) {
		return "file"
	}
	return formats[mode&formatMask]
}

// appendMode writes four octal digits, as ECS shows file.mode.
func appendMode(b []byte, mode uint32) []byte {
	for limit := uint32(0o1000); limit > 1 && mode < limit; limit >>= 3 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, uint64(mode), 8)
}

// extension is what follows the last dot of a name, if there is a name before
// the dot: .bashrc has none.
func extension(name string) string {
	base := path.Base(name)
	if i := strings.LastIndexByte(base, '.'); i > 0 {
		return base[i+1:]
	}
	return ""
}
