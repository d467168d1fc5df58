// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
)

// errands have the kernel write on its own.
var errands = []Technique{
	{Name: "crash, for the kernel to dump core", As: "createFile", do: func(p *place) error {
		image := program.Image()
		clear(image[program.Entry:]) // a write to address 0, or an undefined instruction
		if err := os.WriteFile(p.free+"/crash", image, 0o755); err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
			return err
		}
		pid, err := syscall.ForkExec(p.free+"/crash", []string{"crash"}, &syscall.ProcAttr{Dir: p.guard})
		if err != nil {
			return err
		}
		_, killed := program.Wait(pid)
		if cores, err := filepath.Glob(p.guard + "/core*"); err != nil || len(cores) == 0 {
			return killed // nobody is told why there is none
		}
		return nil
	}},
	{Name: "acct, for the kernel to append", As: "modifyFile", do: func(p *place) error {
		if err := unix.Acct(p.file); err != nil {
			return err
		}
		if err := os.WriteFile(p.free+"/program", program.Image(), 0o755); err != nil {
			return err
		}
		err := program.Spawn(p.free + "/program")
		if _, _, errno := unix.Syscall(unix.SYS_ACCT, 0, 0, 0); errno != 0 {
			return errno
		}
		return err
	}},
}
