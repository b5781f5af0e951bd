package gates

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// expr is one compiled expression. It is immutable and safe for concurrent
// use.
type expr struct {
	prg cel.Program
	// What it reads, by name and sorted; facts are the names
	// of the other variables.
	signals    []string
	series     []string // by the names of their signals
	baselines  []string
	objects    []string // by their names in the plan
	plans      []string
	approvals  []string // by their roles
	transforms []string
	facts      []string
	// functions of ours that it calls, sorted.
	functions []string
	// paths are the places in the objects, in the order of the expression.
	paths []objectPath
}

// fault is one thing wrong in an expression or a query. Offset is in runes
// from its start.
type fault struct {
	offset        int
	code          string
	message, hint string
}

// compiler compiles expressions over what one plan declares.
type compiler struct {
	env *cel.Env
	declared
}

func newCompiler(d declared) (*compiler, error) {
	env, err := newEnv(d)
	if err != nil {
		return nil, err
	}
	return &compiler{env: env, declared: d}, nil
}

// compile returns the expression, or what is wrong with it.
func (c *compiler) compile(src string) (*expr, []fault) {
	parsed, issues := c.env.Parse(src)
	if issues.Err() != nil {
		return nil, []fault{syntaxFault(src, issues.Errors())}
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		return nil, c.typeFaults(src, issues.Errors())
	}
	reads := newReads(src, checked.NativeRep(), &c.declared)
	if len(reads.faults) > 0 {
		return nil, reads.faults
	}
	if t := checked.OutputType(); t.Kind() != types.BoolKind {
		return nil, []fault{notBool(t)}
	}
	cost, err := c.env.EstimateCost(checked, sizes{c.points})
	if err != nil {
		return nil, []fault{{code: "gate-cost", message: fmt.Sprintf("estimate the cost of the expression: %v", err)}}
	}
	if cost.Max > maxCost {
		return nil, []fault{{code: "gate-cost",
			message: fmt.Sprintf("the expression can cost more than %d steps", maxCost),
			hint:    "use fewer or shorter loops; let Prometheus compute what it can"}}
	}
	opts := []cel.ProgramOption{
		cel.EvalOptions(cel.OptPartialEval, cel.OptOptimize),
		cel.CustomDecoratorV2(finite(checked.NativeRep())),
		cel.CostLimit(maxCost),
		cel.InterruptCheckFrequency(interruptEvery),
	}
	if len(reads.functions) > 0 {
		opts = append(opts, trackFunctions())
	}
	prg, err := c.env.Program(checked, opts...)
	if err != nil {
		return nil, []fault{{code: "gate-type", message: fmt.Sprintf("a constant of the expression has no value: %v", err)}}
	}
	return reads.expr(prg), nil
}

// eval evaluates the expression once. The error is set for Error alone.
func (e *expr) eval(v *vars) (Verdict, error) {
	var out ref.Val
	var err error
	switch {
	case v.ctx.Done() == nil:
		out, _, err = e.prg.Eval(v)
	case v.ctx.Err() != nil:
		err = fmt.Errorf("evaluate: %w", context.Cause(v.ctx))
	default:
		out, _, err = e.prg.ContextEval(v.ctx, v)
	}
	switch {
	case err != nil:
		return Error, err
	case types.IsUnknown(out):
		return NoData, nil
	case out == types.True:
		return Pass, nil
	case out == types.False:
		return Fail, nil
	}
	return Error, fmt.Errorf("evaluate: the expression is %v, want true or false", out)
}

// reads collects what an expression reads and refuses what the environment
// does not offer although CEL knows it.
type reads struct {
	src   string
	info  *ast.SourceInfo
	names *declared
	// fields are the names that it reads of those variables that are read one
	// field at a time.
	fields           map[string]map[string]bool
	facts, functions map[string]bool
	paths            []objectPath
	faults           []fault
}

func newReads(src string, a *ast.AST, names *declared) *reads {
	r := &reads{src: src, info: a.SourceInfo(), names: names, facts: map[string]bool{}, functions: map[string]bool{}, fields: map[string]map[string]bool{}}
	for _, variable := range fielded {
		r.fields[variable] = map[string]bool{}
	}
	r.walk(a.Expr())
	return r
}

// fielded are the variables that are read one field at a time.
var fielded = []string{"signal", "series", "baseline", "object", "plans", "approvals", transformsFact}

