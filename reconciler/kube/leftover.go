package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/status"
	"github.com/changeover-dev/changeover/render"
)

// fate is what becomes of an object that the inventory lists and that is not
// desired any more.
type fate int

const (
	fateGone     fate = iota // it is not there
	fateAdopted              // it is another's now
	fateKept                 // it is left alone
	fateDeleting             // it was deleted and is still there
	fateDelete               // it is to be deleted
)

// leftover is such an object.
type leftover struct {
	id      render.ID
	fate    fate
	why     string // for fateKept, fateAdopted and fateDeleting
	mapping *meta.RESTMapping
	live    map[string]any
	// others are those that may go with it.
	others map[render.ID]bool
	err    error // why nothing is known of it
	// known: it was not looked at, as nothing has changed since it was.
	known bool
}

// leftovers judges what the inventory lists beside what is desired, in the
// order of their names.
func (p *pass) leftovers(ctx context.Context) ([]*leftover, error) {
	inv, err := p.c.inventoryOf(ctx, p.s)
	if err != nil {
		return nil, err
	}
	desired := make(map[render.ID]bool, len(p.items))
	for _, it := range p.items {
		desired[it.id] = true
	}
	var ids []render.ID
	for id := range inv.ids {
		if !desired[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	others := make(map[render.ID]bool, len(ids))
	for _, id := range ids {
		others[id] = true
	}
	out := make([]*leftover, len(ids))
	places := make([]int, len(ids))
	for i := range places {
		places[i] = i
	}
	errs := each(ctx, p.c.o.Log, places, func(ctx context.Context, i int) error {
		if out[i] = p.unchanged(ids[i]); out[i] != nil {
			out[i].others = others
			return nil
		}
		out[i] = p.judge(ctx, ids[i], others)
		if out[i].err != nil {
			return fmt.Errorf("%s: %w", title(ids[i]), out[i].err)
		}
		p.remember(out[i])
		return nil
	})
	return out, joined(errs)
}

func compareIDs(a, b render.ID) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// judge looks at one leftover.
func (p *pass) judge(ctx context.Context, id render.ID, others map[render.ID]bool) *leftover {
	l := &leftover{id: id, others: others}
	m, err := mapping(ctx, p.acc, schema.GroupVersionKind{Group: id.Group, Kind: id.Kind})
	switch {
	case errors.Is(err, client.ErrNoKind): // its definition is gone, and it with it
		return l
	case err != nil:
		l.err = err
		return l
	}
	l.mapping = m
	o, err := p.acc.Resource(m, id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return l
	case err != nil:
		l.err = client.Explain(err)
		return l
	}
	l.live = o.Object
	l.fate, l.why, l.err = p.decide(ctx, l)
	return l
}

func (p *pass) decide(ctx context.Context, l *leftover) (fate, string, error) {
	o := render.Object(l.live)
	owner := o.Annotation(render.PlanAnnotation)
	switch {
	case owner != "" && owner != p.s.key.String():
		return fateAdopted, "belongs to plan " + owner, nil
	case owner == "":
		return fateAdopted, "does not bear the plan's name any more", nil
	case isDeleted(l.live):
		return fateDeleting, status.Deleted(l.live), nil
	}
	if why := Stays(o); why != "" {
		return fateKept, why, nil
	}
	if l.id.Group == groupCRD && l.id.Kind == kindCRD && o.Annotation(render.PruneAnnotation) != "enabled" {
		foreign, err := p.foreignObject(ctx, l.live, l.others)
		if err != nil || foreign == "" {
			return fateDelete, "", err
		}
		return fateKept, "there is still " + foreign + ", which would go with it: delete it by hand, or annotate the definition " + render.PruneAnnotation + ": enabled", nil
	}
	return fateDelete, "", nil
}

// Stays says why an object stays when it is not wanted any more: what it is
// annotated with, or that it may hold data. Empty: it is deleted; a definition
// only where no object of its kind would be lost with it.
func Stays(o render.Object) string {
	switch o.Annotation(render.PruneAnnotation) {
	case "disabled":
		return "annotated " + render.PruneAnnotation + ": disabled"
	case "enabled":
		return ""
	}
	id := o.ID()
	switch (render.Kind{Group: id.Group, Kind: id.Kind}) {
	case render.Kind{Kind: "Namespace"}, render.Kind{Kind: "PersistentVolume"}, render.Kind{Kind: "PersistentVolumeClaim"}:
		return "may hold data: delete it by hand, or annotate it " + render.PruneAnnotation + ": enabled"
	}
	return ""
}

// foreignObject names an object of a definition's kind that would be lost with
// it: one that Changeover did not apply, that another plan did, or that is
// still desired.
func (p *pass) foreignObject(ctx context.Context, definition map[string]any, others map[render.ID]bool) (string, error) {
	spec, _ := definition["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	m, err := mapping(ctx, p.acc, schema.GroupVersionKind{Group: group, Kind: kind})
	if errors.Is(err, client.ErrNoKind) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	next := ""
	for {
		list, err := p.acc.Metadata().Resource(m.Resource).List(ctx, metav1.ListOptions{Limit: pageSize, Continue: next})
		if err != nil {
			return "", fmt.Errorf("list the objects of kind %s that would be deleted with it: %w", kind, client.Explain(err))
		}
		for _, o := range list.Items {
			id := render.ID{Group: group, Kind: kind, Namespace: o.Namespace, Name: o.Name}
			if o.Annotations[render.PlanAnnotation] != p.s.key.String() || !others[id] || o.Annotations[render.PruneAnnotation] == "disabled" {
				return title(id), nil
			}
		}
		if next = list.Continue; next == "" {
			return "", nil
		}
	}
}

// unchanged is a leftover as it was last judged, where a watch says that it has
// not changed since; else nil. What is of no kind that is served is not looked
// for all the time.
func (p *pass) unchanged(id render.ID) *leftover {
	k, ok := p.s.getLeft(id)
	if !ok || p.c.o.Now().Sub(k.at) >= reread {
		return nil
	}
	if k.mapping != nil {
		version, live := p.c.watches.version(p.watchOf(k.mapping, id.Namespace), id.Name)
		if !live || version != k.version {
			return nil
		}
	}
	return &leftover{id: id, fate: k.fate, why: k.why, mapping: k.mapping, known: true}
}
