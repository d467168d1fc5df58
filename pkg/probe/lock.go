// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Busy says that another process enforces on this node. There is one at a time.
type Busy struct {
	PID int // 0: in a pid namespace that this process does not see
}

func (b *Busy) Error() string {
	who := "another process"
	if b.PID != 0 {
		who = fmt.Sprintf("process %d", b.PID)
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b.PID)); err == nil {
			who += " (" + strings.TrimSpace(string(comm)) + ")"
		}
	}
	return who + " enforces on this node"
}

// lock is held on a folder as long as it is open, and no longer than the
// process lives.
type lock struct{ dir *os.File }

// lockFolder waits for whoever holds the lock, but not for ever.
func lockFolder(dir string, wait time.Duration) (*lock, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &lock{f}, nil
		}
		if err != unix.EWOULDBLOCK {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if time.Since(begin) >= wait {
			defer f.Close()
			return nil, &Busy{PID: holder(f)}
		}
	}
}

// holder finds who holds the lock on a file; 0 where the kernel does not say.
func holder(f *os.File) int {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	locks, err := os.ReadFile(filepath.Join("/proc", "locks"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK ADVISORY WRITE 1234 00:1b:5678 0 EOF
		words := strings.Fields(line)
		if len(words) > 5 && words[1] == "FLOCK" && words[5] == file {
			pid, _ := strconv.Atoi(words[4])
			return max(0, pid)
		}
	}
	return 0
}

func (l *lock) close() { _ = l.dir.Close() }
