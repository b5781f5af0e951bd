package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage"
)

// The largest objects that are read.
const (
	maxTree   = 64 << 20
	maxCommit = 4 << 20
)

// errMissing: an object is not in the store.
var errMissing = errors.New("object is not in the store")

// objects reads Git objects: the store's, or those of a revert being built on
// top of it.
type objects interface {
	commit(h plumbing.Hash) (*commit, error)
	tree(h plumbing.Hash) ([]entry, error)
	// blob returns a file's bytes, or only the first max.
	blob(h plumbing.Hash, max int64) (b []byte, whole bool, err error)
	// size is a file's, in bytes; it is not read for that.
	size(h plumbing.Hash) (int64, error)
}

// commit is what is needed of a commit object.
type commit struct {
	hash    plumbing.Hash
	tree    plumbing.Hash
	parents []plumbing.Hash
	message string
	author  string
	email   string    // the author's, in lower case
	at      time.Time // the committer's
}

func (c *commit) parent() plumbing.Hash {
	if len(c.parents) == 0 {
		return plumbing.ZeroHash
	}
	return c.parents[0]
}

func (c *commit) subject() string {
	s, _, _ := strings.Cut(strings.TrimLeft(c.message, "\r\n"), "\n")
	return strings.TrimSpace(s)
}

// entry is one name in a tree. mode is kept as it is written in the object.
type entry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

func (e entry) isDir() bool { return e.mode == filemode.Dir }

func (e entry) isFile() bool {
	return e.mode == filemode.Regular || e.mode == filemode.Executable || e.mode == filemode.Deprecated
}

// order is the key by which Git sorts a tree's names.
func (e entry) order() string {
	if e.isDir() {
		return e.name + "/"
	}
	return e.name
}

func decodeTree(b []byte) ([]entry, error) {
	var out []entry
	for len(b) > 0 {
		mode, rest, ok := bytes.Cut(b, []byte{' '})
		name, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 || len(rest) < len(plumbing.Hash{}) {
			return nil, errors.New("tree object is cut short")
		}
		m, err := filemode.New(string(mode))
		if err != nil {
			return nil, fmt.Errorf("tree object has mode %q", mode)
		}
		e := entry{name: string(name), mode: m}
		b = rest[copy(e.hash[:], rest):]
		out = append(out, e)
	}
	return out, nil
}

func encodeTree(entries []entry) []byte {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.order(), b.order()) })
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "%o %s\x00", uint32(e.mode), e.name)
		b.Write(e.hash[:])
	}
	return b.Bytes()
}

// readObject returns an object's bytes, at most max of them. The caller holds
// the store's lock: go-git's storages are not safe for use by several
// goroutines, and a packed object is read only while its bytes are.
func readObject(st storage.Storer, t plumbing.ObjectType, h plumbing.Hash, max int64) (b []byte, whole bool, err error) {
	o, err := st.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, false, fmt.Errorf("read %s %s: %w", t, h, errMissing)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s %s: %w", t, h, err)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, false, fmt.Errorf("read %s %s: %w", t, h, err)
	}
	defer r.Close()
	b, err = io.ReadAll(io.LimitReader(r, max))
	if err != nil {
		return nil, false, fmt.Errorf("read %s %s: %w", t, h, err)
	}
	return b, int64(len(b)) == o.Size(), nil
}

func decodeCommit(h plumbing.Hash, raw []byte) (*commit, error) {
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	if _, err := o.Write(raw); err != nil {
		return nil, err
	}
	var c object.Commit
	if err := c.Decode(o); err != nil {
		return nil, fmt.Errorf("read commit %s: %w", h, err)
	}
	return &commit{
		hash: h, tree: c.TreeHash, parents: c.ParentHashes, message: c.Message,
		author: c.Author.Name, email: strings.ToLower(c.Author.Email), at: c.Committer.When,
	}, nil
}

// lookup walks from a tree down to a path; ok is false where there is none.
func lookup(o objects, root plumbing.Hash, path string) (e entry, ok bool, err error) {
	e = entry{mode: filemode.Dir, hash: root}
	if path == "" {
		return e, true, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if !e.isDir() {
			return entry{}, false, nil
		}
		entries, err := o.tree(e.hash)
		if err != nil {
			return entry{}, false, err
		}
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
		if i < 0 {
			return entry{}, false, nil
		}
		e = entries[i]
	}
	return e, true, nil
}
