package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Changes implements reconciler.Source.
func (r *Repository) Changes(ctx context.Context, key plan.Key, since, until plan.Revision) ([]decide.Change, error) {
	chain, err := r.chain(ctx, since, until)
	if err != nil || len(chain) == 0 {
		return nil, err
	}
	h := &historian{r: r, key: key}
	if !chain[0].parent().IsZero() {
		before, err := r.store.parentOf(chain[0])
		if err != nil {
			return nil, err
		}
		if h, err = r.standing(ctx, key, before); err != nil {
			return nil, err
		}
	}
	var out []decide.Change
	for _, c := range chain {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, ok, err := h.change(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("read plan's history at %s: %w", short(c.hash), err)
		}
		if ok {
			out = append(out, ch)
		}
	}
	return out, nil
}

// chain lists the first-parent commits after since up to until, oldest first.
// It ends at the first that since already has.
func (r *Repository) chain(ctx context.Context, since, until plan.Revision) ([]*commit, error) {
	c, err := r.commitAt(until)
	if err != nil {
		return nil, err
	}
	var stop plumbing.Hash
	if since != "" {
		s, err := r.commitAt(since)
		if err != nil {
			return nil, err
		}
		stop = s.hash
	}
	var out []*commit
	for c.hash != stop {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, c)
		if c.parent().IsZero() {
			break
		}
		if c, err = r.store.parentOf(c); err != nil {
			return nil, err
		}
	}
	if !stop.IsZero() && c.hash != stop {
		// since came in by another parent of a merge.
		seen := map[plumbing.Hash]bool{}
		if err := r.walk(ctx, stop, func(c *commit) bool { seen[c.hash] = true; return true }); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(out, func(c *commit) bool { return seen[c.hash] }); i >= 0 {
			out = out[:i]
		}
	}
	slices.Reverse(out)
	return out, nil
}

// isThere reports whether a commit has a file at the path that is not another
// plan.
func (r *Repository) isThere(c *commit, path string, key plan.Key) (bool, error) {
	e, ok, err := lookup(r.store, c.tree, path)
	if err != nil || !ok || !e.isFile() {
		return false, err
	}
	k, err := r.index.keyOf(r.store, file{path, e.hash, e.mode})
	return err == nil && (k.Name == "" || k == key), err
}

// historian walks one plan's history forward.
type historian struct {
	r    *Repository
	key  plan.Key
	last *found // as it last was valid; nil where it is gone or never was
	now  *found // as it last was, valid or not; nil where it cannot be found
	path string // where it last was, valid or not; empty where it is gone
}

// maxLookBack bounds how many commits are walked back in search of a plan. One
// that was not valid for longer counts as new.
const maxLookBack = 10_000

