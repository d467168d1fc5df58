// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package node

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	enforcerEntry = "enforcer"
	// lockTime is how long Lock tries: who only asks holds the lock for moments.
	lockTime = 200 * time.Millisecond
)

// Enforcer is the process that enforces on this node.
type Enforcer struct {
	// PID is that of its own pid namespace.
	PID int `json:"pid"`
	// Name says what it is to a person.
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	// Obeys is the id of the order that it has carried out last.
	Obeys string `json:"obeys,omitempty"`
}

func (e Enforcer) String() string {
	return fmt.Sprintf("%s (process %d, since %s)", e.Name, e.PID, e.Since.UTC().Format(time.DateTime+" UTC"))
}

// Held says that another process is the enforcer.
type Held struct {
	// By is nil where that is not known.
	By *Enforcer
}

func (h *Held) Error() string {
	if h.By == nil {
		return "another process protects this node already"
	}
	return "this node is protected already by " + h.By.String()
}

// Lock makes its holder the enforcer. It ends with the process.
type Lock struct {
	folder *Folder
	dir    *os.File
	self   Enforcer
}

// Lock makes this process the enforcer. The error is a *Held where another one is.
func (f *Folder) Lock(name string) (*Lock, error) {
	dir, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("lock the node: %w", err)
	}
	for began := time.Now(); ; time.Sleep(lockTime / 20) {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > lockTime {
			break
		}
	}
	l := &Lock{f, dir, Enforcer{PID: os.Getpid(), Name: name, Since: time.Now()}}
	if err == nil {
		err = l.tell()
	}
	if err != nil {
		dir.Close() //nolint:errcheck // it was not written to
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &Held{f.lastEnforcer()}
		}
		return nil, fmt.Errorf("lock the node: %w", err)
	}
	return l, nil
}

func (l *Lock) tell() error { return l.folder.put(enforcerEntry, l.self) }

// Obey tells the others which order was carried out. A zero Lock tells nobody.
func (l *Lock) Obey(o *Order) error {
	if l.folder == nil || o.ID() == l.self.Obeys {
		return nil
	}
	l.self.Obeys = o.ID()
	if err := l.tell(); err != nil {
		return fmt.Errorf("tell that an order was carried out: %w", err)
	}
	return nil
}

// Close lets another process be the enforcer.
func (l *Lock) Close() {
	if l.dir != nil {
		l.dir.Close() //nolint:errcheck // it was not written to
	}
}

// Enforcer is who enforces now; nil for nobody.
func (f *Folder) Enforcer() (*Enforcer, error) {
	dir, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("look for the enforcer: %w", err)
	}
	defer dir.Close()
	switch err := unix.Flock(int(dir.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case err == nil:
		return nil, nil //nolint:nilnil // nobody is there, and nothing is wrong with that
	case !errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("look for the enforcer: %w", err)
	}
	if last := f.lastEnforcer(); last != nil {
		return last, nil
	}
	return &Enforcer{Name: "another process"}, nil
}

// lastEnforcer is who took the lock last. Who has it writes that at once.
func (f *Folder) lastEnforcer() *Enforcer {
	var e Enforcer
	if found, err := f.get(enforcerEntry, &e); err != nil || !found {
		return nil
	}
	return &e
}
