package gates

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/plan"
)

// Transform is how far a transform of the plan is, or what came of it.
type Transform struct {
	// Counts of sources: Total that are known, Done those whose targets are in the
	// cluster, Failed those that failed and are tried again.
	Total, Done, Failed int64
	// Objects that the sources gave, and Orphaned ones that none gives any more.
	// Both are counted when the transform is complete, and unknown before.
	Objects, Orphaned int64
	// Complete: everything was transformed, and compared.
	Complete bool
	// Why nothing is known; "" where something is. It holds no clock.
	Why string
}

const (
	transformsFact = "transforms"
	transformType  = "changeover.Transform"
)

// transformFields in the order in which they are shown; the last two are counted
// at the end.
var transformFields = []string{"complete", "total", "done", "failed", "objects", "orphaned"}

func (t Transform) untold(field string) bool {
	return t.Why != "" || !t.Complete && (field == "objects" || field == "orphaned")
}

func (t Transform) values() map[string]any {
	return map[string]any{
		"total": t.Total, "done": t.Done, "failed": t.Failed, "objects": t.Objects, "orphaned": t.Orphaned, "complete": t.Complete,
	}
}

// transformNames are those of all transforms of a plan, sorted.
func transformNames(p *plan.Plan) (names []string) {
	for _, ph := range p.Spec.Phases {
		for _, t := range ph.Transforms {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names
}

// transformBefore finds, at the end of what stands before a field, that it is one
// of a transform.
var transformBefore = regexp.MustCompile(`\btransforms\s*(?:\.\s*\w+|\[[^\]]*\])\s*$`)

// noTransform speaks of a transform that the plan does not have.
func (f *fault) noTransform(name string, declared []string) {
	f.undeclared("transform", name, declared)
	if len(declared) == 0 {
		f.hint = "the plan transforms nothing: give a phase transforms"
	}
}

// ReadsTransforms reports whether gates of the requests read how transforms are.
func (p *Program) ReadsTransforms(reqs []Request) (out bool) {
	for _, r := range reqs {
		p.gates(r, func(_ plan.Effect, g *gate) { out = out || len(g.expr.transforms) > 0 })
	}
	return out
}

// setTransforms fills in the transforms that expressions of the program read.
func (v *vars) setTransforms(p *Program) {
	for name := range p.transforms {
		t := transformOf(v.facts, name)
		for _, f := range transformFields {
			if t.untold(f) {
				v.unset = append(v.unset, cel.AttributePattern(transformsFact).QualString(name).QualString(f))
			}
		}
		if v.transforms == nil {
			v.transforms = make(map[string]any, len(p.transforms))
		}
		v.transforms[name] = t.values()
	}
}

func transformOf(f *Facts, name string) Transform {
	t, ok := f.Transforms[name]
	if !ok {
		t.Why = "not read"
	}
	return t
}

// describeTransforms says how the transforms are that the expression reads, or why
// that is unknown.
func (e *evaluation) describeTransforms() (parts []string) {
	for _, name := range e.gate.expr.transforms {
		t, label := transformOf(&e.snapshot.Facts, name), besideName(transformsFact, name)
		if t.Why != "" {
			parts = append(parts, fmt.Sprintf("%s unknown: %s", label, t.Why))
			continue
		}
		values := t.values()
		var fields []string
		for _, f := range transformFields {
			if !t.untold(f) {
				fields = append(fields, fmt.Sprintf("%s=%v", f, values[f]))
			}
		}
		if !t.Complete {
			fields = append(fields, "objects and orphaned unknown until it is complete")
		}
		parts = append(parts, label+": "+strings.Join(fields, ", "))
	}
	return parts
}

// untransformed reports whether something is unknown of a transform that the
// expression reads.
func (e *evaluation) untransformed() bool {
	return slices.ContainsFunc(e.gate.expr.transforms, func(name string) bool {
		return slices.ContainsFunc(transformFields, transformOf(&e.snapshot.Facts, name).untold)
	})
}
