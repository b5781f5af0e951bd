package main

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/simulation"
	"github.com/changeover-dev/changeover/plan"
)

// simulateOthers plays the plans on which one depends, and before them those on which
// they do. A plan that no file has is left out: nothing is told of it.
func (a *app) simulateOthers(ctx context.Context, doc *plan.Document, f simulateFlags, paths []string) ([]simulation.Other, error) {
	if len(doc.Plan.Spec.DependsOn) == 0 {
		return nil, nil
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	// The clock is read once: all begin at the same time.
	r, _, err := f.check(doc.Plan, a.now())
	if err != nil {
		return nil, err
	}
	files := a.readPlans(paths)
	o := &otherPlans{a: a, f: f, docs: map[plan.Key]*plan.Document{}, done: map[plan.Key]*simulation.Other{}}
	o.f.start, o.f.from, o.f.to = r.Start.Format(time.RFC3339), "", ""
	for _, d := range files.docs {
		if !plan.HasErrors(files.of(d.File)) {
			o.docs[d.Plan.Key()] = d
		}
	}
	if f.from != "" {
		var all []simulation.Other
		for _, d := range o.before(doc) {
			all = append(all, simulation.Completed(d.Plan, r.Start))
		}
		return all, nil
	}
	return o.play(ctx, doc)
}

// otherPlans are those that files have, and those that were played.
type otherPlans struct {
	a    *app
	f    simulateFlags
	docs map[plan.Key]*plan.Document
	done map[plan.Key]*simulation.Other
}

// before are the plans that one depends on and that files have.
func (o *otherPlans) before(doc *plan.Document) (out []*plan.Document) {
	for _, d := range doc.Plan.Spec.DependsOn {
		if dep := o.docs[doc.Plan.Other(d.Plan)]; dep != nil {
			out = append(out, dep)
		}
	}
	return out
}

// play plays what one depends on. Plans that depend on themselves do not validate, so
// that it ends.
func (o *otherPlans) play(ctx context.Context, doc *plan.Document) (out []simulation.Other, err error) {
	for _, dep := range o.before(doc) {
		key := dep.Plan.Key()
		if o.done[key] == nil {
			earlier, err := o.play(ctx, dep)
			if err != nil {
				return nil, err
			}
			r, err := o.a.simulate(ctx, dep, o.f, earlier)
			if err != nil {
				return nil, err
			}
			o.done[key] = &simulation.Other{Plan: dep.Plan, Report: r}
		}
		out = append(out, *o.done[key])
	}
	return out, nil
}
