package git

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Waits between tries after lost races.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 2 * time.Second
)

// proposal is what is to become of the branch: commits on top of a head.
type proposal struct {
	b       *builder
	tip     plumbing.Hash
	commits []plan.Revision // newest first; none: there is nothing to do
	notes   []string
}

// Push implements reconciler.Source. Its errors are *reconciler.RemoteError, or
// say that the store could not be read; those of one undo alone, which do not
// keep the others from the branch, are *reconciler.MismatchError. After an error
// the reverts may be on the branch all the same: Push again sees that by their
// trailers.
func (r *Repository) Push(ctx context.Context, us []reconciler.Undo) ([]reconciler.Pushed, error) {
	var each []reconciler.Pushed
	all, err := r.propose(ctx, r.rollbackBranch(us), func(ctx context.Context, head plumbing.Hash) (*proposal, error) {
		p, built, err := r.buildAll(ctx, us, head)
		each = built
		return p, err
	})
	if err != nil {
		return nil, err
	}
	for i := range each {
		e := &each[i]
		e.Head, e.Outcome = all.Head, reconciler.PushedNothing
		if len(e.Commits) == 0 || e.Err != nil {
			continue
		}
		e.Outcome, e.Branch = all.Outcome, all.Branch
		e.Notes = append(e.Notes, all.Notes...)
		if len(all.Commits) == 0 { // the branch aside is somebody's
			e.Commits = nil
		}
	}
	return each, nil
}

// rollbackBranch is where reverts go that the watched branch refuses. It is
// named by what is undone, so that a later try finds its own branch again.
func (r *Repository) rollbackBranch(us []reconciler.Undo) string {
	for _, u := range us {
		if len(u.Commits) > 0 {
			return fmt.Sprintf("changeover/rollback-%s-%s", u.Key.Name, u.Commits[0].Short())
		}
	}
	return ""
}

// propose builds commits on the remote's head and pushes them. After a lost
// race it fetches and builds anew. Where the branch refuses them they go to
// the branch named aside, if any.
func (r *Repository) propose(ctx context.Context, aside string, build func(context.Context, plumbing.Hash) (*proposal, error)) (reconciler.Pushed, error) {
	if err := acquire(ctx, r.pushing); err != nil {
		return reconciler.Pushed{}, classify("push", err, "")
	}
	defer func() { <-r.pushing }()
	begun := time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		if _, err := r.Poll(ctx); err != nil {
			return reconciler.Pushed{}, err
		}
		head := r.base()
		p, err := build(ctx, head)
		if err != nil {
			return reconciler.Pushed{}, err
		}
		out := reconciler.Pushed{Outcome: reconciler.PushedNothing, Head: revision(head), Notes: p.notes}
		if len(p.commits) == 0 {
			return out, nil
		}
		out.Outcome, out.Commits = reconciler.PushedHead, p.commits
		now, err := r.land(ctx, r.remote.ref, head, p)
		switch {
		case err == nil:
			out.Head = revision(now)
			return out, nil
		case isKind(err, reconciler.RemoteRefused) && aside != "":
			return r.putAside(ctx, aside, p, out, err)
		case !isKind(err, reconciler.RemoteRace) || time.Since(begun) > r.o.RaceTimeout:
			return reconciler.Pushed{}, err
		}
		select {
		case <-ctx.Done():
			return reconciler.Pushed{}, err
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}

// land pushes to one ref with compare-and-swap, asks the remote what the ref
// is now, and returns that. Success and failure are both judged by what the
// ref is: an answer can get lost, and a no can come from a race.
func (r *Repository) land(ctx context.Context, ref plumbing.ReferenceName, old plumbing.Hash, p *proposal) (plumbing.Hash, error) {
	hashes := p.b.reachable(p.tip)
	pack, err := p.b.pack(hashes)
	if err != nil {
		return old, err
	}
	if r.beforePush != nil {
		r.beforePush()
	}
	failed := r.remote.push(ctx, update{ref: ref, old: old, new: p.tip}, pack)
	if isKind(failed, reconciler.RemoteAuth) {
		return old, failed
	}
	now, err := r.remote.readRef(ctx, ref)
	switch {
	case err != nil && failed != nil:
		return old, failed
	case err != nil:
		return old, err
	}
	switch {
	case now == p.tip:
		r.landed(ctx, update{ref, old, now}, p, hashes)
		return now, nil
	case ref != r.remote.ref && now != old:
		return old, raced(ref, now)
	case ref != r.remote.ref && failed == nil:
		return old, &reconciler.RemoteError{
			Kind: reconciler.RemoteNoOp, Op: "push",
			Text: fmt.Sprintf("the remote took the push, but %s is still at %s", ref.Short(), short(now)),
		}
	case now != old || failed == nil:
		return r.landedBelow(ctx, old, p.tip)
	}
	return old, failed
}

// landed takes over the pushed commits into the store, without asking the
// remote for them. Where that fails the next Poll fetches them: the push is a
// success all the same.
func (r *Repository) landed(ctx context.Context, u update, p *proposal, hashes []plumbing.Hash) {
	if r.store.add(p.b, hashes) != nil || u.ref != r.remote.ref || acquire(ctx, r.polling) != nil {
		return
	}
	defer func() { <-r.polling }()
	if r.head() == u.old {
		_ = r.advance(ctx, u.old, u.new)
	}
}

// landedBelow handles a push after which the branch is elsewhere: fine if what
// we pushed is in it, as others may have pushed on top already.
func (r *Repository) landedBelow(ctx context.Context, old, tip plumbing.Hash) (plumbing.Hash, error) {
	if err := r.read(ctx); err != nil {
		return old, err
	}
	head := r.head()
	in, err := r.contains(ctx, head, tip)
	switch {
	case err != nil:
		return old, err
	case in:
		return head, nil
	case head != old:
		return old, raced(r.remote.ref, head)
	}
	return old, &reconciler.RemoteError{
		Kind: reconciler.RemoteNoOp, Op: "push",
		Text: fmt.Sprintf("the remote took the push, but %s is still at %s", r.o.Branch, short(head)),
	}
}

// putAside pushes what the branch refused to a branch of its own. One of ours
// from an earlier try is replaced; one that a person worked on is left.
func (r *Repository) putAside(ctx context.Context, branch string, p *proposal, out reconciler.Pushed, refused error) (reconciler.Pushed, error) {
	ref := plumbing.NewBranchReferenceName(branch)
	out.Outcome, out.Branch = reconciler.PushedBranch, branch
	out.Notes = append(out.Notes, fmt.Sprintf("%s was refused: %s", r.o.Branch, refused))
	old, err := r.remote.readRef(ctx, ref)
	if err != nil {
		return reconciler.Pushed{}, err
	}
	if old == p.tip {
		return out, nil
	}
	if !old.IsZero() {
		// One whose commit is not to be had here is not ours either.
		ours := false
		if c, err := r.store.commit(old); err == nil {
			ours = parseMessage(c.message).object(trailerRollbackOf) != ""
		}
		if !ours {
			out.Commits = nil
			out.Notes = append(out.Notes, fmt.Sprintf("branch %s is there already and is left as it is", branch))
			return out, nil
		}
	}
	if _, err := r.land(ctx, ref, old, p); err != nil {
		return reconciler.Pushed{}, fmt.Errorf("%w; and branch %s: %w", refused, branch, err)
	}
	return out, nil
}
