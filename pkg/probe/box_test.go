// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/bypass"
	"github.com/elastic/cloud-defend/testing/progs/semantics"
)

// A box is a process with a cgroup and a root of its own, made by pivot_root
// as a container runtime does it, that performs the operations it is told.
type box struct {
	t      *testing.T
	cgroup uint64
	pid    int
	stdin  io.Writer
	stdout *bufio.Scanner
}

const (
	boxEnv    = "PROBE_TEST_BOX"
	childExit = 7
)

func TestMain(m *testing.M) {
	switch os.Getenv(boxEnv) {
	case "":
		if os.Args[0] == "cloud-defend" { // the self-test of a probe runs its own program, which shall not test in turn
			os.Exit(0)
		}
		if os.Getenv(bypass.StepEnv) != "" {
			os.Exit(bypass.Step(os.Args[1:]))
		}
		if os.Getenv(semantics.ActorEnv) != "" {
			os.Exit(semantics.Act(os.Args[1:]))
		}
		code := m.Run()
		if shared != nil {
			shared.Close()
		}
		os.Exit(code)
	case "outside":
		fmt.Fprintln(os.Stderr, enterBox())
	case "inside":
		serveBox()
	case "enforcer":
		serveEnforcer()
		os.Exit(0)
	case "elasticsearch":
		serveStandIn()
	case "child":
		os.Exit(childExit)
	}
	os.Exit(1)
}

// newBox starts a box; it ends with the test.
func newBox(t *testing.T, name string) *box {
	t.Helper()
	cgroup := filepath.Join("/sys/fs/cgroup", "box-"+name)
	require.NoError(t, os.MkdirAll(cgroup, 0o755))
	dir, err := os.Open(cgroup)
	require.NoError(t, err)
	defer dir.Close()
	info, err := dir.Stat()
	require.NoError(t, err)

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{boxEnv + "=outside"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS,
		UseCgroupFD: true,
		CgroupFD:    int(dir.Fd()),
		Pdeathsig:   unix.SIGKILL,
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	b := &box{t: t, cgroup: info.Sys().(*syscall.Stat_t).Ino, pid: cmd.Process.Pid,
		stdin: in, stdout: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.Remove(cgroup)
		if shared != nil {
			require.NoError(t, shared.Forget(info.Sys().(*syscall.Stat_t).Ino))
		}
	})
	b.stdout.Buffer(nil, 1<<20) // the results of many calls are one line
	require.Empty(t, b.do("ready"))
	return b
}

// runChild runs this program, by a path, in the cgroup of the test.
func runChild(t *testing.T, path string) {
	t.Helper()
	program := exec.Command(path)
	program.Env = []string{boxEnv + "=child"}
	require.Error(t, program.Run())
	require.Equal(t, childExit, program.ProcessState.ExitCode())
}

// do performs an operation in the box and returns the errno's name, or "".
func (b *box) do(args ...string) string {
	b.t.Helper()
	line, err := json.Marshal(args)
	require.NoError(b.t, err)
	_, err = fmt.Fprintf(b.stdin, "%s\n", line)
	require.NoError(b.t, err)
	require.True(b.t, b.stdout.Scan(), "box ended")
	return b.stdout.Text()
}

// enterBox makes a root out of a tmpfs, enters it and becomes its only
// program. It returns only when it fails.
func enterBox() error {
	root, err := os.MkdirTemp("/tmp", "box-")
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, d := range []string{"old", "etc", "usr/bin", "tmp", "proc", "volume"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "box"), self, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", filepath.Join(root, "volume"), "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := mountVolumes(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, filepath.Join(root, "old")); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Exec("/box", []string{"/box", "serve"}, []string{boxEnv + "=inside"})
}

// mountVolumes mounts what the container finds when it begins: a whole file system, folders of others, and an overlay.
func mountVolumes(root string) error {
	source := filepath.Join(root, "old")
	if err := os.MkdirAll(root+bypass.Volume, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root+bypass.Volume, "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, dir := range []string{bypass.Folder, bypass.Lost, bypass.Moved} {
		if err := errors.Join(
			os.MkdirAll(root+dir, 0o755),
			unix.Mount("tmpfs", source, "tmpfs", 0, ""),
			os.Mkdir(source+"/folder", 0o755),
			unix.Mount(source+"/folder", root+dir, "", unix.MS_BIND, ""),
			unix.Unmount(source, unix.MNT_DETACH)); err != nil {
			return err
		}
	}
	return errors.Join(
		os.MkdirAll(root+bypass.Overlay, 0o755),
		unix.Mount("tmpfs", source, "tmpfs", 0, ""),
		os.Mkdir(source+"/low", 0o755), os.Mkdir(source+"/up", 0o755), os.Mkdir(source+"/work", 0o755),
		unix.Mount("overlay", root+bypass.Overlay, "overlay", 0, fmt.Sprintf("lowerdir=%s/low,upperdir=%[1]s/up,workdir=%[1]s/work", source)),
		unix.Unmount(source, unix.MNT_DETACH))
}