func (r *reads) expr(prg cel.Program) *expr {
	sorted := func(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
	return &expr{
		prg: prg, paths: r.paths, facts: sorted(r.facts), functions: sorted(r.functions),
		signals: sorted(r.fields["signal"]), series: sorted(r.fields["series"]),
		baselines: sorted(r.fields["baseline"]), objects: sorted(r.fields["object"]),
		plans: sorted(r.fields["plans"]), approvals: sorted(r.fields["approvals"]), transforms: sorted(r.fields[transformsFact]),
	}
}

func (r *reads) fault(e ast.Expr, message, hint string) {
	r.faults = append(r.faults, fault{offset: r.offset(e), code: "gate-invalid", message: message, hint: hint})
}

func (r *reads) offset(e ast.Expr) int {
	loc := r.info.GetStartLocation(e.ID())
	return celtext.RuneOffset(r.src, loc.Line(), loc.Column())
}

func (r *reads) walk(e ast.Expr) {
	if p := newObjectPath(e); p != nil {
		r.fields["object"][p.name] = true
		if !slices.ContainsFunc(r.paths, func(o objectPath) bool { return o.String() == p.String() }) {
			r.paths = append(r.paths, *p)
		}
		return
	}
	switch e.Kind() {
	case ast.IdentKind:
		r.ident(e)
	case ast.SelectKind:
		sel := e.AsSelect()
		if op := sel.Operand(); op.Kind() == ast.IdentKind && r.fields[op.AsIdent()] != nil {
			r.fields[op.AsIdent()][sel.FieldName()] = true
			r.named(op.AsIdent(), sel.FieldName(), celtext.NameAfter(r.src, r.offset(e)))
			return
		}
		r.walk(sel.Operand())
	case ast.CallKind:
		r.call(e)
	case ast.ListKind:
		r.walkAll(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.walk(entry.AsMapEntry().Key())
			r.walk(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		r.fault(e, fmt.Sprintf("objects such as %s{...} cannot be made in a gate", e.AsStruct().TypeName()), "")
	case ast.ComprehensionKind:
		r.loop(e)
	}
}

func (r *reads) call(e ast.Expr) {
	if r.index(e) {
		return
	}
	call := e.AsCall()
	if call.IsMemberFunction() {
		r.walk(call.Target())
	}
	r.walkAll(call.Args())
	for _, f := range functions {
		if call.FunctionName() == f.name {
			r.functions[f.name] = true
		}
	}
	if call.FunctionName() != "quantile" || len(call.Args()) != 2 || call.Args()[1].Kind() != ast.LiteralKind {
		return
	}
	if q, ok := call.Args()[1].AsLiteral().(types.Double); ok && !(q >= 0 && q <= 1) {
		r.fault(call.Args()[1], fmt.Sprintf("quantile wants a share from 0 to 1, not %s", number(float64(q))), "write 0.95 for the 95th percentile")
	}
}

func (r *reads) walkAll(es []ast.Expr) {
	for _, e := range es {
		r.walk(e)
	}
}

func (r *reads) ident(e ast.Expr) {
	switch name := e.AsIdent(); {
	case r.fields[name] != nil:
		r.fault(e, name+" cannot be used as a whole", fmt.Sprintf("read one of its fields: %s.NAME", name))
	case name == entitiesFact && !r.names.listed:
		r.fault(e, "the plan does not say where entities are listed", "add spec.entities.source, such as source: {http: {url: \"http://HOST/PATH\"}}")
	case r.names.untold[name] != "":
		r.fault(e, r.names.untold[name]+", and the plan names another gateway", "use a signal, or gateway: {bridge: {}}")
	case variables[name] != nil:
		r.facts[name] = true
	}
}

// loop refuses loop variables that hide a variable of the environment: what
// such an expression reads could not be told from its names.
func (r *reads) loop(e ast.Expr) {
	c := e.AsComprehension()
	for _, v := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
		if variables[v] != nil {
			r.fault(e, fmt.Sprintf("the loop variable %q hides the variable of that name", v), "give it another name")
			return
		}
	}
	r.walkAll([]ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()})
}

// finite makes a NaN or an infinity that arises inside an expression unknown,
// as it is where a query answers it: !(0.0/0.0 > 0.03) must not pass.
func finite(a *ast.AST) interpreter.InterpretableDecoratorV2 {
	return func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := i.(interpreter.InterpretableCall)
		if !ok {
			return i, nil
		}
		switch a.GetType(call.ID()).Kind() {
		case types.DoubleKind, types.DynKind, types.AnyKind:
			return &finiteCall{call}, nil
		}
		return i, nil
	}
}

type finiteCall struct{ interpreter.InterpretableCall }

func (c *finiteCall) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return c.guard(c.InterpretableCall.Exec(f))
}

func (c *finiteCall) Eval(a interpreter.Activation) ref.Val {
	return c.guard(c.InterpretableCall.Eval(a))
}

func (c *finiteCall) guard(v ref.Val) ref.Val {
	if d, ok := v.(types.Double); ok && notFinite(float64(d)) {
		return types.NewUnknown(c.ID(), nil)
	}
	return v
}

func notFinite(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) }
