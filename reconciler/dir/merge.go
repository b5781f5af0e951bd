package dir

import (
	"fmt"
	"slices"

	"github.com/changeover-dev/changeover/render"
)

// expanded is what is written before traffic moves: what is desired, with no
// fewer replicas than were written before, and all else that was.
func (p *pass) expanded() ([]render.Object, error) {
	out := make([]render.Object, 0, len(p.want))
	for _, o := range p.want {
		out = append(out, raised(o, p.was.object(o.ID())))
	}
	out = append(out, p.leftovers()...)
	return out, p.overBroken(out)
}

// raised is an object with no fewer replicas than it was written with.
func raised(o, was render.Object) render.Object {
	if was == nil {
		return o
	}
	had, ok := replicas(was)
	n, _ := replicas(o)
	if !ok || had <= n {
		return o
	}
	out := render.Object(clone(map[string]any(o)).(map[string]any))
	mapIn(out, "spec")["replicas"] = had
	return out
}

// leftovers are the objects that were written and are not desired any more.
func (p *pass) leftovers() []render.Object {
	wanted := map[render.ID]bool{}
	for _, o := range p.want {
		wanted[o.ID()] = true
	}
	return slices.DeleteFunc(slices.Clone(p.was.objects), func(o render.Object) bool { return wanted[o.ID()] })
}

// overBroken fails where a file that cannot be read would be lost: it may hold
// an object that has to stay.
func (p *pass) overBroken(next []render.Object) error {
	lost := written{broken: map[string]string{}}
	files := names(next)
	for name, why := range p.was.broken {
		if !slices.Contains(files, name) {
			lost.broken[name] = why
		}
	}
	if len(lost.broken) == 0 {
		return nil
	}
	return lost.unreadable()
}

// left is what became of the leftovers.
type left struct {
	kept    []string // in words, with why
	tooMany error    // nothing is taken out
}

// contracted is what is written after traffic moved: what is desired, and of
// what is not desired any more only what must not be deleted.
func (p *pass) contracted() ([]render.Object, left, error) {
	out := slices.Clone(p.want)
	var l left
	var doomed []string
	var stay, going []render.Object
	for _, o := range p.leftovers() {
		why := keep(o)
		switch {
		case why != "":
			l.kept = append(l.kept, fmt.Sprintf("%s is not wanted any more: %s", title(o.ID()), why))
		case !p.d.Prune:
			l.kept = append(l.kept, fmt.Sprintf("%s is not wanted any more, and stays as prune is false", title(o.ID())))
		default:
			doomed = append(doomed, title(o.ID()))
			going = append(going, o)
			continue
		}
		stay = append(stay, o)
	}
	if len(doomed) > p.d.MaxPrune {
		l.tooMany = fmt.Errorf("nothing is deleted: %d objects are not wanted any more, and this stop may delete %d: %s; if that is meant, raise maxPrune of the phase's cluster to %d or more",
			len(doomed), p.d.MaxPrune, firstFew(doomed), len(doomed))
		stay = append(stay, going...)
	}
	out = append(out, stay...)
	return out, l, p.overBroken(out)
}

// keep says why an object must not be deleted though nobody wants it; empty
// where it may.
func keep(o render.Object) string {
	switch o.Annotation(render.PruneAnnotation) {
	case "disabled":
		return "annotated " + render.PruneAnnotation + ": disabled"
	case "enabled":
		return ""
	}
	const by = ": take it out of the folder by hand, or annotate it " + render.PruneAnnotation + ": enabled"
	switch id := o.ID(); (render.Kind{Group: id.Group, Kind: id.Kind}) {
	case render.Kind{Kind: "Namespace"}, render.Kind{Kind: "PersistentVolume"}, render.Kind{Kind: "PersistentVolumeClaim"}:
		return "may hold data" + by
	case render.Kind{Group: groupCRD, Kind: kindCRD}:
		return "objects of its kind would go with it" + by
	}
	return ""
}
