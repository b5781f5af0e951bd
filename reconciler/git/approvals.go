package git

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// approvalsDir holds, below the watched folder, one folder for each plan.
const approvalsDir = "approvals"

// Bounds of what is read of approvals.
const (
	maxApprovals    = 500 // files of one plan
	maxApprovalFile = 64 << 10
)

// consentID names what was read: a plan's approvals at a head.
type consentID struct {
	key  plan.Key
	head plumbing.Hash
}

// originID names what a file of approvals is at a commit.
type originID struct {
	file         string
	blob, commit plumbing.Hash
}

// Approvals implements reconciler.Source. An approval's author is that of the
// commit that made the file what it is: merges that brought it are looked
// through. Files that do not decode, or name another plan, are left out.
func (r *Repository) Approvals(ctx context.Context, key plan.Key, rev plan.Revision) ([]decide.Approval, error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return nil, err
	}
	id := consentID{key, c.hash}
	if as, ok := r.consents.get(id); ok {
		return as, nil
	}
	as, err := r.readApprovals(ctx, key, c)
	if err != nil {
		return nil, fmt.Errorf("read the approvals of %s at %s: %w", key, rev.Short(), err)
	}
	r.consents.put(id, as)
	return as, nil
}

func (r *Repository) readApprovals(ctx context.Context, key plan.Key, head *commit) ([]decide.Approval, error) {
	dir := path.Join(r.o.Path, approvalsDir, key.Name)
	e, ok, err := lookup(r.store, head.tree, dir)
	if err != nil || !ok || !e.isDir() {
		return nil, err
	}
	entries, err := r.store.tree(e.hash)
	if err != nil {
		return nil, err
	}
	var out []decide.Approval
	files := 0
	for _, e := range entries {
		if !e.isFile() || !strings.HasSuffix(e.name, ".yaml") && !strings.HasSuffix(e.name, ".yml") {
			continue
		}
		if files++; files > maxApprovals {
			return nil, fmt.Errorf("%q holds more than %d files: remove those of raises that are over", dir, maxApprovals)
		}
		file := path.Join(dir, e.name)
		src, whole, err := r.store.blob(e.hash, maxApprovalFile)
		if err != nil {
			return nil, err
		}
		a, problems := plan.DecodeApproval(file, src)
		if !whole || plan.HasErrors(problems) || plan.ParseKey(a.Spec.Plan, key.Namespace) != key {
			continue
		}
		by, err := r.broughtBy(ctx, head, file, e.hash)
		if err != nil {
			return nil, err
		}
		stop, err := plan.ParsePosition(a.Spec.Stop)
		if err != nil {
			continue
		}
		out = append(out, decide.Approval{
			File: file, Commit: revision(by.hash), Author: by.email, At: by.at.UTC(), Stop: stop, Raise: plan.Revision(a.Spec.Raise),
			Role: a.Spec.Role, Item: a.Spec.Item, By: a.Spec.By, Note: a.Spec.Note,
		})
	}
	slices.SortFunc(out, func(a, b decide.Approval) int { return strings.Compare(a.File, b.File) })
	return out, nil
}

// broughtBy is the commit that made a file what it is: from head back, a parent
// that has the same file is followed, whichever it is, so that a merge is not
// taken for the work of who merged. The way ends where an earlier one began, so
// that a new head costs only the commits that came with it.
func (r *Repository) broughtBy(ctx context.Context, head *commit, file string, blob plumbing.Hash) (*commit, error) {
	c := head
	for {
		if h, ok := r.origins.get(originID{file, blob, c.hash}); ok {
			r.origins.put(originID{file, blob, head.hash}, h)
			return r.store.commit(h)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var from *commit
		for _, h := range c.parents {
			p, err := r.store.commit(h)
			if err != nil {
				return nil, err
			}
			e, ok, err := lookup(r.store, p.tree, file)
			if err != nil {
				return nil, err
			}
			if ok && e.isFile() && e.hash == blob {
				from = p
				break
			}
		}
		if from == nil {
			r.origins.put(originID{file, blob, head.hash}, c.hash)
			return c, nil
		}
		c = from
	}
}
