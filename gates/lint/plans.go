package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// planRead is a place in an expression that names another plan.
type planRead struct {
	name   string
	offset int // in runes
}

// plansRead finds plans.NAME and plans["NAME"].
func plansRead(src string, parsed *ast.AST) (out []planRead) {
	ast.PostOrderVisit(parsed.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name := ""
		switch e.Kind() {
		case ast.SelectKind:
			if isPlans(e.AsSelect().Operand()) {
				name = e.AsSelect().FieldName()
			}
		case ast.CallKind:
			call := e.AsCall()
			if call.FunctionName() != operators.Index || !isPlans(call.Args()[0]) || call.Args()[1].Kind() != ast.LiteralKind {
				return
			}
			if s, ok := call.Args()[1].AsLiteral().(types.String); ok {
				name = string(s)
			}
		}
		if name == "" {
			return
		}
		// A line counts as it stands in the source: CEL's column is in runes.
		loc := parsed.SourceInfo().GetStartLocation(e.ID())
		lines := strings.SplitAfter(src, "\n")
		before := strings.Join(lines[:loc.Line()-1], "")
		at := []rune(lines[loc.Line()-1])[loc.Column():]
		skip := max(0, strings.Index(string(at), name))
		out = append(out, planRead{name, len([]rune(before)) + loc.Column() + len([]rune(string(at)[:skip]))})
	}))
	return out
}

func isPlans(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "plans" }

// absent finds gates that read a plan which is in no file: they have no data
// before there is one.
func (l *linter) absent(gates []gate) {
	if l.plans == nil {
		return
	}
	namespace := l.plan.Other(l.plan.Metadata.Name).Namespace
	var names []string
	for _, k := range l.plans {
		if k.Namespace == namespace && k != l.plan.Key() {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	hint := fmt.Sprintf("namespace %s has no other plan", namespace)
	if len(names) > 0 {
		hint = fmt.Sprintf("the others of namespace %s are %s", namespace, strings.Join(names, ", "))
	}
	for _, g := range gates {
		for _, r := range g.plans {
			if !slices.Contains(names, r.name) && r.name != l.plan.Metadata.Name {
				l.at(g, finding{code: UnknownPlan, offset: r.offset, hint: hint,
					message: fmt.Sprintf("there is no plan %q: the gate has no data before there is one", namespace+"/"+r.name)})
			}
		}
	}
}
