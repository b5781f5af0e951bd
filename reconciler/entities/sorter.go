package entities

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// record is what one of the three has of an id.
type record struct {
	id string
	// from is tableRecord, legacyRecord or modernRecord.
	from byte
	// flags are flagLive and the others.
	flags byte
	// data is the item as JSON where it is compared, or why it is bad.
	data []byte
}

const (
	tableRecord byte = iota
	legacyRecord
	modernRecord
)

const (
	flagLive byte = 1 << iota
	flagInFlight
	flagBad
	flagModern // of the table: modern owns it
	flagEnded
	flagMigrated
)

// sorter sorts any number of records by id outside of memory: runs of at most
// memory bytes are sorted and written to files without names, then merged.
type sorter struct {
	dir    string
	memory int

	buffer []record
	size   int
	runs   []*os.File
}

// overhead is what a record takes in memory beside its texts, in bytes.
const overhead = 64

func (s *sorter) add(r record) error {
	s.buffer = append(s.buffer, r)
	if s.size += len(r.id) + len(r.data) + overhead; s.size < s.memory {
		return nil
	}
	return s.spill()
}

func (s *sorter) sort() {
	slices.SortFunc(s.buffer, compare)
}

func compare(a, b record) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.from, b.from)) }

func (s *sorter) spill() error {
	s.sort()
	f, err := os.CreateTemp(s.dir, "entities-*")
	if err != nil {
		return fmt.Errorf("sort entities: %w", err)
	}
	s.runs = append(s.runs, f)
	// Nobody else reads it, and nothing is left behind after a crash.
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("sort entities: %w", err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	for _, r := range s.buffer {
		if err := write(w, r); err != nil {
			return fmt.Errorf("sort entities: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort entities: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("sort entities: %w", err)
	}
	clear(s.buffer)
	s.buffer, s.size = s.buffer[:0], 0
	return nil
}

func (s *sorter) close() {
	for _, f := range s.runs {
		_ = f.Close() // it has no name any more
	}
}

func write(w *bufio.Writer, r record) error {
	head := make([]byte, 0, 2*binary.MaxVarintLen64+2)
	head = append(head, r.from, r.flags)
	head = binary.AppendUvarint(head, uint64(len(r.id)))
	head = binary.AppendUvarint(head, uint64(len(r.data)))
	_, err1 := w.Write(head)
	_, err2 := w.WriteString(r.id)
	_, err3 := w.Write(r.data)
	return errors.Join(err1, err2, err3)
}

func read(r *bufio.Reader) (out record, err error) {
	if out.from, err = r.ReadByte(); err != nil {
		return out, err // io.EOF: the run ends
	}
	short := func(err error) error {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if out.flags, err = r.ReadByte(); err != nil {
		return out, short(err)
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return out, short(err)
	}
	m, err := binary.ReadUvarint(r)
	if err != nil {
		return out, short(err)
	}
	b := make([]byte, n+m)
	if _, err := io.ReadFull(r, b); err != nil {
		return out, short(err)
	}
	out.id, out.data = string(b[:n]), b[n:]
	return out, nil
}

// run is one sorted sequence of records, at its first that was not taken.
type run struct {
	head record
	next func() (record, error)
}

type runs []*run

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h runs) Len() int           { return len(h) }
func (h runs) Less(i, j int) bool { return compare(h[i].head, h[j].head) < 0 }
func (h runs) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *runs) Push(x any) { *h = append(*h, x.(*run)) }

// Pop implements heap.Interface.
func (h *runs) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// groups calls each with the records of one id after the other, in the order of
// the ids.
func (s *sorter) groups(each func([]record) error) error {
	s.sort()
	h := runs{}
	add := func(next func() (record, error)) error {
		head, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		h = append(h, &run{head, next})
		return err
	}
	at := 0
	if err := add(func() (record, error) {
		if at == len(s.buffer) {
			return record{}, io.EOF
		}
		at++
		return s.buffer[at-1], nil
	}); err != nil {
		return fmt.Errorf("read sorted entities: %w", err)
	}
	for _, f := range s.runs {
		r := bufio.NewReaderSize(f, 64<<10)
		if err := add(func() (record, error) { return read(r) }); err != nil {
			return fmt.Errorf("read sorted entities: %w", err)
		}
	}
	heap.Init(&h)
	var group []record
	for len(h) > 0 {
		first := h[0]
		if len(group) > 0 && group[0].id != first.head.id {
			if err := each(group); err != nil {
				return err
			}
			group = group[:0]
		}
		group = append(group, first.head)
		next, err := first.next()
		switch {
		case errors.Is(err, io.EOF):
			heap.Pop(&h)
		case err != nil:
			return fmt.Errorf("read sorted entities: %w", err)
		default:
			first.head = next
			heap.Fix(&h, 0)
		}
	}
	if len(group) > 0 {
		return each(group)
	}
	return nil
}
