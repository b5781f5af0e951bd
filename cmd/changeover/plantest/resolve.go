package plantest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/cmd/changeover/strictyaml"
	"github.com/changeover-dev/changeover/plan"
)

// Files are the paths of all plans beside Plan that the file names, as they stand
// there, each once.
func (f *File) Files() []string {
	out := slices.Clone(f.Others)
	for _, t := range f.Tests {
		for _, c := range t.Commits {
			if c.Plan != "" {
				out = append(out, c.Plan)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Resolve fills in what the tests leave to the plan, and returns what does not
// fit it. The plans are those of Files, by their paths.
func (f *File) Resolve(p *plan.Plan, src []byte, plans map[string]*plan.Plan) []plan.Problem {
	f.plans = plans
	r := resolver{decoder: &decoder{strictyaml.Open(f.Name, src)}, file: f, plan: p}
	for i := range f.Tests {
		f.Tests[i].fill(p)
		r.test(&f.Tests[i])
	}
	return r.Problems()
}

// resolver compares tests with the plan.
type resolver struct {
	*decoder
	file *File
	plan *plan.Plan
	// contents are those that the plan has in the test at hand.
	contents []*plan.Plan
}

func (r *resolver) test(t *Test) {
	r.contents = r.file.contents(r.plan, *t)
	r.stop(t.Position, t.at.position)
	r.stop(t.Effective, t.at.effective)
	for _, c := range t.Commits {
		r.stop(c.Position, c.place)
		if c.Plan != "" && r.file.plans[c.Plan].Key() != r.plan.Key() {
			r.addAt(c.place, "other-plan", fmt.Sprintf("%s is plan %q, and this is %q", c.Plan, r.file.plans[c.Plan].Key(), r.plan.Key()), "a commit changes the plan of the test")
		}
	}
	r.approvals(t)
	for _, o := range t.Others {
		r.other(o)
	}
	for _, x := range t.Transforms {
		r.transform(x)
	}
	for _, e := range t.Expect {
		r.checks(e.Checks)
	}
}

// stop checks that one of the contents has the stop.
func (r *resolver) stop(pos plan.Position, at place) {
	if !pos.IsZero() && !slices.ContainsFunc(r.contents, func(p *plan.Plan) bool { return p.Itinerary().Index(pos) >= 0 }) {
		r.addAt(at, "unknown-stop", fmt.Sprintf("%s is not on the plan's itinerary", pos), "the stops are "+stops(r.plan.Itinerary()))
	}
}

// approvals checks that they can count at all.
func (r *resolver) approvals(t *Test) {
	if len(t.Approvals) > 0 && t.Author == "" {
		r.addAt(t.at.approvals, "missing-author", "no approval counts before it is known who made the raise", "give the test an author, as in author: dana@example.com")
	}
	for _, a := range t.Approvals {
		r.stop(a.Stop, a.place)
		if !slices.ContainsFunc(r.contents, func(p *plan.Plan) bool { _, ok := p.Spec.Roles[a.Role]; return ok }) {
			r.addAt(a.role, "unknown-role", fmt.Sprintf("the plan has no role %q", a.Role), "its roles are "+strings.Join(sortedKeys(r.plan.Spec.Roles), ", "))
		}
	}
}

func (r *resolver) other(o Other) {
	other := r.file.other(r.plan.Other(o.Plan))
	if other == nil {
		r.addAt(o.place, "unknown-plan", fmt.Sprintf("no file under others has plan %q", r.plan.Other(o.Plan)), "name its file at the top, as in others: [platform.yaml]")
		return
	}
	for _, pos := range []plan.Position{o.Position, o.Declared} {
		if it := other.Itinerary(); !pos.IsZero() && it.Index(pos) < 0 {
			r.addAt(o.place, "unknown-stop", fmt.Sprintf("%s is not on the itinerary of plan %q", pos, other.Key()), "its stops are "+stops(it))
		}
	}
}

func (r *resolver) checks(checks []check) {
	for _, c := range checks {
		switch c.kind {
		case ofGate:
			if !slices.ContainsFunc(r.contents, func(p *plan.Plan) bool { return hasGate(p, c.gate) }) {
				r.addAt(c.place, "unknown-gate", fmt.Sprintf("the plan has no gate %q", c.gate), "write its name, or EFFECT/NAME as in rollback/errors")
			}
		case ofPosition, ofDeclared:
			if pos, err := plan.ParsePosition(c.want); err == nil && c.want != (plan.Position{}).String() {
				r.stop(pos, c.place)
			}
		case ofDecision:
		}
	}
}

func stops(it plan.Itinerary) string {
	names := make([]string, len(it))
	for i, stop := range it {
		names[i] = stop.String()
	}
	return strings.Join(names, ", ")
}

func hasGate(p *plan.Plan, name string) bool {
	for _, ph := range p.Spec.Phases {
		for _, e := range plan.Effects {
			for _, g := range ph.GatesOf(e) {
				if named(e, g.Name, name) {
					return true
				}
			}
		}
	}
	return false
}

// named reports whether NAME or EFFECT/NAME means the gate.
func named(e plan.Effect, name, wanted string) bool {
	return wanted == name || wanted == string(e)+"/"+name
}
