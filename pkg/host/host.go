// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package host reads the facts of this node that every document carries in
// ECS host.*.
package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/elastic/go-sysinfo"
	"github.com/elastic/go-sysinfo/types"
)

// Options say where to look.
type Options struct {
	// Proc is where the host's /proc is mounted: /proc by default, /hostfs/proc in
	// a container that has it there.
	Proc string
}

// Facts describe the node. They do not change while it runs, except for the
// addresses. A fact that could not be read is empty.
type Facts struct {
	// BootID is a UUID that the kernel makes at boot (host.boot.id).
	BootID string
	// PIDNamespace is the inode number of the initial pid namespace, whose
	// pids BPF reports (host.pid_ns_ino).
	PIDNamespace uint64
	Hostname     string
	// Name is how the node is called (host.name), where that is not its
	// hostname; see FQDN.
	Name string
	// MachineID is the content of /etc/machine-id (host.id).
	MachineID string
	// Architecture is what uname -m says: x86_64, aarch64.
	Architecture string
	OS           OS
	// IPs are the addresses of all interfaces except loopback, without prefix
	// length.
	IPs []string
	// MACs are in the notation that ECS asks for, 00-00-5E-00-53-23.
	MACs []string
}

// WithoutAddresses are the facts without what a network is made of.
func (f Facts) WithoutAddresses() Facts {
	f.IPs, f.MACs = nil, nil
	return f
}

// OS is the operating system of the node (host.os).
type OS struct {
	Type     string // linux
	Family   string // debian, redhat, …
	Platform string // ID of os-release: debian, ubuntu, …
	Name     string
	Version  string
	Codename string
	// Kernel is release and build, as uname -r -v prints them.
	Kernel string
}

// initialPIDNamespace is the inode number of the pid namespace that the kernel
// starts with, PROC_PID_INIT_INO in include/linux/proc_ns.h since Linux 3.8. It
// is not read from /proc/1/ns/pid: that may be forbidden even to root, and names
// another namespace when /proc is a container's own.
const initialPIDNamespace = 0xEFFFFFFC

// Read reads the facts. It fails when there is no boot id: without it, entity
// ids of this node cannot be told from those of another.
func Read(opts Options) (Facts, error) {
	proc := opts.Proc
	if proc == "" {
		proc = "/proc"
	}
	bootID := line(proc, "sys/kernel/random/boot_id")
	if bootID == "" {
		return Facts{}, fmt.Errorf("read facts of the host: no boot id in %s: mount the host's /proc there", filepath.Join(proc, "sys/kernel/random/boot_id"))
	}
	facts := Facts{
		BootID:       bootID,
		PIDNamespace: initialPIDNamespace,
		OS:           OS{Type: "linux", Kernel: strings.TrimSpace(line(proc, "sys/kernel/osrelease") + " " + line(proc, "sys/kernel/version"))},
	}
	own, _ := os.Readlink("/proc/self/ns/pid") // to know nothing of it is to be in the host's
	root, ours := rootOf(proc, own)
	// An error means that some facts are missing, and then they are empty.
	found, err := sysinfo.Host(sysinfo.WithHostFS(root))
	if errors.Is(err, types.ErrNotImplemented) || reflect.ValueOf(found).IsNil() {
		return Facts{}, fmt.Errorf("read facts of the host: %w", err)
	}
	facts.take(found.Info())
	if ours {
		facts.OS = OS{Type: facts.OS.Type, Kernel: facts.OS.Kernel}
		facts.MachineID = ""
	}
	if name := foreignName(proc, root); name != "" {
		facts.Hostname = name
	}
	return facts, nil
}

// rootOf finds the host's root directory: that of its first process or, where
// it may not be looked at, the one in which its /proc is mounted. ours tells,
// by our pid namespace, that it is a container's own, of the image that we run
// in: files there say nothing of the host.
func rootOf(proc, namespace string) (root string, ours bool) {
	root = filepath.Join(proc, "1/root")
	first, err := os.Stat(root + "/.")
	if err != nil {
		return filepath.Dir(proc), false
	}
	own, err := os.Stat("/")
	if err != nil || !os.SameFile(first, own) {
		return root, false
	}
	return "/", namespace != "" && namespace != fmt.Sprintf("pid:[%d]", initialPIDNamespace)
}

// foreignName is the host's name by its own file where the kernel would tell
// another one: every UTS namespace has its name.
func foreignName(proc, root string) string {
	first, err := os.Readlink(filepath.Join(proc, "1/ns/uts"))
	own, ownErr := os.Readlink("/proc/self/ns/uts")
	if err != nil || ownErr != nil || first == own {
		return ""
	}
	return line(root, "etc/hostname")
}

func (f *Facts) take(info types.HostInfo) {
	f.Hostname = info.Hostname
	f.MachineID = info.UniqueID
	f.Architecture = info.Architecture
	if info.OS != nil {
		f.OS.Family, f.OS.Platform = info.OS.Family, info.OS.Platform
		f.OS.Name, f.OS.Version, f.OS.Codename = info.OS.Name, info.OS.Version, info.OS.Codename
	}
	f.IPs = bareIPs(info.IPs)
	for _, mac := range info.MACs {
		f.MACs = append(f.MACs, strings.ToUpper(strings.ReplaceAll(mac, ":", "-")))
	}
}

// bareIPs drops prefix lengths and loopback, which names no host.
func bareIPs(prefixes []string) []string {
	var ips []string
	for _, p := range prefixes {
		prefix, err := netip.ParsePrefix(p)
		if err != nil || prefix.Addr().IsLoopback() {
			continue
		}
		ips = append(ips, prefix.Addr().String())
	}
	return ips
}

// line reads a file of one line; empty when it cannot be read.
func line(dir, name string) string {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
