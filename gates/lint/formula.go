package lint

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
)

// The bounds of package gates; an expression beyond them is refused there.
const (
	maxDepth     = 64
	maxExprRunes = 4096
)

// celParser reads expressions as package gates does. Types do not matter here:
// only expressions that it has compiled are judged.
var celParser = func() *parser.Parser {
	p, err := parser.NewParser(parser.Macros(parser.AllMacros...), parser.PopulateMacroCalls(true),
		parser.MaxRecursionDepth(maxDepth), parser.ExpressionSizeCodePointLimit(maxExprRunes))
	if err != nil {
		panic(fmt.Sprintf("make the CEL parser: %v", err)) // constant options
	}
	return p
}()

// formula is one expression, taken apart.
type formula struct {
	// reads are the fields that it reads, as signal.errors.
	reads map[string]bool
	// plans are the others that it reads, in its order.
	plans []planRead
	// is and isNot are when it is true and when it is false; judged is unset
	// where that is too much to tell.
	is, isNot region
	judged    bool
}

// parseFormula is not ok where the expression does not parse.
func parseFormula(src string) (f *formula, ok bool) {
	parsed, errs := celParser.Parse(common.NewTextSource(src))
	if len(errs.GetErrors()) > 0 {
		return nil, false
	}
	r := reader{src: src, info: parsed.SourceInfo()}
	f = &formula{reads: map[string]bool{}}
	collectReads(parsed.Expr(), f.reads)
	f.plans = plansRead(src, parsed)
	var yes, no bool
	f.is, yes = r.region(parsed.Expr(), true)
	f.isNot, no = r.region(parsed.Expr(), false)
	f.judged = yes && no
	return f, true
}

func collectReads(e ast.Expr, into map[string]bool) {
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind {
			if e.Kind() == ast.IdentKind {
				into[e.AsIdent()] = true
			}
			return
		}
		if op := e.AsSelect().Operand(); op.Kind() == ast.IdentKind {
			into[op.AsIdent()+"."+e.AsSelect().FieldName()] = true
		}
	}))
}

// reader turns an expression into regions. Conditions and terms that it does
// not understand are kept by their text: the same text is the same value within
// one evaluation.
type reader struct {
	src    string
	info   *ast.SourceInfo
	unique int
}

// region is when an expression is true, or where want is unset when it is
// false. It is not ok where that is too much.
func (r *reader) region(e ast.Expr, want bool) (region, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			if bool(b) == want {
				return everywhere, true
			}
			return nil, true
		}
	case ast.CallKind:
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.LogicalNot:
			return r.region(call.Args()[0], !want)
		case operators.LogicalAnd:
			return r.join(call.Args(), want, want)
		case operators.LogicalOr:
			return r.join(call.Args(), want, !want)
		case operators.Conditional:
			return r.choice(call.Args(), want)
		}
		if out, ok := r.comparison(call, want); ok {
			return out, true
		}
	}
	return whether(r.text(e), want), true
}

// join joins the regions of all arguments, by and or by or.
func (r *reader) join(args []ast.Expr, want, and bool) (out region, ok bool) {
	for i, a := range args {
		next, ok := r.region(a, want)
		switch {
		case !ok:
			return nil, false
		case i == 0:
			out = next
			continue
		case and:
			out, ok = out.and(next)
		default:
			out, ok = out.or(next)
		}
		if !ok {
			return nil, false
		}
	}
	return out, true
}

// choice is of CONDITION ? A : B.
func (r *reader) choice(args []ast.Expr, want bool) (region, bool) {
	var branches [2]region
	for i, is := range []bool{true, false} {
		condition, ok := r.region(args[0], is)
		if !ok {
			return nil, false
		}
		value, ok := r.region(args[1+i], want)
		if !ok {
			return nil, false
		}
		if branches[i], ok = condition.and(value); !ok {
			return nil, false
		}
	}
	return branches[0].or(branches[1])
}

// mirrored is the comparison with its sides swapped.
var mirrored = map[string]string{
	operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
	operators.Equals: operators.Equals, operators.NotEquals: operators.NotEquals,
}

// comparison is of a term with a number.
func (r *reader) comparison(call ast.CallExpr, want bool) (region, bool) {
	op := call.FunctionName()
	if mirrored[op] == "" || len(call.Args()) != 2 {
		return nil, false
	}
	term, other := call.Args()[0], call.Args()[1]
	v, ok := constant(other)
	if w, first := constant(term); first && !ok {
		op, term, v, ok = mirrored[op], other, w, true
	} else if first && ok {
		return constants(w, op, v, want), true
	}
	// What is of any type may equal what is no number.
	if !ok || (op == operators.Equals || op == operators.NotEquals) && !isNumber(term) {
		return nil, false
	}
	s := valuesOf(op, v)
	if !want {
		s = s.not()
	}
	return inside(r.text(term), s), true
}

func valuesOf(op string, v float64) set {
	switch op {
	case operators.Less:
		return below(v, true)
	case operators.LessEquals:
		return below(v, false)
	case operators.Greater:
		return above(v, true)
	case operators.GreaterEquals:
		return above(v, false)
	case operators.Equals:
		return only(v)
	}
	return only(v).not()
}

// constants is of two numbers.
func constants(a float64, op string, b float64, want bool) region {
	if only(a).within(valuesOf(op, b)) == want {
		return everywhere
	}
	return nil
}

func constant(e ast.Expr) (float64, bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Negate {
		v, ok := constant(e.AsCall().Args()[0])
		return -v, ok
	}
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	switch v := e.AsLiteral().(type) {
	case types.Double:
		return float64(v), true
	case types.Int:
		return float64(v), true
	case types.Uint:
		return float64(v), true
	}
	return 0, false
}

// isNumber reports whether an expression can be nothing else than a number.
func isNumber(e ast.Expr) bool {
	if _, ok := constant(e); ok {
		return true
	}
	switch e.Kind() {
	case ast.SelectKind:
		op := e.AsSelect().Operand()
		if op.Kind() != ast.IdentKind || e.AsSelect().IsTestOnly() {
			return false
		}
		switch op.AsIdent() {
		case "signal", "baseline":
			return true
		case "position", "declared":
			return e.AsSelect().FieldName() == "percent"
		}
	case ast.CallKind:
		switch call := e.AsCall(); call.FunctionName() {
		case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Negate:
			for _, a := range call.Args() {
				if !isNumber(a) {
					return false
				}
			}
			return true
		}
	}
	return false
}

// text is the expression as it is written, with one form for blanks.
func (r *reader) text(e ast.Expr) string {
	s, err := parser.Unparse(e, r.info)
	if err != nil {
		// Unlike any other.
		r.unique++
		return fmt.Sprintf("part %d of %s", r.unique, r.src)
	}
	return strings.ReplaceAll(s, "\n", " ")
}
