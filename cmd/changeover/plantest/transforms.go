package plantest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Transformed is how far a transform is from a time on. What it does not speak of is
// zero.
type Transformed struct {
	At      time.Duration
	Name    string
	Unknown bool // nothing is known any more
	Counts  gates.Transform
	place   place
}

func (t Transformed) facts() gates.Transform {
	if t.Unknown {
		return gates.Transform{Why: "it is told to be"}
	}
	return t.Counts
}

func (d *decoder) transformed(n *yaml.Node) (t Transformed) {
	fields := map[string]func(key, value *yaml.Node){
		"at":       func(_, v *yaml.Node) { t.At = d.duration(v, false) },
		"name":     func(_, v *yaml.Node) { t.Name, t.place = d.Text(v), place{v.Line, v.Column} },
		"complete": func(_, v *yaml.Node) { t.Counts.Complete = d.Bool(v) },
		"unknown":  func(_, v *yaml.Node) { t.Unknown = d.Bool(v) },
	}
	for name, into := range map[string]*int64{
		"total": &t.Counts.Total, "done": &t.Counts.Done, "failed": &t.Counts.Failed, "objects": &t.Counts.Objects, "orphaned": &t.Counts.Orphaned,
	} {
		fields[name] = func(_, v *yaml.Node) { *into = d.count(v) }
	}
	d.Fields(n, "what is known of a transform", fields, "at", "name")
	return t
}

// transform checks that one of the contents has it.
func (r *resolver) transform(t Transformed) {
	var names []string
	for _, p := range r.contents {
		names = append(names, transformsOf(p)...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if t.Name == "" || slices.Contains(names, t.Name) {
		return
	}
	hint := "the plan's transforms are: " + strings.Join(names, ", ")
	if len(names) == 0 {
		hint = "the plan transforms nothing"
	}
	r.addAt(t.place, "unknown-transform", fmt.Sprintf("the plan has no transform %q", t.Name), hint)
}

func transformsOf(p *plan.Plan) (names []string) {
	for _, ph := range p.Spec.Phases {
		for _, t := range ph.Transforms {
			names = append(names, t.Name)
		}
	}
	return names
}
