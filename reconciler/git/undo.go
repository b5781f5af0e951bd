package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// undoing is an undo that is built in memory on top of one head. It belongs to
// one goroutine.
type undoing struct {
	r    *Repository
	u    reconciler.Undo
	b    *builder
	head *commit
	at   time.Time

	tip     plumbing.Hash // the newest commit made; head where none was
	tree    plumbing.Hash // of tip
	commits []plan.Revision
	notes   []string

	readers map[string][]string // see readBy
}

// buildAll makes the reverts of several plans on top of a head, one plan after
// the other. What keeps one plan from being undone is in its Pushed, and nothing
// of it is in the proposal.
func (r *Repository) buildAll(ctx context.Context, us []reconciler.Undo, head plumbing.Hash) (*proposal, []reconciler.Pushed, error) {
	h, err := r.store.commit(head)
	if err != nil {
		return nil, nil, err
	}
	p := &proposal{b: newBuilder(r.store), tip: h.hash}
	tree := h.tree
	each := make([]reconciler.Pushed, len(us))
	for i, u := range us {
		x, err := r.build(ctx, u, h, p, tree)
		switch {
		case errors.Is(err, reconciler.ErrMismatch):
			each[i].Err = err
			continue
		case err != nil:
			return nil, nil, err
		}
		each[i].Commits, each[i].Notes = x.commits, x.notes
		p.tip, tree = x.tip, x.tree
		p.commits = slices.Concat(x.commits, p.commits)
	}
	return p, each, nil
}

// build makes the reverts of one plan on top of what was built for others.
// Equal inputs make equal commits.
func (r *Repository) build(ctx context.Context, u reconciler.Undo, h *commit, p *proposal, tree plumbing.Hash) (*undoing, error) {
	x := &undoing{r: r, u: u, b: p.b, head: h, at: u.At, tip: p.tip, tree: tree}
	if x.at.IsZero() {
		x.at = r.o.Now()
	}
	pending, err := x.pending(ctx)
	if err != nil || len(pending) == 0 {
		return x, err
	}
	f, err := r.index.find(ctx, x.b, x.tree, u.Key)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		broken, err := r.broken(ctx, u.Key, h)
		if err != nil {
			return nil, err
		}
		if broken == nil {
			x.note("plan %s is not in the branch any more", u.Key)
			return x, nil
		}
		return x, x.restore(ctx, *broken, pending)
	case f.twice != "":
		return nil, &reconciler.MismatchError{Want: u.Target, Got: f.position(), Reason: f.err().Error()}
	case !f.valid():
		return x, x.restore(ctx, f.file, pending)
	}
	if lowered, err := x.lowered(ctx, f, pending); err != nil || lowered {
		return x, err
	}
	for _, c := range pending {
		if err := x.revert(ctx, c); err != nil {
			return nil, err
		}
	}
	return x, x.check(ctx, f.position())
}

func (x *undoing) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(x.notes, n) {
		x.notes = append(x.notes, n)
	}
}

// pending are the commits that are still to be reverted: those on the branch
// that are no reverts of the daemon's, and were not reverted by it or by a
// person before.
func (x *undoing) pending(ctx context.Context) ([]*commit, error) {
	var out []*commit
	for _, rev := range x.u.Commits {
		c, err := x.r.commitAt(rev)
		if err != nil {
			return nil, err
		}
		on, err := x.r.contains(ctx, x.head.hash, c.hash)
		if err != nil {
			return nil, err
		}
		switch m := parseMessage(c.message); {
		case !on:
			x.note("commit %s is not on the branch any more", rev.Short())
			continue
		case m.object(trailerRollbackOf) != "":
			x.note("commit %s is a revert of Changeover's own and stays", rev.Short())
			continue
		}
		by, err := x.revertedBy(ctx, c)
		if err != nil {
			return nil, err
		}
		if by != nil {
			x.note("commit %s was reverted before, by %s", rev.Short(), short(by.hash))
			continue
		}
		out = append(out, c)
	}
	return out, nil
}