// standing is how the plan stands after a commit: it goes back, first parents
// only, to where the plan was valid, and from there forward again.
func (r *Repository) standing(ctx context.Context, key plan.Key, c *commit) (*historian, error) {
	h := &historian{r: r, key: key}
	var since []*commit
	var dir plumbing.Hash
	var f *found
	for range maxLookBack {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now, err := r.index.watched(r.store, c.tree)
		if err != nil {
			return nil, err
		}
		same, err := f.holds(r.store, c.tree)
		if err != nil {
			return nil, err
		}
		if now != dir || !same {
			if f, err = r.index.find(ctx, r.store, c.tree, key); err != nil {
				return nil, err
			}
			if f.ok() {
				h.last, h.now, h.path = f, f, f.path
				break
			}
			dir = now
		}
		since = append(since, c)
		if c.parent().IsZero() {
			break
		}
		if c, err = r.store.parentOf(c); err != nil {
			return nil, err
		}
	}
	for _, c := range slices.Backward(since) {
		if touched, err := h.touched(c); err != nil {
			return nil, err
		} else if !touched {
			continue
		}
		if _, err := h.compare(ctx, c, &decide.Change{}); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// change is what one commit did to the plan; ok is false where that is
// nothing.
func (h *historian) change(ctx context.Context, c *commit) (ch decide.Change, ok bool, err error) {
	ch = decide.Change{Commit: revision(c.hash), Parent: revision(c.parent()), Subject: c.subject(), Author: c.email, At: c.at}
	if h.last != nil {
		ch.From, ch.To = h.last.position(), h.last.position()
	}
	touched, err := h.touched(c)
	if err != nil {
		return ch, false, err
	}
	if touched {
		if ok, err = h.compare(ctx, c, &ch); err != nil {
			return ch, false, err
		}
	}
	said := h.r.trailers(c, h.key, &ch)
	return ch, ok || said, err
}

// touched reports whether a commit changed anything below the watched folder,
// or that the plan reads elsewhere.
func (h *historian) touched(c *commit) (bool, error) {
	now, err := h.r.index.watched(h.r.store, c.tree)
	if err != nil || c.parent().IsZero() {
		return !now.IsZero(), err
	}
	p, err := h.r.store.parentOf(c)
	if err != nil {
		return false, err
	}
	old, err := h.r.index.watched(h.r.store, p.tree)
	if err != nil || now != old {
		return true, err
	}
	same, err := h.now.holds(h.r.store, c.tree)
	return !same, err
}

// compare fills in how the plan changed, and reports whether it did.
func (h *historian) compare(ctx context.Context, c *commit, ch *decide.Change) (bool, error) {
	f, err := h.r.index.find(ctx, h.r.store, c.tree, h.key)
	if err != nil {
		return false, err
	}
	h.now = f
	if f == nil {
		return h.missing(c, ch)
	}
	h.path = f.path
	if !f.ok() {
		return false, nil // the next that is valid is compared
	}
	last := h.last
	h.last = f
	if last == nil {
		ch.To, ch.Raise = f.position(), true
		return true, nil
	}
	d := plan.Compare(last.doc.Plan, f.doc.Plan)
	ch.From, ch.To = d.From, d.To
	ch.Raise, ch.Lower = d.Direction == plan.Forward, d.Direction == plan.Backward
	ch.Content, ch.Live = last.content != f.content, last.live != f.live
	return d.From != d.To || ch.Content, nil
}

// missing tells a plan that is gone from one whose file cannot be read.
func (h *historian) missing(c *commit, ch *decide.Change) (bool, error) {
	if h.path == "" {
		return false, nil
	}
	still, err := h.r.isThere(c, h.path, h.key)
	if err != nil || still {
		return false, err
	}
	was := h.last != nil
	h.last, h.path = nil, ""
	ch.To, ch.Lower = plan.Position{}, was
	return was, nil
}

// trailers fills in what a commit's message says to the plan, and reports
// whether it says anything that counts without a change of the file.
func (r *Repository) trailers(c *commit, key plan.Key, ch *decide.Change) bool {
	m := parseMessage(c.message)
	ch.Resume = m.resumes(key)
	if !m.concerns(key) {
		return ch.Resume
	}
	full := func(name string) plan.Revision {
		return plan.Revision(r.expand(c, name))
	}
	ch.RollbackOf = full(m.object(trailerRollbackOf))
	ch.Unhold = full(m.object(trailerUnhold))
	if ch.RollbackOf == "" {
		ch.Reverts = full(m.reverts)
	}
	return ch.Resume || ch.RollbackOf != "" || ch.Unhold != ""
}

// expand completes an abbreviated name from the commits before c; it is
// returned as it is where none fits.
func (r *Repository) expand(c *commit, name string) string {
	if len(name) == 0 || len(name) == 40 {
		return name
	}
	for range maxLookBack {
		if strings.HasPrefix(c.hash.String(), name) {
			return c.hash.String()
		}
		if c.parent().IsZero() {
			break
		}
		var err error
		if c, err = r.store.parentOf(c); err != nil {
			break
		}
	}
	return name
}

// Contains implements reconciler.Source.
func (r *Repository) Contains(ctx context.Context, head, old plan.Revision) (bool, error) {
	h, err := r.commitAt(head)
	if err != nil {
		return false, err
	}
	if !plumbing.IsHash(string(old)) {
		return false, nil
	}
	return r.contains(ctx, h.hash, plumbing.NewHash(string(old)))
}

// contains reports whether old is head or one of its ancestors.
func (r *Repository) contains(ctx context.Context, head, old plumbing.Hash) (bool, error) {
	pair := [2]plumbing.Hash{head, old}
	if yes, ok := r.ancestry.get(pair); ok {
		return yes, nil
	}
	yes := false
	if _, err := r.store.commit(old); err == nil {
		err := r.walk(ctx, head, func(c *commit) bool {
			yes = yes || c.hash == old
			return !yes
		})
		if err != nil {
			return false, err
		}
	} else if !errors.Is(err, errMissing) {
		return false, err
	} else {
		return false, nil // not remembered: a later fetch may bring it
	}
	r.ancestry.put(pair, yes)
	return yes, nil
}

// walk visits a commit and its ancestors, nearest first. It does not go past a
// commit for which visit returns false.
func (r *Repository) walk(ctx context.Context, from plumbing.Hash, visit func(*commit) bool) error {
	seen := map[plumbing.Hash]bool{from: true}
	for queue := []plumbing.Hash{from}; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := r.store.commit(queue[0])
		if err != nil {
			return err
		}
		if !visit(c) {
			continue
		}
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return nil
}