func serveBox() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var args []string
		err := json.Unmarshal(in.Bytes(), &args)
		if err == nil && args[0] == "bypass" {
			if err = performBypass(args[1:]); err == nil {
				continue
			}
			fmt.Fprintln(os.Stderr, err)
		} else if err == nil && args[0] == "semantics" {
			text, err := performSemantics(args[1:])
			if err != nil {
				text = err.Error()
			}
			fmt.Println(text)
			continue
		} else if err == nil {
			err = perform(args)
		}
		name := ""
		if err != nil {
			name = unix.ErrnoName(toErrno(err))
		}
		fmt.Println(name)
	}
	os.Exit(0)
}

func toErrno(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EINVAL
}

func perform(args []string) error {
	arg := func(i int) string { return args[i] }
	open := func(flags int, mode uint32) error {
		fd, err := unix.Open(arg(1), flags, mode)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	switch args[0] {
	case "ready":
		return nil
	case "hex": // what JSON cannot carry
		raw := make([]string, len(args)-1)
		for i, digits := range args[1:] {
			text, err := hex.DecodeString(digits)
			if err != nil {
				return err
			}
			raw[i] = string(text)
		}
		return perform(raw)
	case "descend":
		return descend(arg(1), arg(2))
	case "exec-many":
		return execMany(args[1:])
	case "create":
		return open(unix.O_WRONLY|unix.O_CREAT, 0o644)
	case "create-executable":
		return open(unix.O_WRONLY|unix.O_CREAT, 0o755)
	case "mknod":
		return unix.Mknod(arg(1), unix.S_IFREG|0o644, 0)
	case "mkdir":
		return os.MkdirAll(arg(1), 0o755)
	case "read":
		return open(unix.O_RDONLY, 0)
	case "write":
		return open(unix.O_WRONLY, 0)
	case "rewrite":
		return open(unix.O_WRONLY|unix.O_TRUNC, 0)
	case "append":
		return open(unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644)
	case "truncate":
		return unix.Truncate(arg(1), 0)
	case "ftruncate":
		fd, err := unix.Open(arg(1), unix.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Ftruncate(fd, 1)
	case "chmod":
		return unix.Chmod(arg(1), 0o755)
	case "chown":
		return unix.Chown(arg(1), 1, 1)
	case "rename":
		return unix.Rename(arg(1), arg(2))
	case "symlink":
		return unix.Symlink(arg(1), arg(2))
	case "link":
		return unix.Link(arg(1), arg(2))
	case "unlink":
		return unix.Unlink(arg(1))
	case "chroot":
		return unix.Chroot(arg(1))
	case "chdir":
		return unix.Chdir(arg(1))
	case "cgroup":
		return os.WriteFile(arg(1), []byte("0"), 0o644)
	case "mount":
		return unix.Mount(arg(1), arg(2), arg(3), 0, arg(4))
	case "fill":
		return os.WriteFile(arg(1), []byte("content"), 0o644)
	case "exclusive":
		return open(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	case "read-or-create":
		return open(unix.O_RDONLY|unix.O_CREAT, 0o644)
	case "exchange":
		return unix.Renameat2(unix.AT_FDCWD, arg(1), unix.AT_FDCWD, arg(2), unix.RENAME_EXCHANGE)
	case "reopen-pipe":
		return reopenPipe()
	case "reopen-memfd":
		return withMemfd(nil, func(path string) error { args = []string{"", path}; return open(unix.O_RDWR, 0) })
	case "exec-memfd":
		self, err := os.ReadFile("/box")
		if err != nil {
			return err
		}
		return withMemfd(self, func(path string) error { return perform([]string{"exec", path}) })
	case "exec":
		pid, err := syscall.ForkExec(arg(1), append([]string{filepath.Base(arg(1))}, args[2:]...),
			&syscall.ProcAttr{Env: []string{boxEnv + "=child"}, Files: []uintptr{2, 2, 2}})
		if err != nil {
			return err
		}
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err
	}
	return fmt.Errorf("no operation %s", strings.Join(args, " "))
}

// descend makes a folder and enters it, so many times.
func descend(name, times string) error {
	n, err := strconv.Atoi(times)
	for range n {
		err = errors.Join(err, os.Mkdir(name, 0o755), os.Chdir(name))
	}
	return err
}

// execMany runs a program with an argument, a letter repeated, so many times, the
// program's own name among them.
func execMany(args []string) error {
	times, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_STACK, &unlimited); err != nil { // of which argv may have a part
		return err
	}
	var argv []string
	for range times {
		argv = append(argv, strings.Repeat(args[2], length))
	}
	pid, err := syscall.ForkExec(args[0], argv, &syscall.ProcAttr{Env: []string{boxEnv + "=child"}, Files: []uintptr{2, 2, 2}})
	if err != nil {
		return err
	}
	_, err = syscall.Wait4(pid, nil, 0, nil)
	return err
}

func reopenPipe() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	return perform([]string{"write", fmt.Sprintf("/proc/self/fd/%d", w.Fd())})
}

// withMemfd calls use with the name of an anonymous file of that content.
func withMemfd(content []byte, use func(path string) error) error {
	fd, err := unix.MemfdCreate("scratch", 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, content); err != nil {
		return err
	}
	return use(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// scopes are containers in which no user has a name.
func scopes(bits map[uint64]Bits) map[uint64]Scope {
	all := map[uint64]Scope{}
	for cgroup, b := range bits {
		all[cgroup] = Scope{Bits: b}
	}
	return all
}