// clockSkew is how much older than the commit that it reverts a revert on a
// merged branch may claim to be. It keeps the search from going back through
// all of the history.
const clockSkew = 24 * time.Hour

// revertedBy looks between a commit and head for one that says that it
// reverts it: ours by its trailer, a person's by Git's own line.
func (x *undoing) revertedBy(ctx context.Context, c *commit) (by *commit, err error) {
	var failed error
	trunk := map[plumbing.Hash]bool{x.head.hash: true}
	err = x.r.walk(ctx, x.head.hash, func(d *commit) bool {
		if by != nil || failed != nil || d.hash == c.hash {
			return false
		}
		if trunk[d.hash] {
			trunk[d.parent()] = true
		} else if d.at.Before(c.at.Add(-clockSkew)) {
			return false
		}
		m := parseMessage(d.message)
		ours := m.concerns(x.u.Key) && slices.Contains(m.all(trailerRollbackOf), c.hash.String())
		if ours {
			by = d
			return false
		}
		if m.reverts != "" && m.object(trailerRollbackOf) == "" && x.r.expand(d, m.reverts) == c.hash.String() {
			var touched bool
			if touched, failed = x.touches(ctx, d); touched {
				by = d
			}
		}
		return by == nil
	})
	if err == nil {
		err = failed
	}
	return by, err
}

// touches reports whether a commit changed the plan's file, or what it reads.
func (x *undoing) touches(ctx context.Context, c *commit) (bool, error) {
	if c.parent().IsZero() {
		return false, nil
	}
	p, err := x.r.store.parentOf(c)
	if err != nil {
		return false, err
	}
	now, err := x.r.index.find(ctx, x.b, c.tree, x.u.Key)
	if err != nil {
		return false, err
	}
	old, err := x.r.index.find(ctx, x.b, p.tree, x.u.Key)
	if err != nil || now == nil || old == nil {
		return now != old, err
	}
	same := slices.EqualFunc(now.reads, old.reads, func(a, b read) bool { return a.Read == b.Read })
	return now.file != old.file || !same, nil
}

// lowered reports whether head declares the target or less already, so that
// undoing raises has nothing left to do. Content that is to be undone still
// is.
func (x *undoing) lowered(ctx context.Context, f *found, pending []*commit) (bool, error) {
	if !atOrBefore(f.doc.Plan.Itinerary(), f.position(), x.u.Target) {
		return false, nil
	}
	for _, c := range pending {
		changes, err := x.r.Changes(ctx, x.u.Key, revision(c.parent()), revision(c.hash))
		if err != nil {
			return false, err
		}
		for _, ch := range changes {
			if ch.Content {
				return false, nil
			}
		}
	}
	x.note("the branch declares %s already", f.position())
	return true, nil
}

// atOrBefore reports whether a is b or a stop before it.
func atOrBefore(it plan.Itinerary, a, b plan.Position) bool {
	i, j := it.Index(a), it.Index(b)
	return i >= 0 && j >= 0 && i <= j
}

// check is the last look before anything is pushed: the tree must hold the
// plan, valid, at the target. A person may have lowered it further.
func (x *undoing) check(ctx context.Context, before plan.Position) error {
	f, err := x.r.index.find(ctx, x.b, x.tree, x.u.Key)
	if err != nil {
		return err
	}
	if f == nil {
		return &reconciler.MismatchError{Want: x.u.Target, Reason: "the plan would be gone"}
	}
	if err := f.err(); err != nil {
		return &reconciler.MismatchError{Want: x.u.Target, Reason: err.Error()}
	}
	got := f.position()
	if got == x.u.Target || got == before && atOrBefore(f.doc.Plan.Itinerary(), got, x.u.Target) {
		return nil
	}
	return &reconciler.MismatchError{Want: x.u.Target, Got: got}
}

