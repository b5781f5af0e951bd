package transform

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/durable"
)

// store keeps the records of one transform in a folder. It is for one goroutine.
type store struct {
	dir     string
	head    head
	records map[string]*record // by NAMESPACE/NAME of the source
	next    int                // number of the next file
	files   int
}

const (
	headFile    = "head.json"
	batchPrefix = "batch-"
	batchSuffix = ".jsonl"
	// maxFiles is after how many the records are written anew as one.
	maxFiles = 500
)

// openStore reads what is remembered. A file that is damaged is an error: what it
// said is not guessed.
func openStore(root string, key plan.Key, transform string) (*store, error) {
	s := &store{dir: filepath.Join(root, key.Namespace, key.Name, transform), records: map[string]*record{}}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the records of transform %s: %w", transform, err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("open the records of transform %s: %w", transform, err)
	}
	for _, e := range entries { // sorted by name
		path := filepath.Join(s.dir, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), ".tmp"):
			err = os.Remove(path) // of a process that was killed
		case strings.HasPrefix(e.Name(), batchPrefix):
			err = s.readBatch(path)
		}
		if err != nil {
			return nil, fmt.Errorf("read the records of transform %s in %s: %w", transform, path, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(s.dir, headFile))
	if err == nil {
		err = json.Unmarshal(b, &s.head)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the records of transform %s in %s: %w", transform, filepath.Join(s.dir, headFile), err)
	}
	return s, nil
}

func (s *store) readBatch(path string) error {
	var n int
	if _, err := fmt.Sscanf(filepath.Base(path), batchPrefix+"%d"+batchSuffix, &n); err != nil {
		return errors.New("its name is none that Changeover gives: move it away")
	}
	s.next, s.files = max(s.next, n+1), s.files+1
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%w; move the folder away: the targets are found again by their annotations", err)
		}
		s.put(&r)
	}
	return lines.Err()
}

// put takes a record in memory; one with neither source nor targets is dropped.
func (s *store) put(r *record) {
	if r.Gone && len(r.Targets) == 0 {
		delete(s.records, r.key())
		return
	}
	s.records[r.key()] = r
}

// add keeps records durably: when it returns, they survive a crash.
func (s *store) add(records []*record) error {
	if len(records) == 0 {
		return nil
	}
	for _, r := range records {
		s.put(r)
	}
	if s.files >= maxFiles {
		return s.compact()
	}
	err := s.writeBatch(records)
	s.files++
	return err
}

func (s *store) writeBatch(records []*record) error {
	var b bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("keep what was transformed: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	name := fmt.Sprintf("%s%09d%s", batchPrefix, s.next, batchSuffix)
	s.next++
	return s.write(name, b.Bytes())
}

// compact writes all records as one file, and then removes the older ones, which
// say nothing else: a kill in between loses nothing.
func (s *store) compact() error {
	last := s.next
	var all []*record
	for _, k := range slices.Sorted(maps.Keys(s.records)) {
		all = append(all, s.records[k])
	}
	if err := s.writeBatch(all); err != nil {
		return err
	}
	s.files = 1
	for n := range last {
		err := os.Remove(filepath.Join(s.dir, fmt.Sprintf("%s%09d%s", batchPrefix, n, batchSuffix)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old records: %w", err)
		}
	}
	return nil
}

// saveHead keeps the head durably.
func (s *store) saveHead() error {
	b, err := json.MarshalIndent(s.head, "", "  ")
	if err != nil {
		return fmt.Errorf("keep how far the transform is: %w", err)
	}
	return s.write(headFile, append(b, '\n'))
}

// reset begins anew for another form of the transform. What was written stays
// known, so that it is found when it is to be removed; that it was read is not.
func (s *store) reset(digest string) error {
	if s.head.Digest == digest {
		return nil
	}
	for _, r := range s.records {
		r.Read = ""
	}
	if err := s.compact(); err != nil {
		return err
	}
	s.head = head{Digest: digest}
	return s.saveHead()
}

// write replaces a file: afterwards it survives a crash, and before that the old
// one does.
func (s *store) write(name string, b []byte) error {
	path := filepath.Join(s.dir, name)
	if err := durable.Replace(path+".tmp", path, b, 0o600); err != nil {
		return fmt.Errorf("keep what was transformed: %w", err)
	}
	return nil
}
