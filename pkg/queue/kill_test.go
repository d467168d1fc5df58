// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	writerEnv = "CLOUD_DEFEND_TEST_WRITER"
	receives  = 200
)

var kills = flag.Int("kills", 10, "how many times TestKilledAtAnyTime kills in each mode")

// TestMain is also the program that gets killed; see TestKilledAtAnyTime.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := writer(dir, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writer pushes documents without end and says of each push that it returned.
// A receiver beside it delivers some to a file, as a server would store them,
// says so after Settle, and hands some back.
func writer(dir, turn string) error {
	q, err := Open(killOptions(dir))
	if err != nil {
		return err
	}
	go q.Run(context.Background())
	stored, err := os.OpenFile(filepath.Join(dir, "stored"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	go receive(q, stored)
	for i := 0; ; i++ {
		batch := make([]Doc, 1+i%70)
		for j := range batch {
			lane := Logs
			if i%10 == 0 && j%3 == 0 {
				lane = Alerts
			}
			id := fmt.Sprintf("%s-%s-%d-%d", lane, turn, i, j)
			batch[j] = Doc{Lane: lane, Index: "i", ID: id, JSON: []byte(strings.Repeat(id, 40))}
		}
		if err := q.Push(context.Background(), batch); err != nil {
			return err
		}
		line := "pushed"
		for _, d := range batch {
			line += " " + d.ID
		}
		if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
			return err
		}
	}
}

// whole ends the id of a document that was stored: a kill can cut a write short, and the next one goes on behind it.
const whole = "."

// storedIDs are those that were stored in a folder, each as often as it was.
func storedIDs(t *testing.T, dir string) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "stored"))
	require.NoError(t, err)
	for _, word := range strings.Fields(string(text)) {
		if id, is := strings.CutSuffix(word, whole); is {
			ids = append(ids, id)
		}
	}
	return ids
}

func receive(q *Queue, stored io.StringWriter) {
	for n := 0; ; n++ {
		b, err := q.Next(context.Background(), Want{Docs: receives, Bytes: 1 << 20})
		if err != nil {
			return
		}
		all, lines := make([]Outcome, len(b.Docs)), "\n"
		for i, d := range b.Docs {
			if (i+n)%4 > 0 {
				all[i] = Delivered
				lines += d.ID + whole + "\n"
			}
		}
		if _, err := stored.WriteString(lines); err != nil {
			return
		}
		q.Settle(b, all)
		time.Sleep(time.Millisecond)
	}
}

func killOptions(dir string) Options {
	return Options{
		Dir: filepath.Join(dir, "spool"), MemoryBytes: 64 << 10, SpillAfter: 20 * time.Millisecond,
		WriteThrough: filepath.Base(dir) == "through",
	}
}

// killed runs the writer and kills it. It returns what it said.
func killed(t *testing.T, dir string, turn int, after time.Duration) (pushed []string) {
	t.Helper()
	return interrupted(t, dir, turn, func() { time.Sleep(after) })
}

// interrupted is killed, as soon as meanwhile is over.
func interrupted(t *testing.T, dir string, turn int, meanwhile func()) (pushed []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], strconv.Itoa(turn))
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	var began sync.Once
	for scanner.Scan() {
		began.Do(func() {
			go func() {
				meanwhile()
				cmd.Process.Kill() //nolint:errcheck // Wait tells
			}()
		})
		line, is := strings.CutPrefix(scanner.Text(), "pushed ")
		require.True(t, is, scanner.Text())
		pushed = append(pushed, strings.Fields(line)...)
	}
	require.ErrorContains(t, cmd.Wait(), "killed")
	return pushed
}

// A writer under load is killed again and again. Every document that was pushed
// is delivered, queued or counted as lost; no alert is lost; and with
// WriteThrough nothing is.
func TestKilledAtAnyTime(t *testing.T) {
	for _, mode := range []string{"default", "through"} {
		t.Run(mode, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), mode)
			require.NoError(t, os.MkdirAll(dir, 0o700))
			rng := rand.New(rand.NewPCG(5, 6))
			var pushed []string
			for turn := range *kills {
				pushed = append(pushed, killed(t, dir, turn, time.Duration(rng.IntN(60))*time.Millisecond)...)
			}
			q := open(t, killOptions(dir))
			s := requireBalance(t, q)
			queued := drain(t, q)
			stored := storedIDs(t, dir)
			have := map[string]bool{}
			for _, id := range append(slices.Clone(stored), queued...) {
				have[id] = true
			}
			missing := map[string]int{}
			for _, id := range pushed {
				if !have[id] {
					missing[id[:4]]++
				}
			}
			accepted := s.Lanes[Logs].Accepted + s.Lanes[Alerts].Accepted
			t.Logf("pushed %d, accepted %d, delivered and queued %d, lost %d, missing %v, sent again %d, damaged %d",
				len(pushed), accepted, len(have), s.Lost(), missing, len(stored)+len(queued)-len(have), s.Damaged)
			require.Zero(t, missing["aler"])
			require.Zero(t, s.Lanes[Alerts].Counts.Lost())
			require.GreaterOrEqual(t, accepted, uint64(len(pushed)))
			if mode == "through" {
				require.Empty(t, missing)
				require.Zero(t, s.Lost())
				require.Len(t, have, int(accepted), "accepted = delivered + queued")
				return
			}
			// A log that was stored and not settled when the kill came counts as lost.
			require.GreaterOrEqual(t, uint64(len(have))+s.Lost(), accepted)
			require.GreaterOrEqual(t, s.Lost(), uint64(missing["logs"]))
			require.LessOrEqual(t, s.Lost(), uint64(missing["logs"]+*kills*(receives+70)))
		})
	}
}

// An upgrade copies the folder while its owner writes, then ends the owner. The
// copy, torn as it is, and the original together hold all that was pushed.
func TestUpgradeCopiesWhileWeWrite(t *testing.T) {
	for turn := range 5 {
		top := t.TempDir()
		old, fresh := filepath.Join(top, "old", "through"), filepath.Join(top, "new", "through")
		require.NoError(t, os.MkdirAll(old, 0o700))
		pushed := interrupted(t, old, turn, func() {
			time.Sleep(30 * time.Millisecond)
			copyTorn(t, filepath.Join(old, "spool"), filepath.Join(fresh, "spool"), turn)
			time.Sleep(30 * time.Millisecond)
		})
		q := open(t, killOptions(fresh))
		s := requireBalance(t, q)
		require.Zero(t, s.Lost(), "what a copy lacks is counted where it was")
		require.NoError(t, q.Adopt(t.Context(), filepath.Join(old, "spool")))
		s = requireBalance(t, q)
		require.Zero(t, s.Lost())
		have := map[string]bool{}
		for _, id := range append(storedIDs(t, old), drain(t, q)...) {
			have[id] = true
		}
		for _, id := range pushed {
			require.True(t, have[id], id)
		}
		t.Logf("pushed %d, in the copy %d, adopted %d, damaged %d", len(pushed), s.Lanes[0].Accepted+s.Lanes[1].Accepted-s.Adopted, s.Adopted, s.Damaged)
	}
}

// copyTorn copies a folder file by file, and cuts the last segments short.
func copyTorn(t *testing.T, from, to string, cut int) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // gone meanwhile, as it may be
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile, as it may be
		}
		if d.Name() != stateName {
			b = b[:max(0, len(b)-cut*997)]
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Error(err)
	}
}