// restore puts the plan's whole file, and what the plan reads, back as it was
// at the good revision: what head has cannot be read, so nothing can be merged
// with it.
func (x *undoing) restore(ctx context.Context, at file, pending []*commit) error {
	oldest := pending[len(pending)-1]
	rev := x.u.Good
	if rev == "" {
		rev = revision(oldest.parent())
	}
	mismatch := func(reason string) error {
		return &reconciler.MismatchError{Want: x.u.Target, Reason: fmt.Sprintf("%q at head is not valid, and %s", at.path, reason)}
	}
	if rev == "" {
		return mismatch("there is no earlier version to restore")
	}
	c, err := x.r.commitAt(rev)
	if err != nil {
		return err
	}
	f, err := x.r.index.find(ctx, x.b, c.tree, x.u.Key)
	if err != nil {
		return err
	}
	if !f.ok() {
		return mismatch(fmt.Sprintf("the plan at %s is not valid either", rev.Short()))
	}
	data := f.doc.Source
	if f.position() != x.u.Target {
		if data, err = plan.SetPosition(data, x.u.Target); err != nil {
			return mismatch(err.Error())
		}
	}
	// What it reads is named from where it lies: where it was moved since, it
	// may be valid only in its old place.
	for _, path := range []string{at.path, f.path} {
		tree, notes, err := x.restoreTo(ctx, path, at, c, f, data)
		if err != nil {
			return err
		}
		now, err := x.r.index.find(ctx, x.b, tree, x.u.Key)
		if err != nil {
			return err
		}
		if !now.ok() && path != f.path {
			continue
		}
		x.note("%q at head is not valid; the whole file was restored from %s", at.path, rev.Short())
		for _, n := range notes {
			x.note("%s", n)
		}
		if tree != x.tree {
			if err := x.commit(tree, pending, plan.Position{}, x.u.Target, x.notes); err != nil {
				return err
			}
		}
		break
	}
	return x.check(ctx, plan.Position{})
}

// restoreTo makes the tree in which the plan's file has the data at a path, and
// what it reads is as it was.
func (x *undoing) restoreTo(ctx context.Context, path string, at file, from *commit, f *found, data []byte) (plumbing.Hash, []string, error) {
	tree := x.tree
	if path != at.path {
		free, err := x.free(tree, path)
		if err != nil {
			return tree, nil, err
		}
		if _, taken, err := lookup(x.b, tree, path); err != nil || taken || !free {
			return tree, nil, err
		}
		if tree, err = x.b.set(tree, at.path, nil); err != nil {
			return tree, nil, err
		}
	}
	tree, err := x.b.set(tree, path, &entry{mode: at.mode, hash: x.b.put(plumbing.BlobObject, data)})
	if err != nil {
		return tree, nil, err
	}
	tree, notes, err := x.restoreBeside(ctx, tree, from, f, at.path)
	if path != at.path {
		notes = append(notes, fmt.Sprintf("it was put back from %q to %q", at.path, path))
	}
	return tree, notes, err
}

// commit makes one revert on top of the tip. It undoes the first of the
// commits, and for a restored file all of them.
func (x *undoing) commit(tree plumbing.Hash, undone []*commit, from, to plan.Position, remarks []string) error {
	if from.IsZero() {
		from = x.u.From
	}
	first := undone[0]
	trailers := [][2]string{{trailerPlan, x.u.Key.String()}}
	for _, c := range undone {
		trailers = append(trailers, [2]string{trailerRollbackOf, c.hash.String()})
	}
	trailers = append(trailers, [2]string{trailerFrom, from.String()}, [2]string{trailerTo, to.String()})
	for _, g := range x.u.Gates {
		trailers = append(trailers, [2]string{trailerGate, g})
	}
	if x.u.Evidence != "" {
		trailers = append(trailers, [2]string{trailerEvidence, x.u.Evidence})
	}
	paragraphs := append([]string{fmt.Sprintf("This reverts commit %s.", first.hash), x.u.Message}, remarks...)
	subject := fmt.Sprintf("Revert \"%s\"", oneLine(first.subject()))
	tip, err := x.r.putCommit(x.b, tree, x.tip, x.at, compose(subject, paragraphs, trailers))
	if err != nil {
		return err
	}
	x.tip, x.tree = tip, tree
	x.commits = slices.Insert(x.commits, 0, revision(x.tip))
	return nil
}
