// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// machines maps Go's names to those of uname -m.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// oldest is the first release for which the programs are made. It explains a
// failed trial; whether a kernel will do is never decided by its version.
const (
	oldestMajor = 5
	oldestMinor = 10
)

func (h host) kernel() Check {
	c := Check{Name: "kernel", State: OK}
	release, err := read(h.proc, "sys/kernel/osrelease")
	if err != nil {
		c.State, c.Found, c.Remedy = Missing, err.Error(), "mount /proc: mount -t proc proc /proc"
		return c
	}
	// /proc/sys/kernel/arch exists since Linux 6.1.
	machine, err := read(h.proc, "sys/kernel/arch")
	if err != nil {
		machine = machines[runtime.GOARCH]
	}
	c.Found = release + ", " + machine
	var major, minor int
	_, err = fmt.Sscanf(release, "%d.%d", &major, &minor)
	if err == nil && (major < oldestMajor || major == oldestMajor && minor < oldestMinor) {
		c.State = Missing
		c.Remedy = fmt.Sprintf("use Linux %d.%d or newer (arm64: 6.4)", oldestMajor, oldestMinor)
	}
	return c
}

func (h host) btfFile() string { return filepath.Join(h.sys, "kernel/btf/vmlinux") }

func (h host) btf() Check {
	c := Check{Name: "BTF", State: OK}
	info, err := os.Stat(h.btfFile())
	if err != nil {
		c.State, c.Found = Missing, err.Error()
		c.Remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container, mount the host's /sys"
		return c
	}
	c.Found = fmt.Sprintf("%s, %s", h.btfFile(), size(uint64(info.Size())))
	return c
}

// hooks looks for two functions that are there only if the kernel was built
// with what the file hooks need: security_path_mknod with
// CONFIG_SECURITY_PATH, bpf_lsm_path_mknod with CONFIG_BPF_LSM as well.
func (h host) hooks() Check {
	c := Check{Name: "hooks", State: OK}
	has, err := h.symbols("security_path_mknod", "bpf_lsm_path_mknod")
	switch {
	case err != nil:
		c.State, c.Found = Unknown, "neither BTF nor kallsyms can be read: "+err.Error()
	case !has["security_path_mknod"]:
		c.State, c.Found = Missing, "the kernel has no path hooks (CONFIG_SECURITY_PATH)"
		c.Remedy = "use a kernel built with CONFIG_SECURITY_PATH=y"
	case !has["bpf_lsm_path_mknod"]:
		c.Found = "path hooks, without BPF LSM (CONFIG_BPF_LSM)"
		return h.suspect(c, "use a kernel built with CONFIG_BPF_LSM=y")
	default:
		c.Found = "path hooks and BPF LSM are built in"
	}
	return c
}

// symbols looks names up in BTF, whose strings end in NUL, else in kallsyms.
func (h host) symbols(names ...string) (map[string]bool, error) {
	table, err := os.ReadFile(h.btfFile())
	before, after := "\x00", "\x00"
	if err != nil {
		table, err = os.ReadFile(filepath.Join(h.proc, "kallsyms"))
		before, after = " ", "\n"
	}
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for _, name := range names {
		has[name] = bytes.Contains(table, []byte(before+name+after))
	}
	return has, nil
}

func (h host) bpfLSM(ask func() ([]string, error)) Check {
	c := Check{Name: "BPF LSM", State: OK}
	active, err := h.securityModules(ask)
	if err != nil {
		c.State, c.Found, c.Remedy = Unknown, "the list of security modules cannot be read", mountSecurityfs
		return c
	}
	list := strings.Join(active, ",")
	if !slices.Contains(active, "bpf") {
		c.Found = "not active, only " + list
		return h.suspect(c, "boot with lsm="+strings.TrimPrefix(list+",bpf", ","))
	}
	c.Found = "active: " + list
	return c
}

const mountSecurityfs = "mount -t securityfs securityfs /sys/kernel/security"

func (h host) securityModules(ask func() ([]string, error)) ([]string, error) {
	list, err := read(h.sys, "kernel/security/lsm")
	if err == nil {
		return strings.Split(list, ","), nil
	}
	active, askErr := ask()
	if askErr != nil {
		return nil, err
	}
	return active, nil
}

// lockdown reads the mode, which the file shows in brackets.
func (h host) lockdown() Check {
	c := Check{Name: "lockdown", State: OK}
	modes, err := read(h.sys, "kernel/security/lockdown")
	if err != nil {
		if h.mounted("securityfs") {
			c.Found = "none: the kernel was built without it"
			return c
		}
		c.State, c.Found = Unknown, "cannot be read, securityfs is not mounted"
		c.Remedy = mountSecurityfs
		return c
	}
	_, mode, _ := strings.Cut(modes, "[")
	mode, _, _ = strings.Cut(mode, "]")
	c.Found = mode
	switch mode {
	case "none":
	case "confidentiality":
		c.State = Missing
		c.Found = "confidentiality: BPF must not read kernel memory"
		c.Remedy = "boot with lockdown=integrity, or without lockdown="
	default:
		return h.suspect(c, "boot without lockdown= and without Secure Boot")
	}
	return c
}

// mounted looks for a file system type in our own mount namespace.
func (h host) mounted(fstype string) bool {
	return len(h.mounts(fstype)) > 0
}

// mounts lists the mount points of a file system type. In a line of mountinfo
// the type follows a lone hyphen (proc(5)).
func (h host) mounts(fstype string) []string {
	content, err := read(h.proc, "self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(content) {
		front, back, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(front), strings.Fields(back)
		if len(fields) > 4 && len(types) > 0 && types[0] == fstype {
			points = append(points, fields[4])
		}
	}
	return points
}
