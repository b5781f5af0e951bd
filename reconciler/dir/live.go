package dir

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

const leftToGates = "health is left to gates, as " + noLive

// Healthy implements reconciler.Cluster. Without a live cluster what is written
// counts as healthy, and the text says so.
func (c *Dir) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	p, err := c.begin(ctx, d)
	if err != nil {
		return false, "", err
	}
	return c.healthy(ctx, p)
}

// healthy looks at the objects that are desired, as they stand in the folder.
func (c *Dir) healthy(ctx context.Context, p *pass) (bool, string, error) {
	var missing []string
	objects := make([]render.Object, 0, len(p.want))
	for _, o := range p.want {
		was := p.was.object(o.ID())
		next, err := signed(raised(o, was))
		if err != nil {
			return false, "", err
		}
		if !sameContent(next, was) {
			missing = append(missing, title(o.ID())+" is not written yet")
		}
		objects = append(objects, next)
	}
	switch {
	case len(missing) > 0:
		return false, firstFew(missing), nil
	case c.o.Live == nil:
		return true, leftToGates, nil
	}
	if why := c.behind(ctx, p, objects); why != "" {
		return false, why, nil
	}
	live := p.d
	live.Objects = objects
	return c.o.Live.Healthy(ctx, live)
}

// sameContent reports whether an object is the one that was written.
func sameContent(next, was render.Object) bool {
	if was == nil {
		return false
	}
	s, err := signed(was)
	return err == nil && s.Annotation(contentAnnotation) == next.Annotation(contentAnnotation)
}

// behind says which live objects are not yet as they are written; empty where
// all are. Secrets are not read.
func (c *Dir) behind(ctx context.Context, p *pass, objects []render.Object) string {
	key := p.d.Mark.Key
	ask := &plan.Plan{Metadata: plan.Metadata{Namespace: key.Namespace, Name: key.Name}}
	ask.Spec.ServiceAccountName = p.d.Account
	ask.Spec.Objects = map[string]plan.ObjectRef{}
	byName := map[string]render.Object{}
	for i, o := range objects {
		if id := o.ID(); id.Group != "" || id.Kind != "Secret" {
			name := fmt.Sprintf("o%05d", i)
			byName[name] = o
			ask.Spec.Objects[name] = plan.ObjectRef{APIVersion: o.APIVersion(), Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
		}
	}
	names := slices.Sorted(maps.Keys(byName))
	got := c.o.Live.Read(ctx, ask, names)
	var parts []string
	for _, name := range names {
		want := byName[name]
		live := got[name]
		switch {
		case live.Err != nil:
			parts = append(parts, fmt.Sprintf("%s: %s", title(want.ID()), strings.TrimPrefix(live.Err.Error(), fmt.Sprintf("read object %q: ", name))))
		case live.Value == nil:
			parts = append(parts, fmt.Sprintf("%s: it is not there yet: %s has yet to be applied", title(want.ID()), c.store.where(key)))
		case render.Object(live.Value).Annotation(contentAnnotation) != want.Annotation(contentAnnotation):
			parts = append(parts, fmt.Sprintf("%s: it is not yet as it is written: %s has yet to be applied", title(want.ID()), c.store.where(key)))
		}
	}
	return firstFew(parts)
}

// Observe implements reconciler.Cluster. InSync is about what is written, which
// is all that can be put right from here; Healthy is about the live objects.
func (c *Dir) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	p, err := c.begin(ctx, d)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	st := reconciler.ClusterState{Mark: p.was.meta.Mark}
	if len(p.was.objects) == 0 {
		st.Mark = nil
	}
	objects, l, err := p.contracted()
	if err != nil {
		return reconciler.ClusterState{}, fmt.Errorf("read %s: %w", c.store.where(d.Mark.Key), err)
	}
	files, err := encode(d.Mark.Key, objects, p.was.meta.Mark)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	parts := []string{c.differences(d.Mark.Key, files, p.was.files)}
	if l.tooMany != nil {
		parts = append(parts, l.tooMany.Error())
	}
	st.InSync = strings.Join(parts, "") == ""
	ok, why, err := c.healthy(ctx, p)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	st.Healthy = ok
	parts = append(parts, why, firstFew(l.kept))
	st.Message = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
	return st, nil
}

// differences says which files of a folder are not as they should be.
func (c *Dir) differences(key plan.Key, want, have map[string][]byte) string {
	if len(have) == 0 {
		return c.store.where(key) + " is not written yet"
	}
	var parts, derived []string
	add := func(name, what string) {
		if name == metaFile || name == kustomizationFile {
			derived = append(derived, name+what)
		} else {
			parts = append(parts, name+what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if b, ok := have[name]; !ok {
			add(name, " is not there")
		} else if !slices.Equal(b, want[name]) {
			add(name, " is not as it should be")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; !ok {
			add(name, " should not be there")
		}
	}
	if len(parts) == 0 {
		parts = derived // else they follow from the others
	}
	if len(parts) == 0 {
		return ""
	}
	return c.store.where(key) + ": " + firstFew(parts)
}
