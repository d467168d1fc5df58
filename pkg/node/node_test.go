// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain is an enforcer when a test starts it as one: it tells what became of
// it and waits for its end.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NODE_TEST_LOCK"); dir != "" {
		enforce(dir)
		return
	}
	os.Exit(m.Run())
}

func enforce(dir string) {
	f, err := Open(dir)
	if err == nil {
		_, err = f.Lock("the other one")
	}
	fmt.Println(map[bool]string{true: "locked", false: "failed"}[err == nil])
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func open(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "node"))
	require.NoError(t, err)
	return f
}

func TestOpen(t *testing.T) {
	f := open(t)
	_, err := Open(f.path)
	require.NoError(t, err, "it is there already")

	require.NoError(t, os.Chmod(f.path, 0o770))
	_, err = Open(f.path)
	require.EqualError(t, err, "the node's folder "+f.path+" is not a folder that only this user can write to: remove it")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err = Open(link)
	require.ErrorContains(t, err, "is not a folder")
	_, err = Open(filepath.Join(link, "no", "such"))
	require.ErrorContains(t, err, "make the node's folder: ")
}

// There is one enforcer, and it is so until its process ends, however.
func TestLockBetweenProcesses(t *testing.T) {
	f := open(t)
	nobody, err := f.Enforcer()
	require.NoError(t, err)
	require.Nil(t, nobody)

	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), "NODE_TEST_LOCK="+f.path)
	stdin, err := other.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)

	_, err = f.Lock("we")
	var held *Held
	require.ErrorAs(t, err, &held)
	require.Equal(t, other.Process.Pid, held.By.PID)
	require.Regexp(t, `^this node is protected already by the other one \(process \d+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)$`, err.Error())
	who, err := f.Enforcer()
	require.NoError(t, err)
	require.Equal(t, "the other one", who.Name)

	require.NoError(t, other.Process.Kill())
	require.Error(t, other.Wait())
	l, err := f.Lock("we")
	require.NoError(t, err)
	who, err = f.Enforcer()
	require.NoError(t, err)
	require.Equal(t, []any{"we", os.Getpid()}, []any{who.Name, who.PID})
	l.Close()
	who, err = f.Enforcer()
	require.NoError(t, err)
	require.Nil(t, who, "what it wrote is still there")
}

// Many who want to be the enforcer, and many who only ask: one at a time is it.
func TestLockUnderContention(t *testing.T) {
	f := open(t)
	var inside, most, turns atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if _, err := f.Enforcer(); err != nil {
					t.Error(err)
				}
				l, err := f.Lock("x")
				if held := (*Held)(nil); errors.As(err, &held) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				turns.Add(1)
				inside.Add(-1)
				l.Close()
			}
		})
	}
	all.Wait()
	require.Equal(t, int32(1), most.Load())
	require.NotZero(t, turns.Load())
}

func TestOrders(t *testing.T) {
	f := open(t)
	o, err := f.Order()
	require.NoError(t, err)
	require.Nil(t, o)
	require.False(t, o.InForce(time.Now()))

	at := time.Date(2026, 11, 20, 3, 0, 0, 123, time.UTC)
	disarm := Order{Disarm: true, At: at, Until: at.Add(time.Hour), Reason: "rollout \"x\" → broken", UserID: 1000, User: "jane"}
	require.NoError(t, f.Give(disarm))
	o, err = f.Order()
	require.NoError(t, err)
	require.Equal(t, &disarm, o)
	require.True(t, o.InForce(at))
	require.True(t, o.InForce(at.Add(time.Hour-1)))
	require.False(t, o.InForce(at.Add(time.Hour)), "its time is over")
	require.False(t, o.InForce(at.Add(-Longest)), "the clock was wrong")

	require.NoError(t, f.Give(Order{At: at.Add(time.Minute)}))
	armed, err := f.Order()
	require.NoError(t, err)
	require.False(t, armed.InForce(at.Add(2*time.Minute)))
	require.NotEqual(t, o.ID(), armed.ID())

	require.ErrorContains(t, f.Give(Order{Reason: strings.Repeat("x", entryMax)}), "more than the 4095 that fit")
	require.NoError(t, os.Remove(filepath.Join(f.path, brakeEntry)))
	require.NoError(t, os.Symlink("{", filepath.Join(f.path, brakeEntry)))
	_, err = f.Order()
	require.ErrorContains(t, err, "read the node's brake: "+filepath.Join(f.path, brakeEntry))
}

// Whoever gave an order sees when it is carried out.
func TestObey(t *testing.T) {
	f := open(t)
	l, err := f.Lock("we")
	require.NoError(t, err)
	defer l.Close()
	o := Order{Disarm: true, At: time.Now()}
	require.NoError(t, l.Obey(&o))
	who, err := f.Enforcer()
	require.NoError(t, err)
	require.Equal(t, o.ID(), who.Obeys)
	require.NoError(t, os.RemoveAll(f.path))
	require.NoError(t, l.Obey(&o), "nothing new to tell")
	require.ErrorContains(t, l.Obey(nil), "tell that an order was carried out: ")
}
