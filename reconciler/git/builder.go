package git

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"
)

// builder makes new objects in memory on top of a store. It belongs to one
// goroutine.
type builder struct {
	base  objects
	made  map[plumbing.Hash]madeObject
	order []plumbing.Hash
}

type madeObject struct {
	kind plumbing.ObjectType
	data []byte
}

func newBuilder(base objects) *builder {
	return &builder{base: base, made: map[plumbing.Hash]madeObject{}}
}

func (b *builder) commit(h plumbing.Hash) (*commit, error) {
	if o, ok := b.made[h]; ok {
		return decodeCommit(h, o.data)
	}
	return b.base.commit(h)
}

func (b *builder) tree(h plumbing.Hash) ([]entry, error) {
	if o, ok := b.made[h]; ok {
		return decodeTree(o.data)
	}
	return b.base.tree(h)
}

func (b *builder) blob(h plumbing.Hash, max int64) ([]byte, bool, error) {
	if o, ok := b.made[h]; ok {
		return o.data[:min(int64(len(o.data)), max)], int64(len(o.data)) <= max, nil
	}
	return b.base.blob(h, max)
}

func (b *builder) size(h plumbing.Hash) (int64, error) {
	if o, ok := b.made[h]; ok {
		return int64(len(o.data)), nil
	}
	return b.base.size(h)
}

func (b *builder) put(kind plumbing.ObjectType, data []byte) plumbing.Hash {
	h := plumbing.ComputeHash(kind, data)
	if _, ok := b.made[h]; !ok {
		b.made[h] = madeObject{kind, data}
		b.order = append(b.order, h)
	}
	return h
}

// set returns the tree with a file at the path, or without it where e is nil.
// Folders that become empty go, as in Git.
func (b *builder) set(root plumbing.Hash, path string, e *entry) (plumbing.Hash, error) {
	entries, err := b.tree(root)
	if err != nil {
		return root, err
	}
	name, rest, deep := strings.Cut(path, "/")
	entries = slices.Clone(entries)
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
	if deep {
		sub := entry{name: name, mode: filemode.Dir, hash: b.put(plumbing.TreeObject, nil)}
		if i >= 0 {
			sub = entries[i]
		}
		if !sub.isDir() {
			return root, fmt.Errorf("write %q: %q is a file at head", path, name)
		}
		if sub.hash, err = b.set(sub.hash, rest, e); err != nil {
			return root, err
		}
		e = &sub
		if left, err := b.tree(sub.hash); err != nil {
			return root, err
		} else if len(left) == 0 {
			e = nil
		}
	}
	switch {
	case e == nil && i >= 0:
		entries = slices.Delete(entries, i, i+1)
	case e == nil:
		return root, nil
	case i >= 0:
		entries[i] = entry{name, e.mode, e.hash}
	default:
		entries = append(entries, entry{name, e.mode, e.hash})
	}
	return b.put(plumbing.TreeObject, encodeTree(entries)), nil
}

// encodeCommit is a commit object, the first of a branch where there is no
// parent. The time is given in UTC with whole seconds, so that equal inputs make
// equal objects.
func encodeCommit(tree, parent plumbing.Hash, a Author, at time.Time, message string) []byte {
	var buf bytes.Buffer
	who := fmt.Sprintf("%s <%s> %d +0000", a.Name, a.Email, at.Unix())
	fmt.Fprintf(&buf, "tree %s\n", tree)
	if !parent.IsZero() {
		fmt.Fprintf(&buf, "parent %s\n", parent)
	}
	fmt.Fprintf(&buf, "author %s\ncommitter %s\n\n%s", who, who, message)
	return buf.Bytes()
}

// putCommit makes a commit of ours, signed where there is a key for that.
func (r *Repository) putCommit(b *builder, tree, parent plumbing.Hash, at time.Time, message string) (plumbing.Hash, error) {
	raw := encodeCommit(tree, parent, r.o.Author, at, message)
	if r.o.Signing.File != "" {
		var err error
		if raw, err = r.o.Signing.Sign(raw, r.o.Now()); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return b.put(plumbing.CommitObject, raw), nil
}

// reachable lists what was made and is reached from a commit, without what it
// already has in common with the base.
func (b *builder) reachable(tip plumbing.Hash) []plumbing.Hash {
	var out []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	var walk func(h plumbing.Hash)
	walk = func(h plumbing.Hash) {
		o, ok := b.made[h]
		if !ok || seen[h] {
			return
		}
		seen[h] = true
		out = append(out, h)
		switch o.kind {
		case plumbing.CommitObject:
			if c, err := decodeCommit(h, o.data); err == nil {
				walk(c.tree)
				for _, p := range c.parents {
					walk(p)
				}
			}
		case plumbing.TreeObject:
			entries, _ := decodeTree(o.data)
			for _, e := range entries {
				walk(e.hash)
			}
		}
	}
	walk(tip)
	return out
}

// pack encodes objects for the wire.
func (b *builder) pack(hashes []plumbing.Hash) ([]byte, error) {
	st := memory.NewStorage()
	for _, h := range hashes {
		if _, err := st.SetEncodedObject(b.made[h].encoded()); err != nil {
			return nil, fmt.Errorf("pack objects: %w", err)
		}
	}
	var buf bytes.Buffer
	if _, err := packfile.NewEncoder(&buf, st, false).Encode(hashes, 0); err != nil {
		return nil, fmt.Errorf("pack objects: %w", err)
	}
	return buf.Bytes(), nil
}

func (o madeObject) encoded() plumbing.EncodedObject {
	m := &plumbing.MemoryObject{}
	m.SetType(o.kind)
	_, _ = m.Write(o.data) // into memory; never fails
	return m
}
