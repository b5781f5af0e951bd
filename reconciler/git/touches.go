package git

import (
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// touches records what was looked at in a tree, such that it can be told of
// another tree whether the same would be seen there. A nil one records
// nothing. It belongs to one goroutine.
type touches struct {
	root   touch
	count  int
	failed error // the store could not be read
}

// touch is one name that was looked at: what is there, with a zero mode where
// nothing is. Of a folder only the names below count, unless it was listed.
type touch struct {
	entry
	listed bool
	below  []*touch
}

func newTouches(root plumbing.Hash) *touches {
	return &touches{root: touch{entry: entry{mode: filemode.Dir, hash: root}}}
}

func (t *touches) top() *touch {
	if t == nil {
		return nil
	}
	return &t.root
}

// child notes that a name was looked for in a folder.
func (t *touches) child(dir *touch, e entry) *touch {
	if t == nil || dir == nil {
		return nil
	}
	if i := slices.IndexFunc(dir.below, func(c *touch) bool { return c.name == e.name }); i >= 0 {
		return dir.below[i]
	}
	t.count++
	dir.below = append(dir.below, &touch{entry: e})
	return dir.below[len(dir.below)-1]
}

func (t *touches) list(dir *touch) {
	if dir != nil {
		dir.listed = true
	}
}

// fail keeps the first error of the store: an error of which the plan's files
// are not the cause.
func (t *touches) fail(err error) error {
	if t != nil && t.failed == nil && err != nil {
		t.failed = err
	}
	return err
}

// hold reports whether in another tree all that was looked at is the same.
func (t *touches) hold(o objects, root plumbing.Hash) (bool, error) {
	return t.root.holds(o, entry{mode: filemode.Dir, hash: root})
}

func (t *touch) holds(o objects, now entry) (bool, error) {
	switch {
	case t.mode == now.mode && t.hash == now.hash:
		return true, nil
	case t.mode != now.mode || !t.isDir() || t.listed:
		return false, nil
	}
	entries, err := o.tree(now.hash)
	if err != nil {
		return false, err
	}
	for _, c := range t.below {
		e := entry{}
		if i := slices.IndexFunc(entries, func(e entry) bool { return e.name == c.name }); i >= 0 {
			e = entries[i]
		}
		if same, err := c.holds(o, e); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}
