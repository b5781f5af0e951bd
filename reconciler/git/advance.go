package git

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// AdvanceBranch is the branch on which a stop of a plan is proposed.
func AdvanceBranch(key plan.Key, to plan.Position) string {
	return fmt.Sprintf("changeover/advance-%s-%s", key.Name, to)
}

// Propose implements reconciler.Source. A branch of that name which was merged
// is taken up again; one that declares the position is left as it is; one that
// declares another is a person's and an error of kind Refused.
func (r *Repository) Propose(ctx context.Context, key plan.Key, to plan.Position, message string) (string, error) {
	branch := AdvanceBranch(key, to)
	ref := plumbing.NewBranchReferenceName(branch)
	if _, err := r.Poll(ctx); err != nil {
		return branch, err
	}
	old, err := r.fetchTip(ctx, ref)
	if err != nil {
		return branch, err
	}
	head := r.base()
	if !old.IsZero() {
		merged, err := r.contains(ctx, head, old)
		if err != nil {
			return branch, err
		}
		if !merged {
			return branch, r.proposedAt(ctx, key, to, branch, old)
		}
	}
	e := Edit{Key: key, SetPosition: &to, Message: fmt.Sprintf("%s: %s\n\n%s", key.Name, to, message)}
	p, err := r.edit(ctx, e, head, r.o.Now())
	if err != nil || len(p.commits) == 0 {
		return branch, err
	}
	_, err = r.land(ctx, ref, old, p)
	return branch, err
}

// proposedAt checks that a branch which is there declares the position.
func (r *Repository) proposedAt(ctx context.Context, key plan.Key, to plan.Position, branch string, tip plumbing.Hash) error {
	c, err := r.store.commit(tip)
	if err != nil {
		return err
	}
	f, err := r.index.find(ctx, r.store, c.tree, key)
	if err != nil {
		return err
	}
	if f.ok() && f.position() == to {
		return nil
	}
	return &reconciler.RemoteError{
		Kind: reconciler.RemoteRefused, Op: "propose",
		Text: fmt.Sprintf("branch %q is on the remote and does not declare %s: delete it", branch, to),
	}
}

// Proposed reports whether the branch on which a stop is proposed is at the
// remote, declares that stop, and is not merged.
func (r *Repository) Proposed(ctx context.Context, key plan.Key, to plan.Position) (bool, error) {
	branch := AdvanceBranch(key, to)
	tip, err := r.fetchTip(ctx, plumbing.NewBranchReferenceName(branch))
	if err != nil || tip.IsZero() {
		return false, err
	}
	merged, err := r.contains(ctx, r.base(), tip)
	if err != nil || merged {
		return false, err
	}
	err = r.proposedAt(ctx, key, to, branch, tip)
	if isKind(err, reconciler.RemoteRefused) {
		return false, nil
	}
	return err == nil, err
}
