// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// files is the content of proc and sys; an empty name is left out.
type files map[string]string

// node is a Debian machine with everything in place.
func node() files {
	return files{
		"proc/sys/kernel/osrelease":        "6.1.0-56-cloud-amd64\n",
		"proc/sys/kernel/arch":             "x86_64\n",
		"sys/kernel/btf/vmlinux":           "\x9f\xeb\x00security_path_mknod\x00bpf_lsm_path_mknod\x00",
		"sys/kernel/security/lsm":          "lockdown,capability,landlock,yama,apparmor,bpf",
		"sys/kernel/security/lockdown":     "[none] integrity confidentiality\n",
		"sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
		"proc/self/status":                 "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n",
		"proc/self/uid_map":                "         0          0 4294967295\n",
		"proc/self/attr/current":           "unconfined\n",
		"proc/self/limits":                 "Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         8388608              8388608              bytes     \nMax address space         unlimited            unlimited            bytes\n",
		"proc/self/cgroup":                 "0::/user.slice/session-1.scope\n",
		"proc/self/mountinfo": "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n" +
			"30 23 0:7 / /sys/kernel/security rw,nosuid shared:7 - securityfs securityfs rw\n" +
			"31 23 0:8 / /sys/fs/bpf rw,nosuid shared:9 master:1 - bpf bpf rw,mode=700\n",
	}
}

func (f files) with(other files) files {
	maps.Copy(f, other)
	return f
}

func (f files) without(names ...string) files {
	for _, name := range names {
		delete(f, name)
	}
	return f
}

