package transform

import (
	"context"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// Shown is what would become of one source.
type Shown struct {
	// Source is NAMESPACE/NAME.
	Source  string
	Targets []ShownTarget
	// Err is why it cannot be transformed, or nil.
	Err error
}

// ShownTarget is one object that would be written.
type ShownTarget struct {
	Target string
	ID     render.ID
	Object map[string]any
	// New: it is not there yet.
	New bool
	// Err is why it would not be written, or nil.
	Err error
}

// Preview shows what a transform of a plan would do to each source, in the order of
// the sources, by dry runs on the server's side: the Runner's client must be one for
// dry runs. Nothing is written, neither in the cluster nor to the records.
func (r *Runner) Preview(ctx context.Context, p *plan.Plan, t plan.Transform, show func(Shown)) (err error) {
	j, err := r.jobOf(&work{}, reconciler.Task{Version: plan.Version{Plan: p}}, t, reconciler.Progress{}, &store{records: map[string]*record{}})
	if err != nil {
		return err
	}
	if j.source, err = j.mapping(t.From.APIVersion, t.From.Kind); err != nil {
		return err
	}
	if j.index, err = j.readIndex(ctx); err != nil {
		return err
	}
	return j.eachPage(ctx, func(page []unstructured.Unstructured) error {
		all := make([]Shown, len(page))
		var g errgroup.Group
		g.SetLimit(t.Parallelism)
		for i := range page {
			g.Go(func() error {
				all[i] = j.show(ctx, &page[i])
				return nil
			})
		}
		_ = g.Wait() // each error stands with its source
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, s := range all {
			show(s)
		}
		return nil
	})
}

func (j *job) show(ctx context.Context, u *unstructured.Unstructured) Shown {
	key := u.GetNamespace() + "/" + u.GetName()
	out := Shown{Source: key}
	var want []wanted
	out.Err = guarded(func() (err error) {
		want, err = j.want(ctx, u, content(u.Object))
		return err
	})
	for i := range want {
		w := &want[i]
		_, there := j.index[w.id]
		_, err := j.writeOne(ctx, w, nil, key)
		out.Targets = append(out.Targets, ShownTarget{Target: w.name, ID: w.id, Object: w.object, New: !there, Err: err})
	}
	return out
}
