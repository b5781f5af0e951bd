package gates

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/gates/celtext"
	"github.com/changeover-dev/changeover/plan"
)

// What stands beside the plan itself: other plans, approvals, and the commit
// that declares what is to come.

// besideName is a plan or a role as it stands in an expression.
func besideName(variable, name string) string {
	if identifier.MatchString(name) {
		return variable + "." + name
	}
	return variable + "[" + strconv.Quote(name) + "]"
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// planBefore finds, at the end of what stands before a field, that it is one of
// another plan; the group is set for its declared position.
var planBefore = regexp.MustCompile(`\bplans\s*(?:\.\s*\w+|\[[^\]]*\])(\s*\.\s*declared)?\s*$`)

// dashedName is a name with a dash behind a dot, which CEL reads as a difference.
var dashedName = regexp.MustCompile(`\b(plans|approvals|transforms)\s*\.\s*(\w+(?:-\w+)+)`)

// dashed speaks of a name that CEL does not know because it is the rest of one
// with a dash.
func (f *fault) dashed(src []rune) bool {
	for _, m := range dashedName.FindAllStringSubmatchIndex(string(src), -1) {
		text := string(src)
		name := text[m[4]:m[5]]
		start := len([]rune(text[:m[4]]))
		if f.offset < start || f.offset >= start+len([]rune(name)) {
			continue
		}
		f.offset, f.message = start, fmt.Sprintf("%q is read as a difference", name)
		f.hint = "write a name with - in quotes: " + besideName(text[m[2]:m[3]], name)
		return true
	}
	return false
}

// unquoted speaks of plans[...] and approvals[...] with something else than a
// name in it.
func (f *fault) unquoted(variable string) {
	f.message = variable + "[...] wants a name in quotes"
	f.hint = "write it as in " + besideName(variable, "the-name")
}

// planField speaks of a field that no plan has.
func (f *fault) planField(field string, ofDeclared bool) {
	what, names := "a plan", fieldNames(planType)
	if ofDeclared {
		what, names = "the declared position", fieldNames(positionType)
	}
	f.code = "unknown-name"
	f.message = fmt.Sprintf("%s has no field %q", what, field)
	f.hint = celtext.Suggest(field, names, what+" has: ")
}

// mapTexts are how errors of the checker write the types of the variables that
// are maps.
var mapTexts = map[string]string{
	"plans": cel.FormatCELType(variables["plans"]), "approvals": cel.FormatCELType(variables["approvals"]),
	transformsFact: cel.FormatCELType(variables[transformsFact]),
}

// index reads plans["NAME"], approvals["NAME"] and transforms["NAME"]. Which of them
// an expression reads must be told from the expression itself.
func (r *reads) index(e ast.Expr) bool {
	call := e.AsCall()
	if call.FunctionName() != operators.Index || call.Args()[0].Kind() != ast.IdentKind {
		return false
	}
	variable, key := call.Args()[0].AsIdent(), call.Args()[1]
	if mapTexts[variable] == "" {
		return false
	}
	var name types.String
	if key.Kind() == ast.LiteralKind {
		name, _ = key.AsLiteral().(types.String)
	}
	if name == "" {
		f := fault{offset: r.offset(key), code: "gate-invalid"}
		f.unquoted(variable)
		r.faults = append(r.faults, f)
		return true
	}
	r.fields[variable][string(name)] = true
	r.named(variable, string(name), r.offset(key))
	return true
}

// named checks the name of a plan or a role where it is read.
func (r *reads) named(variable, name string, offset int) {
	f := fault{offset: offset, code: "gate-invalid"}
	switch {
	case variable == "approvals" && !slices.Contains(r.names.roles, name):
		f.undeclared("role", name, r.names.roles)
	case variable == transformsFact && !slices.Contains(r.names.transforms, name):
		f.noTransform(name, r.names.transforms)
	case variable == "plans" && !plan.IsPlanName(name):
		f.message = fmt.Sprintf("%q can be no plan of this namespace", name)
		f.hint = "write the name alone, as it stands in that plan's metadata.name: plans of other namespaces cannot be read"
	case variable == "plans" && name == r.names.plan:
		f.message = "the plan reads itself"
		f.hint = "read position and declared"
	default:
		return
	}
	r.faults = append(r.faults, f)
}

// readsBeside takes in which plans, roles and commits an expression reads.
func (p *Program) readsBeside(e *expr) {
	for _, name := range e.plans {
		p.plans[name] = cel.AttributePattern("plans").QualString(name)
	}
	for _, role := range e.approvals {
		p.approvals[role] = cel.AttributePattern("approvals").QualString(role)
	}
	for _, name := range e.transforms {
		p.transforms[name] = true
	}
	p.readsCommit = p.readsCommit || slices.Contains(e.facts, "commit")
}

// Plans are the names of the other plans of the namespace that the gates of the
// requests read, sorted.
func (p *Program) Plans(reqs []Request) []string {
	if len(p.plans) == 0 {
		return nil
	}
	set := map[string]struct{}{}
	for _, r := range reqs {
		p.gates(r, func(_ plan.Effect, g *gate) {
			for _, name := range g.expr.plans {
				set[name] = struct{}{}
			}
		})
	}
	return slices.Sorted(maps.Keys(set))
}

var (
	commitAuthor = cel.AttributePattern("commit").QualString("author")
	commitTime   = cel.AttributePattern("commit").QualString("time")
)

// beside fills in the plans, the approvals and the commit that expressions of
// the program read.
func (v *vars) beside(p *Program) {
	for name, pattern := range p.plans {
		s, ok := v.facts.Plans[name]
		if !ok || s.Unknown != "" {
			v.unset = append(v.unset, pattern)
			continue
		}
		if v.plans == nil {
			v.plans = make(map[string]any, len(p.plans))
		}
		v.plans[name] = map[string]any{
			"phase": s.Position.Phase, "percent": float64(s.Position.Percent),
			"declared": map[string]any{"phase": s.Declared.Phase, "percent": float64(s.Declared.Percent)},
			"complete": s.Complete, "state": s.State,
		}
	}
	v.approvals = v.facts.Approvals.By
	for role, pattern := range p.approvals {
		if _, ok := v.approvals[role]; !ok {
			v.unset = append(v.unset, pattern)
		}
	}
	if !p.readsCommit {
		return
	}
	if v.facts.Commit.Author == "" {
		v.unset = append(v.unset, commitAuthor)
	}
	if v.facts.Commit.Time.IsZero() {
		v.unset = append(v.unset, commitTime)
	}
}

// describePlans says how the plans stand that the expression reads, or why that
// is unknown.
func (e *evaluation) describePlans() (parts []string) {
	for _, name := range e.gate.expr.plans {
		s, label := e.plan(name), besideName("plans", name)
		if s.Unknown != "" {
			parts = append(parts, fmt.Sprintf("%s unknown: %s", label, s.Unknown))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is %s at %s (declared %s)", label, s.State, s.Position, s.Declared))
	}
	return parts
}

func (e *evaluation) plan(name string) PlanState {
	s, ok := e.snapshot.Facts.Plans[name]
	if !ok {
		return PlanState{Unknown: "not read"}
	}
	return s
}

// describeApprovals counts the approvals that the expression reads.
func (e *evaluation) describeApprovals() (parts []string) {
	a := &e.snapshot.Facts.Approvals
	for _, role := range e.gate.expr.approvals {
		label := besideName("approvals", role)
		switch n, ok := a.By[role]; {
		case ok:
			parts = append(parts, fmt.Sprintf("%s=%d", label, n))
		case a.Unknown != "":
			parts = append(parts, fmt.Sprintf("%s unknown: %s", label, a.Unknown))
		default:
			parts = append(parts, fmt.Sprintf("%s unknown: not read", label))
		}
	}
	return parts
}

// describe names the commit, or what is unknown of it.
func (c Commit) describe() string {
	if c.Author == "" && c.Time.IsZero() {
		return "commit unknown: not read"
	}
	author, at := "an unknown author", "an unknown time"
	if c.Author != "" {
		author = shorten(c.Author, maxShownRunes)
	}
	if !c.Time.IsZero() {
		at = c.Time.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("commit %s is by %s, of %s", c.Revision.Short(), author, at)
}

// unheard reports whether a plan, approvals, a commit, what bridges tell or
// entities, that the expression reads, are unknown.
func (e *evaluation) unheard() bool {
	f := &e.snapshot.Facts
	return slices.ContainsFunc(e.gate.expr.plans, func(name string) bool { return e.plan(name).Unknown != "" }) ||
		slices.ContainsFunc(e.gate.expr.approvals, func(role string) bool { _, ok := f.Approvals.By[role]; return !ok }) ||
		slices.ContainsFunc(e.gate.expr.facts, f.Bridges.untold) || slices.ContainsFunc(e.gate.expr.facts, f.Entities.untold) ||
		slices.Contains(e.gate.expr.facts, "commit") && (f.Commit.Author == "" || f.Commit.Time.IsZero())
}