// write makes the files in a directory of its own, so that every path in the
// report is the same on every machine.
func (f files) write(t *testing.T) (root string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range f {
		file := filepath.Join("host", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	return "host"
}

var errNoSyscall = errors.New("lsm_list_modules: function not implemented")

// examine runs the doctor on such a node. Nothing of this machine is read.
func examine(t *testing.T, f files, trial Trial) Report {
	t.Helper()
	return Examine(t.Context(), Options{
		Root:            f.write(t),
		Sockets:         []string{"/nonexistent/containerd.sock"},
		Try:             func(context.Context) Trial { return trial },
		SecurityModules: func() ([]string, error) { return nil, errNoSyscall },
	})
}

func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	require.FailNow(t, "no such check", name)
	return Check{}
}

var blocks = Trial{Ability: BlockLSM}

func TestTables(t *testing.T) {
	cases := map[string]struct {
		files files
		trial Trial
		exit  int
	}{
		"all-there": {node(), blocks, 0},
		"no-bpf-in-list": {
			node().with(files{
				"proc/sys/kernel/osrelease": "5.10.0-46-cloud-amd64\n",
				"sys/kernel/security/lsm":   "lockdown,capability,yama,apparmor",
			}).without("proc/sys/kernel/arch"),
			Trial{Ability: BlockFmodRet},
			0,
		},
		"locked-down": {
			node().with(files{"sys/kernel/security/lockdown": "none integrity [confidentiality]\n"}),
			Trial{Ability: Observe, Err: errors.New("attach lsm/file_open: operation not permitted"), Remedy: "boot without lockdown=confidentiality"},
			3,
		},
		"unprivileged-container": {
			node().with(files{
				"proc/self/status":         "CapEff:\t00000000a80425fb\n",
				"proc/self/attr/current":   "docker-default (enforce)\n",
				"proc/self/cgroup":         "0::/\n",
				"sys/fs/cgroup/memory.max": "67108864\n",
				"proc/self/mountinfo":      "23 27 0:22 / /sys ro - sysfs sysfs ro\n",
				"proc/self/uid_map":        "         0     100000      65536\n",
			}).without("sys/kernel/security/lsm", "sys/kernel/security/lockdown"),
			Trial{Ability: Neither, Err: errors.New("load programs: operation not permitted")},
			4,
		},
		"bare-kernel": {
			node().with(files{
				"proc/sys/kernel/osrelease": "4.19.0\n",
				"proc/kallsyms":             "0000000000000000 T vfs_read\n",
			}).without("sys/kernel/btf/vmlinux", "sys/fs/cgroup/cgroup.controllers", "sys/kernel/security/lockdown"),
			Trial{Ability: Neither, Err: errors.New("load kernel types: not found")},
			4,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			golden, err := filepath.Abs(filepath.Join("testdata", name+".txt"))
			require.NoError(t, err)
			r := examine(t, tc.files, tc.trial)
			require.Equal(t, tc.exit, r.Verdict.ExitCode())
			var table bytes.Buffer
			require.NoError(t, r.WriteTable(&table))
			for line := range strings.Lines(table.String()) {
				require.LessOrEqual(t, utf8.RuneCountInString(line), Width+1, line)
			}
			if *update {
				require.NoError(t, os.WriteFile(golden, table.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(string(want), table.String()))
		})
	}
	written, err := filepath.Glob("testdata/*")
	require.NoError(t, err)
	require.Len(t, written, len(cases), "each golden file belongs to a case")
}

func TestJSON(t *testing.T) {
	r := examine(t, node(), Trial{Ability: Observe, Err: errors.New("no <trampolines>")})
	var text bytes.Buffer
	require.NoError(t, r.WriteJSON(&text))
	require.Contains(t, text.String(), "no <trampolines>")
	var back Report
	require.NoError(t, json.Unmarshal(text.Bytes(), &back))
	require.Empty(t, cmp.Diff(r, back))
	require.Equal(t, "can only observe: see trial", back.Verdict.Text)
	processes := examine(t, node(), Trial{Ability: Processes})
	require.Equal(t, "can only observe, and nothing but processes: see trial", processes.Verdict.Text)
	require.Contains(t, find(t, processes, "trial").Found, "no operations on files")
}

func TestChecks(t *testing.T) {
	securityfs := "sys/kernel/security/lsm"
	for name, tc := range map[string]struct {
		files files
		check string
		state State
		found string // part of it
		fix   string // part of the remedy
	}{
		"capabilities of root":        {node(), "capabilities", OK, "BPF PERFMON SYS_ADMIN SYS_RESOURCE DAC_READ_SEARCH SYS_PTRACE", ""},
		"SYS_ADMIN stands for BPF":    {node().with(files{"proc/self/status": "CapEff:\t0000000000200000\n"}), "capabilities", Note, "SYS_ADMIN", "grant SYS_RESOURCE, DAC_READ_SEARCH, SYS_PTRACE (capabilities.add"},
		"BPF without PERFMON":         {node().with(files{"proc/self/status": "CapEff:\t0000008000000000\n"}), "capabilities", Missing, "BPF", "PERFMON"},
		"no capability":               {node().with(files{"proc/self/status": "CapEff:\t0000000000000000\n"}), "capabilities", Missing, "none of those", "BPF, PERFMON"},
		"garbage capabilities":        {node().with(files{"proc/self/status": "CapEff:\txyz\n"}), "capabilities", Unknown, "invalid syntax", ""},
		"no capabilities":             {node().with(files{"proc/self/status": "Name:\tx\n"}), "capabilities", Unknown, "no CapEff", ""},
		"locked memory, unprivileged": {node().with(files{"proc/self/status": "CapEff:\t0000000000000000\n"}), "locked memory", Note, "limit 8.0 MiB", "ulimit -l unlimited"},
		"locked memory, unlimited":    {node().with(files{"proc/self/limits": "Max locked memory         unlimited            unlimited            bytes\n"}), "locked memory", OK, "no limit", ""},
		"another list":                {node().with(files{securityfs: "capability"}), "BPF LSM", Note, "not active, only capability", "lsm=capability,bpf"},
		"a module like bpf":           {node().with(files{securityfs: "capability,bpfx"}), "BPF LSM", Note, "not active", "lsm=capability,bpfx,bpf"},
		"no list":                     {node().without(securityfs), "BPF LSM", Unknown, "cannot be read", mountSecurityfs},
		"integrity":                   {node().with(files{"sys/kernel/security/lockdown": "none [integrity] confidentiality"}), "lockdown", Note, "integrity", "without Secure Boot"},
		"confidentiality":             {node().with(files{"sys/kernel/security/lockdown": "none integrity [confidentiality]"}), "lockdown", Missing, "must not read", "lockdown=integrity"},
		"no lockdown module":          {node().without("sys/kernel/security/lockdown"), "lockdown", OK, "built without", ""},
		"lockdown not readable":       {node().without("sys/kernel/security/lockdown").with(files{"proc/self/mountinfo": ""}), "lockdown", Unknown, "not mounted", mountSecurityfs},
		"symbols from kallsyms":       {node().without("sys/kernel/btf/vmlinux").with(files{"proc/kallsyms": "0 T security_path_mknod\n0 T bpf_lsm_path_mknod\n"}), "hooks", OK, "built in", ""},
		"without BPF LSM":             {node().with(files{"sys/kernel/btf/vmlinux": "\x00security_path_mknod\x00"}), "hooks", Note, "without BPF LSM", "CONFIG_BPF_LSM=y"},
		"a longer symbol":             {node().with(files{"sys/kernel/btf/vmlinux": "\x00security_path_mknod_x\x00bpf_lsm_path_mknod\x00"}), "hooks", Missing, "CONFIG_SECURITY_PATH", "CONFIG_SECURITY_PATH=y"},
		"no symbols":                  {node().without("sys/kernel/btf/vmlinux"), "hooks", Unknown, "kallsyms", ""},
		"no BTF":                      {node().without("sys/kernel/btf/vmlinux"), "BTF", Missing, "btf/vmlinux", "CONFIG_DEBUG_INFO_BTF=y"},
		"oldest kernel":               {node().with(files{"proc/sys/kernel/osrelease": "5.10.0"}), "kernel", OK, "5.10.0, x86_64", ""},
		"too old a kernel":            {node().with(files{"proc/sys/kernel/osrelease": "5.9.16"}), "kernel", Missing, "5.9.16", "5.10 or newer"},
		"a release of its own":        {node().with(files{"proc/sys/kernel/osrelease": "custom"}), "kernel", OK, "custom", ""},
		"newer major":                 {node().with(files{"proc/sys/kernel/osrelease": "7.0-rc1"}), "kernel", OK, "7.0-rc1", ""},
		"no proc":                     {node().without("proc/sys/kernel/osrelease"), "kernel", Missing, "osrelease", "mount -t proc"},
		"unconfined by NUL":           {node().with(files{"proc/self/attr/current": "unconfined\x00"}), "confinement", OK, "unconfined", ""},
		"SELinux":                     {node().with(files{"proc/self/attr/current": "system_u:system_r:container_t:s0:c1,c2\x00"}), "confinement", Note, "container_t:s0:c1,c2", "privileged"},
		"AppArmor's own file":         {node().with(files{"proc/self/attr/apparmor/current": "cri-containerd.apparmor.d (enforce)"}), "confinement", Note, "cri-containerd.apparmor.d (enforce)", "apparmor=unconfined"},
		"no module with profiles":     {node().without("proc/self/attr/current"), "confinement", OK, "none", ""},
		"rootless":                    {node().with(files{"proc/self/uid_map": "0 1000 1\n"}), "user namespace", Missing, "0 1000 1", "rootless"},
		"no user namespaces":          {node().without("proc/self/uid_map"), "user namespace", OK, "initial", ""},
		"limit of a parent": {node().with(files{
			"sys/fs/cgroup/user.slice/memory.max":                 "104857600\n",
			"sys/fs/cgroup/user.slice/session-1.scope/memory.max": "max\n",
		}), "memory limit", Note, "100.0 MiB", "at least 128.0 MiB"},
		"own limit": {node().with(files{
			"sys/fs/cgroup/user.slice/memory.max":                 "max\n",
			"sys/fs/cgroup/user.slice/session-1.scope/memory.max": "2147483648\n",
		}), "memory limit", OK, "2.0 GiB", ""},
		"limit in version 1":    {versionOne().with(files{"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "67108864\n"}), "memory limit", Note, "64.0 MiB", "at least"},
		"no limit in version 1": {versionOne(), "memory limit", OK, "none", ""},
		"limit unknown":         {node().without("proc/self/cgroup"), "memory limit", Unknown, "cgroup", ""},
		"version 2":             {node(), "cgroups", OK, "version 2", ""},
		"version 1":             {versionOne(), "cgroups", OK, "version 1, containers by controller pids", ""},
		"hybrid":                {versionOne().with(files{"sys/fs/cgroup/unified/cgroup.controllers": ""}), "cgroups", OK, "hybrid", ""},
		"no cgroups":            {node().without("sys/fs/cgroup/cgroup.controllers"), "cgroups", Missing, "neither", "mount -t cgroup2"},
		"bpffs":                 {node(), "bpffs", OK, "/sys/fs/bpf", ""},
		"bpffs elsewhere":       {node().with(files{"proc/self/mountinfo": "31 23 0:8 / /mnt rw - bpf bpf rw\n"}), "bpffs", Note, "not mounted", "mount -t bpf bpf /sys/fs/bpf"},
		"no runtime":            {node(), "container runtime", Note, "no socket", "--cri-socket"},
	} {
		t.Run(name, func(t *testing.T) {
			got := find(t, examine(t, tc.files, Trial{Ability: Observe}), tc.check)
			require.Equal(t, tc.state, got.State, got)
			require.Contains(t, got.Found, tc.found)
			require.NotContains(t, got.Found, "\x00")
			require.Contains(t, got.Remedy, tc.fix)
			require.Equal(t, tc.fix == "", got.Remedy == "", "remedy: %q", got.Remedy)
		})
	}
}

func versionOne() files {
	return node().without("sys/fs/cgroup/cgroup.controllers").with(files{
		"proc/self/cgroup":                               "8:pids:/a\n4:memory:/a/b\n0::/\n",
		"sys/fs/cgroup/pids/cgroup.procs":                "",
		"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
		"sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "9223372036854771712\n",
		"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
	})
}

func TestSecurityModulesFromTheKernel(t *testing.T) {
	root := node().without("sys/kernel/security/lsm").write(t)
	r := Examine(t.Context(), Options{
		Root: root, Sockets: []string{}, Try: func(context.Context) Trial { return blocks },
		SecurityModules: func() ([]string, error) { return []string{"capability", "bpf"}, nil },
	})
	c := find(t, r, "BPF LSM")
	require.Equal(t, OK, c.State)
	require.Equal(t, "active: capability,bpf", c.Found)
}

func TestARuntimeThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	require.NoError(t, os.WriteFile(socket, nil, 0o600))
	c := runtimeCheck(t.Context(), []string{socket})
	require.Equal(t, Missing, c.State)
	require.Contains(t, c.Found, socket)
	require.NotEmpty(t, c.Remedy)
}

func TestExamineThisMachine(t *testing.T) {
	r := Examine(t.Context(), Options{Sockets: []string{}, Try: func(context.Context) Trial { return Trial{Ability: Neither} }})
	require.Equal(t, 4, r.Verdict.ExitCode())
	require.Equal(t, OK, find(t, r, "kernel").State)
	require.NotEmpty(t, find(t, r, "capabilities").Found)
}

func TestTheTrialClearsSuspects(t *testing.T) {
	suspicious := node().with(files{
		"sys/kernel/security/lockdown": "none [integrity] confidentiality",
		"sys/kernel/security/lsm":      "capability",
		"sys/kernel/btf/vmlinux":       "\x00security_path_mknod\x00",
		"proc/self/attr/current":       "docker-default (enforce)",
		"proc/self/limits":             "Max locked memory 65536 65536 bytes\n",
		"proc/self/status":             "CapEff:\t0000000000200000\n",
	})
	suspects := []string{"lockdown", "BPF LSM", "hooks", "confinement", "locked memory"}
	for ability, want := range map[Ability]State{BlockFmodRet: OK, BlockLSM: OK, Observe: Note, Processes: Note, Neither: Note} {
		r := examine(t, suspicious, Trial{Ability: ability})
		for _, name := range suspects {
			c := find(t, r, name)
			require.Equal(t, want, c.State, "%s when %s", name, ability)
			require.Equal(t, want == OK, c.Remedy == "", "%s when %s", name, ability)
		}
	}
}
