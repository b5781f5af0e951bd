package git

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Plans implements reconciler.Source. What it returns is shared: the plans and
// documents must not be changed.
func (r *Repository) Plans(ctx context.Context, rev plan.Revision) ([]reconciler.PlanFile, error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return nil, err
	}
	files, err := r.index.files(ctx, r.store, c.tree)
	if err != nil {
		return nil, err
	}
	out := make([]reconciler.PlanFile, 0, len(files))
	byKey := map[plan.Key][]int{}
	for _, f := range files {
		d, err := r.index.decode(r.store, f)
		if err != nil {
			return nil, err
		}
		pf := reconciler.PlanFile{Version: d.version(rev, f.path), Document: d.doc, Problems: d.problems}
		if key := pf.Version.Plan.Key(); key.Name != "" {
			byKey[key] = append(byKey[key], len(out))
		}
		out = append(out, pf)
	}
	for key, at := range byKey {
		for i, here := range at {
			for j, other := range at {
				if i != j {
					out[here].Problems = append(slices.Clone(out[here].Problems), declaredTwice(out[here].Document, key, out[other].Version.Path))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b reconciler.PlanFile) int { return strings.Compare(a.Version.Path, b.Version.Path) })
	return out, nil
}

func declaredTwice(doc *plan.Document, key plan.Key, other string) plan.Problem {
	return doc.Problem("metadata.name", 0, "duplicate-plan",
		fmt.Sprintf("plan %q is declared in %q too", key, other),
		"keep one of the two files, or give one of the plans another name")
}

func (d *decoded) version(rev plan.Revision, path string) plan.Version {
	return plan.Version{Plan: d.doc.Plan, Revision: rev, Path: path, Content: d.content, Live: d.live}
}

// Version implements reconciler.Source. Where the plan's file is there but is
// not valid the error is a reconciler.ErrInvalidPlan. The plan is shared and
// must not be changed.
func (r *Repository) Version(ctx context.Context, key plan.Key, rev plan.Revision) (plan.Version, error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return plan.Version{}, err
	}
	f, err := r.index.find(ctx, r.store, c.tree, key)
	if err != nil {
		return plan.Version{}, err
	}
	if f == nil {
		return plan.Version{}, r.absent(ctx, key, c)
	}
	if err := f.err(key); err != nil {
		return plan.Version{}, fmt.Errorf("read plan %q at %s: %w", key, rev.Short(), err)
	}
	return f.version(rev, f.path), nil
}

// err says why the plan is not valid, or nil.
func (f *found) err(key plan.Key) error {
	if f.twice != "" {
		return fmt.Errorf("%w: %q and %q both declare it", reconciler.ErrInvalidPlan, f.path, f.twice)
	}
	for _, p := range f.problems {
		if p.Severity != plan.SeverityWarning {
			return fmt.Errorf("%w: %s", reconciler.ErrInvalidPlan, p)
		}
	}
	return nil
}

// absent tells a plan that is gone from one whose file is there but does not
// say its name any more.
func (r *Repository) absent(ctx context.Context, key plan.Key, c *commit) error {
	at, path, err := r.broken(ctx, key, c)
	switch {
	case err != nil:
		return err
	case at == nil:
		return fmt.Errorf("read plan %q at %s: %w", key, short(c.hash), reconciler.ErrNoPlan)
	}
	return fmt.Errorf("read plan %q at %s: %w: %q no longer reads as this plan", key, short(c.hash), reconciler.ErrInvalidPlan, path)
}

// broken looks for the file of a plan that cannot be found by its name: the
// last one that held it on the way to this commit, if that is still there and
// is no other plan. It returns nil where the plan is gone or never was.
func (r *Repository) broken(ctx context.Context, key plan.Key, c *commit) (*file, string, error) {
	last, err := r.lastSeen(ctx, key, c)
	if err != nil || last == nil {
		return nil, "", err
	}
	e, ok, err := lookup(r.store, c.tree, last.path)
	if err != nil || !ok || !e.isFile() {
		return nil, "", err
	}
	f := file{last.path, e.hash, e.mode}
	if k, err := r.index.keyOf(r.store, f); err != nil || k.Name != "" && k != key {
		return nil, "", err
	}
	return &f, last.path, nil
}

// maxLookBack bounds how many commits are walked back in search of a plan. One
// that was gone for longer counts as new.
const maxLookBack = 10_000

// lastSeen is the plan in the newest commit before c, first parents only,
// that has it; nil where none has.
func (r *Repository) lastSeen(ctx context.Context, key plan.Key, c *commit) (*found, error) {
	return r.lookBack(ctx, key, c, func(f *found) bool { return f != nil })
}

// lastValid is the same for the newest that is valid.
func (r *Repository) lastValid(ctx context.Context, key plan.Key, c *commit) (*found, error) {
	return r.lookBack(ctx, key, c, func(f *found) bool { return f.ok() })
}

func (r *Repository) lookBack(ctx context.Context, key plan.Key, c *commit, want func(*found) bool) (*found, error) {
	var before plumbing.Hash
	for range maxLookBack {
		if c.parent().IsZero() {
			return nil, nil
		}
		var err error
		if c, err = r.store.parentOf(c); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dir, err := r.index.watched(r.store, c.tree)
		if err != nil {
			return nil, err
		}
		if dir == before {
			continue
		}
		before = dir
		f, err := r.index.find(ctx, r.store, c.tree, key)
		if err != nil {
			return nil, err
		}
		if want(f) {
			return f, nil
		}
	}
	return nil, nil
}
