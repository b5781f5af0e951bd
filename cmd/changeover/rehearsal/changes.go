package rehearsal

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/render"
)

// title names an object for people: KIND NAMESPACE/NAME.
func title(id render.ID) string {
	id.Group = ""
	return id.String()
}

// compare tells what a stop changes, against another; the first brings all.
func (w *walk) compare(before, s *stage, first bool) Stop {
	out := Stop{Stop: s.stop}
	if s.rules != nil {
		out.Traffic = &Traffic{Rules: s.rules, Changed: first || !slices.Equal(before.rules, s.rules)}
	}
	if !first {
		out.From = before.stop
	}
	if s.desired == nil {
		return out
	}
	out.Cluster = &Objects{}
	had := map[render.ID]render.Object{}
	if before != nil && before.desired != nil {
		for _, o := range before.desired.Objects {
			had[o.ID()] = o
		}
	}
	for _, o := range s.desired.Objects {
		old, ok := had[o.ID()]
		switch {
		case !ok:
			out.Cluster.Created = append(out.Cluster.Created, o.ID())
		case reflect.DeepEqual(old, o):
			out.Cluster.Unchanged++
		default:
			var fields []Field
			differing(map[string]any(old), map[string]any(o), "", &fields)
			out.Cluster.Changed = append(out.Cluster.Changed, Change{o.ID(), fields})
		}
	}
	return out
}

// differing lists the paths at which two values differ, in order.
func differing(a, b any, path string, out *[]Field) {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		keys := map[string]bool{}
		for k := range am {
			keys[k] = true
		}
		for k := range bm {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			differing(am[k], bm[k], join(path, k), out)
		}
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok && len(al) == len(bl) {
		for i := range al {
			differing(al[i], bl[i], path+"["+strconv.Itoa(i)+"]", out)
		}
		return
	}
	if !reflect.DeepEqual(a, b) {
		f := Field{Path: path}
		if number(a) && number(b) {
			f.From, f.To = a, b
		}
		*out = append(*out, f)
	}
}

func number(v any) bool {
	switch v.(type) {
	case int64, float64:
		return true
	}
	return false
}

// join writes a key as people write it after a path.
func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// held is an object that there would be.
type held struct {
	object render.Object // nil: only its name is known
	kept   bool          // it is not wanted any more, and that was said
}

// inventory is what there would be in the cluster of what the plan applied.
type inventory map[render.ID]held

// strangers are those of the live objects that no stop wants.
func (w *walk) strangers(live []render.ID) inventory {
	out := inventory{}
	for _, id := range live {
		out[id] = held{}
	}
	for _, s := range w.stages {
		if s.desired == nil {
			continue
		}
		for _, o := range s.desired.Objects {
			delete(out, o.ID())
		}
	}
	return out
}

// moving says which way a stop is reached.
type moving struct {
	back bool
	// straight is the stop from which a breach leads there, past others.
	straight plan.Position
}

// contract tells what a stop deletes of what there would be, and returns what
// there would be then.
func (w *walk) contract(ctx context.Context, s *stage, have inventory, out *Objects, m moving) (inventory, error) {
	if s.desired == nil {
		return have, nil
	}
	next := inventory{}
	for _, o := range s.desired.Objects {
		next[o.ID()] = held{object: o}
	}
	var ids []render.ID
	for id := range have {
		if _, wanted := next[id]; !wanted {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b render.ID) int { return strings.Compare(a.String(), b.String()) })
	fates := make([]kube.Leaving, len(ids))
	for i, id := range ids {
		fates[i].ID = id
	}
	if w.Cluster != nil && len(ids) > 0 {
		var err error
		if fates, err = w.Cluster.Leave(ctx, *s.desired, ids); err != nil {
			return nil, err
		}
	}
	for _, f := range fates {
		h := have[f.ID]
		why := stays(h, f)
		switch {
		case f.Refused != "":
			w.report.find(s.stop, m.back, "delete "+title(f.ID), f.Refused)
		case !f.Live && h.object == nil:
			continue // it is gone already
		}
		if why == "" && !s.desired.Prune {
			why = "prune is false"
		}
		if why == "" {
			out.Deleted = append(out.Deleted, f.ID)
			continue
		}
		if !h.kept {
			out.Kept = append(out.Kept, Reason{f.ID, why})
		}
		h.kept = true
		next[f.ID] = h
	}
	w.few(s, have, next, out, m)
	return next, nil
}

// stays says why an object would not be deleted. One that the way applies bears
// the plan's name by then, and the annotations of its manifest; what others have
// annotated it with remains.
func stays(h held, f kube.Leaving) string {
	if h.object == nil || f.Live && !f.Foreign && h.object.Annotation(render.PruneAnnotation) == "" {
		return f.Stays
	}
	return kube.Stays(h.object)
}

// few finds a stop that would delete more than it may. Then it deletes nothing.
func (w *walk) few(s *stage, have, next inventory, out *Objects, m moving) {
	if len(out.Deleted) <= s.desired.MaxPrune {
		return
	}
	way := ""
	if !m.straight.IsZero() {
		way = fmt.Sprintf(", straight back from %s by a breach,", m.straight)
	}
	w.report.find(s.stop, m.back, "cluster", fmt.Sprintf(
		"the stop%s would delete %d objects and may delete %d, so nothing would be deleted: if that is meant, raise maxPrune of the phase's cluster to %d or more",
		way, len(out.Deleted), s.desired.MaxPrune, len(out.Deleted)))
	for _, id := range out.Deleted {
		next[id] = have[id]
	}
}
