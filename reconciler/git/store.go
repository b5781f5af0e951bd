package git

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Bounds of the caches.
const (
	cachedCommits     = 20_000
	cachedTreeEntries = 200_000
)

// keptPrefix is where heads are kept that a force-push dropped: records may
// still name commits of theirs.
const keptPrefix = "refs/changeover/kept/"

// store is the local copy of the branch's history. It may be used by several
// goroutines.
type store struct {
	mu      sync.Mutex // guards st: go-git's storages are for one goroutine
	st      storage.Storer
	commits *lru[plumbing.Hash, *commit]
	trees   *lru[plumbing.Hash, []entry]
	// damaged: an object that must be there could not be read. The next Poll
	// gets the whole history anew.
	damaged atomic.Bool
	// below is asked for what is not here, where there is one.
	below *store
}

func newStore(st storage.Storer) *store {
	return &store{
		st:      st,
		commits: newLRU[plumbing.Hash, *commit](cachedCommits, nil),
		trees:   newLRU[plumbing.Hash](cachedTreeEntries, func(t []entry) int { return len(t) + 1 }),
	}
}

// replace swaps the storage below; open gives the new one while nobody reads
// the old. What was read stays good: objects are named by their content.
func (s *store) replace(open func() (storage.Storer, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := open()
	if err != nil {
		return err
	}
	s.st = st
	s.damaged.Store(false)
	return nil
}

func (s *store) read(t plumbing.ObjectType, h plumbing.Hash, max int64) ([]byte, bool, error) {
	s.mu.Lock()
	b, whole, err := readObject(s.st, t, h, max)
	s.mu.Unlock()
	if s.below != nil && errors.Is(err, errMissing) {
		return s.below.read(t, h, max)
	}
	return b, whole, err
}

// commit reads a commit. It is for names that a caller gave: a missing one is
// no damage.
func (s *store) commit(h plumbing.Hash) (*commit, error) {
	if c, ok := s.commits.get(h); ok {
		return c, nil
	}
	raw, whole, err := s.read(plumbing.CommitObject, h, maxCommit)
	if err == nil && !whole {
		err = fmt.Errorf("read commit %s: it has more than %d bytes", h, maxCommit)
	}
	if err != nil {
		if !errors.Is(err, errMissing) {
			s.damaged.Store(true)
		}
		return nil, err
	}
	c, err := decodeCommit(h, raw)
	if err != nil {
		s.damaged.Store(true)
		return nil, err
	}
	s.commits.put(h, c)
	return c, nil
}

// parentOf reads a commit that another one names: a missing one is damage.
func (s *store) parentOf(c *commit) (*commit, error) {
	p, err := s.commit(c.parent())
	if err != nil {
		s.damaged.Store(true)
	}
	return p, err
}

func (s *store) tree(h plumbing.Hash) ([]entry, error) {
	if t, ok := s.trees.get(h); ok {
		return t, nil
	}
	raw, whole, err := s.read(plumbing.TreeObject, h, maxTree)
	if err == nil && !whole {
		err = fmt.Errorf("read tree %s: it has more than %d bytes", h, maxTree)
	}
	var t []entry
	if err == nil {
		t, err = decodeTree(raw)
	}
	if err != nil {
		s.damaged.Store(true)
		return nil, err
	}
	s.trees.put(h, t)
	return t, nil
}

func (s *store) blob(h plumbing.Hash, max int64) ([]byte, bool, error) {
	b, whole, err := s.read(plumbing.BlobObject, h, max)
	if err != nil {
		s.damaged.Store(true)
	}
	return b, whole, err
}

func (s *store) size(h plumbing.Hash) (int64, error) {
	s.mu.Lock()
	n, err := s.st.EncodedObjectSize(h)
	s.mu.Unlock()
	if err != nil && s.below != nil && s.below.has(h) {
		return s.below.size(h)
	}
	if err != nil {
		s.damaged.Store(true)
		return 0, fmt.Errorf("read the size of %s: %w", h, err)
	}
	return n, nil
}

func (s *store) has(h plumbing.Hash) bool {
	s.mu.Lock()
	here := s.st.HasEncodedObject(h) == nil
	s.mu.Unlock()
	return here || s.below != nil && s.below.has(h)
}

// add stores objects that were made here, contents before those that name
// them.
func (s *store) add(b *builder, hashes []plumbing.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range []plumbing.ObjectType{plumbing.BlobObject, plumbing.TreeObject, plumbing.CommitObject} {
		// A commit's parent comes later in the list than the commit.
		for i := len(hashes) - 1; i >= 0; i-- {
			o := b.made[hashes[i]]
			if o.kind != kind || s.st.HasEncodedObject(hashes[i]) == nil {
				continue
			}
			if _, err := s.st.SetEncodedObject(o.encoded()); err != nil {
				return fmt.Errorf("write object: %w", err)
			}
		}
	}
	return nil
}

func (s *store) ref(name plumbing.ReferenceName) plumbing.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref, err := s.st.Reference(name)
	if err != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

func (s *store) setRef(name plumbing.ReferenceName, h plumbing.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.st.SetReference(plumbing.NewHashReference(name, h)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// kept lists the heads that a force-push dropped.
func (s *store) kept() []plumbing.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.st.IterReferences()
	if err != nil {
		return nil
	}
	var out []plumbing.Hash
	_ = it.ForEach(func(r *plumbing.Reference) error {
		if r.Name().String() == keptPrefix+r.Hash().String() {
			out = append(out, r.Hash())
		}
		return nil
	})
	return out
}

// receive takes a pack into the store: all of it or nothing.
func (s *store) receive(pack io.Reader) error {
	s.mu.Lock()
	st := s.st
	s.mu.Unlock()
	if disk, ok := st.(*filesystem.Storage); ok {
		return s.receiveOnDisk(disk, pack)
	}
	staging := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(staging, pack); err != nil {
		return fmt.Errorf("store objects: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range staging.Objects {
		if _, err := s.st.SetEncodedObject(o); err != nil {
			return fmt.Errorf("store objects: %w", err)
		}
	}
	return nil
}

// receiveOnDisk first writes the pack to a file of its own: go-git's writer
// leaves files and descriptors behind when a pack is cut short.
func (s *store) receiveOnDisk(st *filesystem.Storage, pack io.Reader) error {
	fs := st.Filesystem()
	f, err := fs.TempFile("", "tmp_received_")
	if err != nil {
		return fmt.Errorf("store objects: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = fs.Remove(f.Name())
	}()
	if err := spool(f, pack); err != nil {
		return err
	}
	w, err := s.packWriter(st)
	if err != nil {
		return fmt.Errorf("store objects: %w", err)
	}
	_, err = io.Copy(w, f)
	s.mu.Lock() // the new pack becomes known to those who read
	defer s.mu.Unlock()
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("store objects: %w", err)
	}
	return nil
}

func (s *store) packWriter(st *filesystem.Storage) (io.WriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.PackfileWriter()
}

// spool copies a pack, checks the sum at its end and goes back to its start.
func spool(f io.ReadWriteSeeker, pack io.Reader) error {
	n, err := io.Copy(f, pack)
	if err != nil {
		return fmt.Errorf("receive objects: %w", err)
	}
	if n < sha1.Size {
		return errors.New("receive objects: the remote sent none")
	}
	sum, end := sha1.New(), make([]byte, sha1.Size)
	if _, err = f.Seek(0, io.SeekStart); err == nil {
		_, err = io.CopyN(sum, f, n-sha1.Size)
	}
	if err == nil {
		_, err = io.ReadFull(f, end)
	}
	if err == nil && !bytes.Equal(sum.Sum(nil), end) {
		err = errors.New("the pack is cut short or damaged")
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("receive objects: %w", err)
	}
	return nil
}
