// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package shelf keeps what tests printed that passed, each under a key that stands for all that decided it. Who finds
// the key again need not run the test again.
package shelf

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// What is kept at most. What was used last stays longest.
const (
	maxAge   = 30 * 24 * time.Hour // since it was used
	maxBytes = 256 << 20
)

// Shelf is a folder of records. Several processes may use one. A nil Shelf has none and keeps none.
type Shelf struct {
	dir string
	// fresh: what is kept is not to be found, only replaced.
	fresh bool
}

// Record is what was kept.
type Record struct {
	// When is the end of the run.
	When   time.Time
	Output []byte
}

// Day says when, for a person.
func (r Record) Day() string { return r.When.Local().Format("2006-01-02 15:04") }

// Open opens the shelf in the folder dir, which it makes. It removes what has not been used for long. A fresh one finds
// nothing.
func Open(dir string, fresh bool) (*Shelf, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return &Shelf{dir, fresh}, tidy(dir, maxBytes)
}

// Find returns what was kept under the key. What cannot be read is as good as not there.
func (s *Shelf) Find(key string) (Record, bool) {
	if s == nil || s.fresh {
		return Record{}, false
	}
	path := filepath.Join(s.dir, key)
	text, err := os.ReadFile(path)
	if err != nil {
		return Record{}, false
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // it was used; otherwise it only goes sooner
	return r, true
}

// Keep keeps a record under the key, in place of an older one.
func (s *Shelf) Keep(key string, r Record) error {
	if s == nil {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, key))
}

// tidy removes the files that were not used for long, and as many more as it takes to have so many bytes at most.
func tidy(dir string, most int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else another process has removed it
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var bytes int64
	for _, f := range files {
		bytes += f.Size()
		if bytes <= most && time.Since(f.ModTime()) < maxAge {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
