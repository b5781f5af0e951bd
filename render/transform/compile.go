package transform

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// fault is one thing wrong in an expression. Offset is in runes from its start.
type fault struct {
	path          string
	offset        int
	code          string
	message, hint string
}

// expr is one compiled expression.
type expr struct {
	path string // as in a plan below the transform: to[0].object
	src  string
	prg  cel.Program
	ast  *ast.AST
}

// builder compiles the expressions of one transform.
type builder struct {
	env    *cel.Env
	scope  scope
	faults []fault
}

// kind is what a field takes. Anything that is not known before it runs is of
// DynKind.
type kind struct {
	want  string
	kinds []types.Kind
}

var (
	condition = kind{"true or false", []types.Kind{types.BoolKind, types.DynKind}}
	mapping   = kind{"a map", []types.Kind{types.MapKind, types.DynKind}}
	text      = kind{"text", []types.Kind{types.StringKind, types.DynKind}}
)

var words = celtext.Words{
	Depth: maxDepth, Runes: maxExprRunes,
	Empty: "write an expression over object, such as object.spec.name",
	Deep:  "use fewer parentheses, lists and maps",
	Long:  "use a shorter one",
	If:    "write CONDITION ? A : B to choose",
}

func (b *builder) compile(path, src string, k kind) *expr {
	report := func(f fault) *expr {
		f.path = path
		b.faults = append(b.faults, f)
		return nil
	}
	parsed, issues := b.env.Parse(src)
	if issues.Err() != nil {
		f := fault{code: "transform-syntax"}
		f.offset, f.message, f.hint = words.Syntax(src, issues.Errors())
		return report(f)
	}
	tree := parsed.NativeRep()
	order(tree)
	checked, issues := b.env.Check(parsed)
	if issues.Err() != nil {
		for _, f := range b.typeFaults(src, issues.Errors()) {
			report(f)
		}
		return nil
	}
	if found := b.refused(src, checked.NativeRep()); len(found) > 0 {
		for _, f := range found {
			report(f)
		}
		return nil
	}
	if t := checked.OutputType(); !slices.Contains(k.kinds, t.Kind()) {
		return report(fault{code: "transform-type", message: fmt.Sprintf("the expression is %s, want %s", t, k.want)})
	}
	cost, err := b.env.EstimateCost(checked, sizes{})
	switch {
	case err != nil:
		return report(fault{code: "transform-cost", message: fmt.Sprintf("estimate the cost of the expression: %v", err)})
	case cost.Max > staticCost:
		return report(fault{code: "transform-cost", message: fmt.Sprintf("the expression can cost more than %d steps", staticCost), hint: "use fewer or shorter loops"})
	}
	prg, err := b.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return report(fault{code: "transform-type", message: fmt.Sprintf("a constant of the expression has no value: %v", err)})
	}
	return &expr{path: path, src: src, prg: prg, ast: checked.NativeRep()}
}

// order puts what loops go over into the order of its keys: a map of Go has none,
// and equal objects are to become equal objects.
func order(tree *ast.AST) {
	fac, next := ast.NewExprFactory(), ast.MaxID(tree)
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.ComprehensionKind {
			return
		}
		over := e.AsComprehension().IterRange()
		if over.Kind() == ast.ListKind {
			return
		}
		inner := fac.CopyExpr(over)
		next++
		inner.RenumberIDs(func(id int64) int64 {
			if id == over.ID() {
				return next
			}
			return id
		})
		if at, ok := tree.SourceInfo().GetOffsetRange(over.ID()); ok {
			tree.SourceInfo().SetOffsetRange(next, at)
		}
		over.SetKindCase(fac.NewCall(over.ID(), ordered, inner))
	}))
}

// literals are the operands, the target first, that must stand in the expression:
// with others the result could be far larger than what is read.
var literals = map[string][]int{"replace": {1, 2}, "join": {1}, "format": {0}, "matches": {1}}

// refused finds what type-checks and is still not taken.
func (b *builder) refused(src string, tree *ast.AST) (found []fault) {
	fail := func(e ast.Expr, message, hint string) {
		loc := tree.SourceInfo().GetStartLocation(e.ID())
		found = append(found, fault{offset: celtext.RuneOffset(src, loc.Line(), loc.Column()), code: "transform-invalid", message: message, hint: hint})
	}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.StructKind:
			fail(e, fmt.Sprintf("objects such as %s{...} cannot be made here", e.AsStruct().TypeName()), `write a map: {"name": VALUE}`)
		case ast.CallKind:
			call := e.AsCall()
			operands := call.Args()
			if call.IsMemberFunction() {
				operands = append([]ast.Expr{call.Target()}, operands...)
			}
			for _, i := range literals[call.FunctionName()] {
				if i < len(operands) && operands[i].Kind() != ast.LiteralKind {
					fail(operands[i], call.FunctionName()+" takes only a text that stands in the expression itself here",
						"write it in quotes: what an object holds could make the result very large")
				}
			}
		case ast.ComprehensionKind:
			c := e.AsComprehension()
			for _, v := range []string{c.IterVar(), c.IterVar2()} {
				if slices.Contains(b.scope.names(), v) {
					fail(e, fmt.Sprintf("the loop variable %q hides the variable of that name", v), "give it another name")
				}
			}
		}
	}))
	return found
}

// literal finds the text that a map has under a key in the expression itself. A
// map may stand in cel.bind.
func (e *expr) literal(key string) string {
	root := e.ast.Expr()
	for root.Kind() == ast.ComprehensionKind {
		root = root.AsComprehension().Result()
	}
	if root.Kind() != ast.MapKind {
		return ""
	}
	for _, entry := range root.AsMap().Entries() {
		k, v := entry.AsMapEntry().Key(), entry.AsMapEntry().Value()
		if k.Kind() != ast.LiteralKind || k.AsLiteral().Value() != key || v.Kind() != ast.LiteralKind {
			continue
		}
		s, _ := v.AsLiteral().Value().(string)
		return s
	}
	return ""
}
