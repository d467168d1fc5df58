// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// A lane's segments lie in folders named LANE-N, one for each time that writing
// began: no folder is written to that somebody else may have cut or copied. A
// segment is a file of Prometheus' write-ahead log and is removed when all its
// documents are settled.
const (
	// segmentBytes is the most at which a segment is left. The log must never
	// leave one by itself, so it is told of four times that.
	segmentBytes = 8 << 20
	logBytes     = 4 * segmentBytes
)

// segment is one file of the spool.
type segment struct {
	path  string
	bytes int64
	// unread are the numbers of documents that are on it, not settled, and
	// not in memory.
	unread spans
	live   int  // documents on it that are not settled
	open   bool // still written to
}

// remove deletes the file, and its folder after the last one.
func (s *segment) remove() {
	os.Remove(s.path) //nolint:errcheck // a file that stays is found settled at the next start
	if !s.open {
		os.Remove(filepath.Dir(s.path)) //nolint:errcheck // fails while it holds others
	}
}

// appender writes a lane's newest segment.
type appender struct {
	log  *wlog.WL
	dir  string
	file *os.File // the segment, for its size and to sync it
	seg  *segment
	recs [][]byte
	buf  []byte
}

func newAppender(dir string) (*appender, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the spool's folder: %w", err)
	}
	log, err := wlog.NewSize(nil, nil, dir, logBytes, compression.Snappy)
	if err != nil {
		return nil, fmt.Errorf("begin a segment: %w", err)
	}
	a := &appender{log: log, dir: dir}
	if err := a.opened(0); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return a, nil
}

// opened takes note of the segment that the log began.
func (a *appender) opened(index int) error {
	path := wlog.SegmentName(a.dir, index)
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	left := a.file
	if left != nil {
		a.seg.open = false
	}
	a.file, a.seg = file, &segment{path: path, open: true}
	if left == nil {
		return nil
	}
	return left.Close()
}

// write appends documents whose numbers begin with first.
func (a *appender) write(first uint64, docs []Doc) error {
	a.recs, a.buf = a.recs[:0], a.buf[:0]
	for len(docs) > 0 {
		n, size := 1, docs[0].size()
		for n < min(len(docs), recordDocs) && size+docs[n].size() <= recordBytes {
			size += docs[n].size()
			n++
		}
		start := len(a.buf)
		a.buf = slices.Grow(a.buf, int(size))
		a.buf = appendRecord(a.buf, first, docs[:n])
		a.recs = append(a.recs, a.buf[start:])
		docs, first = docs[n:], first+uint64(n)
	}
	if err := a.log.Log(a.recs...); err != nil {
		return fmt.Errorf("write to the spool: %w", err)
	}
	info, err := a.file.Stat()
	if err != nil {
		return fmt.Errorf("write to the spool: %w", err)
	}
	a.seg.bytes = info.Size()
	return nil
}

// roll leaves the segment for a new one. With sync it is on disk then;
// otherwise the log sees to that soon.
func (a *appender) roll(sync bool) error {
	next := a.log.NextSegment
	if sync {
		next = a.log.NextSegmentSync
	}
	index, err := next()
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	return a.opened(index)
}

// syncFile puts a segment on disk, and its folder's entry for it.
func syncFile(file *os.File, dir string) error {
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync the spool: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the spool: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the spool: %w", err)
	}
	return nil
}

func (a *appender) close() error {
	a.seg.open = false
	return errors.Join(a.log.Close(), a.file.Close())
}

// segmentReader reads a segment from its beginning.
type segmentReader struct {
	seg  *segment
	file io.Closer
	log  *wlog.Reader
}

func openSegment(seg *segment) (*segmentReader, error) {
	file, err := wlog.OpenReadSegment(seg.path)
	if err != nil {
		return nil, fmt.Errorf("open a segment: %w", err)
	}
	buf := wlog.NewSegmentBufReader(file)
	return &segmentReader{seg: seg, file: buf, log: wlog.NewReader(buf)}, nil
}

var errDamage = errors.New("the spool is damaged")

// next calls take with the documents of the next record. The end is io.EOF,
// damage any other error; neither is followed by more.
func (r *segmentReader) next(take func(seq uint64, index, id, json []byte)) error {
	if r.log.Next() {
		return decodeRecord(r.log.Record(), take)
	}
	if err := r.log.Err(); err != nil {
		return fmt.Errorf("%w: %v", errDamage, err) //nolint:errorlint // its cause can be io.EOF, which means the sound end here
	}
	return io.EOF
}

// isEnd tells the end of a segment from damage.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }

func (r *segmentReader) close() error { return r.file.Close() }

// scan reads a whole segment. It returns how many bytes at its end are damaged.
func (s *segment) scan(take func(seq uint64)) (damaged int64, err error) {
	r, err := openSegment(s)
	if err != nil {
		return s.bytes, err
	}
	defer r.close()
	var sound int64
	for {
		err := r.next(func(seq uint64, _, _, _ []byte) { take(seq) })
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil {
			return s.bytes - min(sound, s.bytes), err
		}
		sound = r.log.Offset()
	}
}

// folder is one of a lane's folders in a spool.
type folder struct {
	path   string
	number int
}

// folders lists a lane's folders, oldest first.
func folders(dir string, l Lane) ([]folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	var found []folder
	for _, e := range entries {
		name, isLane := strings.CutPrefix(e.Name(), l.String()+"-")
		number, err := strconv.Atoi(name)
		if isLane && err == nil && e.IsDir() {
			found = append(found, folder{filepath.Join(dir, e.Name()), number})
		}
	}
	slices.SortFunc(found, func(a, b folder) int { return cmp.Compare(a.number, b.number) })
	return found, nil
}

// segments lists the segments of a folder, oldest first. Some may be missing.
func (f folder) segments() ([]*segment, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	var found []*segment
	for _, e := range entries { // in the order of their names, which are numbers of one length
		info, err := e.Info()
		if _, notNumber := strconv.Atoi(e.Name()); err != nil || notNumber != nil || !info.Mode().IsRegular() {
			continue
		}
		found = append(found, &segment{path: filepath.Join(f.path, e.Name()), bytes: info.Size()})
	}
	return found, nil
}
