package git

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxCarried bounds one object that is copied between stores.
const maxCarried = 256 << 20

// copyHistory copies a commit with all that it reaches and the new store
// lacks.
func copyHistory(ctx context.Context, from, to *store, tip plumbing.Hash) error {
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if to.has(queue[0]) {
			continue
		}
		c, err := from.commit(queue[0])
		if err != nil {
			return err
		}
		if err := copyTree(from, to, c.tree); err != nil {
			return err
		}
		if err := copyObject(from, to, plumbing.CommitObject, c.hash); err != nil {
			return err
		}
		queue = append(queue, c.parents...)
	}
	return nil
}

func copyTree(from, to *store, h plumbing.Hash) error {
	if to.has(h) {
		return nil
	}
	entries, err := from.tree(h)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.isDir():
			err = copyTree(from, to, e.hash)
		case e.mode.IsFile():
			err = copyObject(from, to, plumbing.BlobObject, e.hash)
		}
		if err != nil {
			return err
		}
	}
	return copyObject(from, to, plumbing.TreeObject, h)
}

func copyObject(from, to *store, t plumbing.ObjectType, h plumbing.Hash) error {
	if to.has(h) {
		return nil
	}
	data, whole, err := from.read(t, h, maxCarried)
	if err != nil {
		return err
	}
	if !whole || plumbing.ComputeHash(t, data) != h {
		return fmt.Errorf("copy %s %s: it is damaged or too large", t, h)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if _, err := to.st.SetEncodedObject(madeObject{t, data}.encoded()); err != nil {
		return fmt.Errorf("copy %s %s: %w", t, h, err)
	}
	return nil
}
