// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

// someGuest makes a guest whose parts lie in a folder of its own.
func someGuest(t *testing.T) Guest {
	t.Helper()
	dir := makeTree(t, map[string]string{
		"vmlinuz": "kernel", "lib/modules.builtin": "virtio_pci.ko virtio_blk.ko ext4.ko overlay.ko veth.ko\n",
		"lib/kernel/README": "", "tree/sub/program": "elf", "disk/image": "layers",
	})
	return Guest{
		Kernel:  &Kernel{Name: "6.1", Release: "6.1.0-9", Arch: "amd64", image: dir + "/vmlinuz", modules: dir + "/lib"},
		Cmdline: "lsm=bpf", Files: map[string]string{"/src": dir + "/tree"}, Disk: dir + "/disk",
		Commands: []Command{{Command: job.Command{Args: []string{"/src/sub/program"}, Dir: "/src", Env: []string{"A=1"}}}},
	}
}

// host is shared by the tests: it builds the first process once.
var host known

func digestOf(t *testing.T, g Guest, versions ...string) string {
	t.Helper()
	text, err := host.digest(t.Context(), g, versions)
	require.NoError(t, err)
	require.Len(t, text, 64)
	return text
}

// moduleFile is a kernel module that has a section .modinfo and nothing else.
func moduleFile(t *testing.T) []byte {
	t.Helper()
	const names = "\x00.modinfo\x00"
	h := elf.Header64{Shoff: 64, Shentsize: 64, Shnum: 2, Shstrndx: 1, Type: uint16(elf.ET_REL), Version: 1, Ehsize: 64}
	copy(h.Ident[:], elf.ELFMAG+string([]byte{byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}))
	info := elf.Section64{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: 192, Size: uint64(len(names))}
	var file bytes.Buffer
	for _, part := range []any{h, elf.Section64{}, info, []byte(names)} {
		require.NoError(t, binary.Write(&file, binary.LittleEndian, part))
	}
	return file.Bytes()
}

func TestDigestIsTheSameElsewhere(t *testing.T) {
	here, there := someGuest(t), someGuest(t)
	require.NotEqual(t, here.Disk, there.Disk)
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(there.Disk+"/image", past, past))
	there.Commands[0].Output = os.Stderr
	require.Equal(t, digestOf(t, here), digestOf(t, there))
}

// Whatever is put into a machine, or said to it, makes another digest. Changes are by the guest's field, so that one that
// comes to it needs a row here.
func TestDigestChanges(t *testing.T) {
	write := func(path, content string) func(*testing.T, *Guest) {
		return func(t *testing.T, g *Guest) {
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(g.Disk), path), []byte(content), 0o644))
		}
	}
	command := func(change func(*job.Command)) func(*testing.T, *Guest) {
		return func(_ *testing.T, g *Guest) { change(&g.Commands[0].Command) }
	}
	changes := map[string]map[string]func(*testing.T, *Guest){
		"Kernel": {
			"image":        write("vmlinuz", "kernal"),
			"architecture": func(_ *testing.T, g *Guest) { g.Kernel.Arch = "arm64" },
		},
		"Cmdline":           {"": func(_ *testing.T, g *Guest) { g.Cmdline = "lsm=" }},
		"MemoryMB":          {"": func(_ *testing.T, g *Guest) { g.MemoryMB = 512 }},
		"CPUs":              {"": func(_ *testing.T, g *Guest) { g.CPUs = 2 }},
		"CountInstructions": {"": func(_ *testing.T, g *Guest) { g.CountInstructions = true }},
		"Files": {
			"content":  write("tree/sub/program", "elb"),
			"one more": write("tree/sub/more", ""),
			"mode":     func(t *testing.T, g *Guest) { require.NoError(t, os.Chmod(g.Files["/src"]+"/sub/program", 0o755)) },
			"place":    func(_ *testing.T, g *Guest) { g.Files = map[string]string{"/source": g.Files["/src"]} },
			"link":     func(t *testing.T, g *Guest) { require.NoError(t, os.Symlink("program", g.Files["/src"]+"/sub/link")) },
		},
		"Disk": {
			"content":  write("disk/image", "layer"),
			"one more": write("disk/more", ""),
			"none":     func(_ *testing.T, g *Guest) { g.Disk = "" },
		},
		"DiskFreeMB": {"": func(_ *testing.T, g *Guest) { g.DiskFreeMB = 1 }},
		"Commands": {
			"argument":    command(func(c *job.Command) { c.Args = append(c.Args, "-test.run=x") }),
			"environment": command(func(c *job.Command) { c.Env = []string{"A=2"} }),
			"folder":      command(func(c *job.Command) { c.Dir = "" }),
			"one more":    func(_ *testing.T, g *Guest) { g.Commands = append(g.Commands, g.Commands[0]) },
		},
		"Modules": {"one more": func(t *testing.T, g *Guest) {
			require.NoError(t, os.WriteFile(g.Kernel.modules+"/kernel/dummy.ko", moduleFile(t), 0o644))
			g.Modules = []string{"dummy"}
		}},
	}
	notIn := []string{"Timeout", "Console"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Guest]()) {
		if len(changes[field.Name]) == 0 {
			require.Contains(t, notIn, field.Name, "a guest with another one has another digest: show it")
		}
	}

	same := digestOf(t, someGuest(t))
	seen := map[string]string{same: "nothing"}
	require.NotEqual(t, same, digestOf(t, someGuest(t), "QEMU 1"))
	for field, ways := range changes {
		for way, change := range ways {
			g := someGuest(t)
			change(t, &g)
			got := digestOf(t, g)
			require.NotContains(t, seen, got, "%s %s", field, way)
			seen[got] = field + " " + way
		}
	}
	g := someGuest(t)
	g.Timeout = time.Hour
	require.Equal(t, same, digestOf(t, g), "how long somebody waits changes nothing in the machine")
}

// A file that is written anew is read anew.
func TestSumsOfChangedFiles(t *testing.T) {
	var k known
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o644))
	one, err := k.sum(path)
	require.NoError(t, err)
	again, err := k.sum(path)
	require.NoError(t, err)
	require.Equal(t, one, again)
	require.NoError(t, os.WriteFile(path, []byte("four"), 0o644))
	four, err := k.sum(path)
	require.NoError(t, err)
	require.NotEqual(t, one, four)
	_, err = k.sum(path + "-none")
	require.ErrorIs(t, err, os.ErrNotExist)
}
