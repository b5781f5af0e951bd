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
	return plansAt(ctx, r.index, r.store, c.tree, rev)
}

// plansAt lists the plans in a tree, by path.
func plansAt(ctx context.Context, x *index, o objects, root plumbing.Hash, rev plan.Revision) ([]reconciler.PlanFile, error) {
	files, err := x.files(ctx, o, root)
	if err != nil {
		return nil, err
	}
	out := make([]reconciler.PlanFile, 0, len(files))
	byKey := map[plan.Key][]int{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := x.at(o, root, f)
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
	if err := f.err(); err != nil {
		return plan.Version{}, fmt.Errorf("read plan %q at %s: %w", key, rev.Short(), err)
	}
	return f.version(rev, f.path), nil
}

// err says why the plan is not valid, or nil.
func (f *found) err() error {
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
	at, err := r.broken(ctx, key, c)
	switch {
	case err != nil:
		return err
	case at == nil:
		return fmt.Errorf("read plan %q at %s: %w", key, short(c.hash), reconciler.ErrNoPlan)
	}
	return fmt.Errorf("read plan %q at %s: %w: %q no longer reads as this plan", key, short(c.hash), reconciler.ErrInvalidPlan, at.path)
}

// broken looks for the file of a plan that cannot be found by its name: where
// it last was, if there still is a file that is no other plan. It returns nil
// where the plan is gone or never was.
func (r *Repository) broken(ctx context.Context, key plan.Key, c *commit) (*file, error) {
	h, err := r.standing(ctx, key, c)
	if err != nil || h.path == "" {
		return nil, err
	}
	e, _, err := lookup(r.store, c.tree, h.path)
	if err != nil {
		return nil, err
	}
	return &file{h.path, e.hash, e.mode}, nil
}
