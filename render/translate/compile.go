package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/gates/celtext"
	"github.com/changeover-dev/changeover/plan"
)

// field is one compiled expression of a mapping.
type field struct {
	name string // of the header or parameter; "" for the others
	path string // as in a plan below the translation: request.headers.X-Id
	prg  cel.Program
	// reads are the fields of variables that it reads: response.body.
	reads map[string]bool
}

// fault is one thing wrong in an expression. Offset is in runes from its start.
type fault struct {
	path          string
	offset        int
	code          string
	message, hint string
}

// Translation is one compiled translation. It is immutable and safe for concurrent
// use.
type Translation struct {
	name          string
	maxBody       int
	method, path  *field
	query         []field
	headers       []field
	body          *field
	status        *field
	answerHeaders []field
	answerBody    *field
	// reads are what requests and what answers need, as in field.
	reads, answerReads map[string]bool
	request, answer    bool
}

// Compile compiles a translation. The error names all that is wrong with it; Check
// gives the same as problems with their places in a file.
func Compile(name string, t plan.Translation) (*Translation, error) {
	out, faults, err := build(name, t)
	if err != nil {
		return nil, err
	}
	if len(faults) == 0 {
		return out, nil
	}
	var texts []string
	for _, f := range faults {
		texts = append(texts, f.path+": "+f.message)
	}
	return nil, fmt.Errorf("compile translation %q: %s", name, strings.Join(texts, "; "))
}

// Check compiles every translation of a document and returns all that is wrong,
// each at the character where it is, sorted. What plan.Decode reports itself is
// not reported again.
func Check(doc *plan.Document) []plan.Problem {
	var problems []plan.Problem
	for name, t := range doc.Plan.Spec.Translations {
		at := fieldPath("spec.translations", name)
		_, faults, err := build(name, t)
		if err != nil {
			return []plan.Problem{doc.Problem(at, 0, "translation-environment", fmt.Sprintf("check translations: %v", err), "")}
		}
		for _, f := range faults {
			problems = append(problems, doc.Problem(at+"."+f.path, f.offset, f.code, f.message, f.hint))
		}
	}
	plan.Sort(problems)
	return problems
}

// fieldPath is the path of a field below another, as package plan writes it.
func fieldPath(path, key string) string {
	if strings.Trim(key, "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	return path + "." + key
}

// builder compiles the fields of one translation.
type builder struct {
	env    *cel.Env
	reads  map[string]bool // of the request or the answer
	faults []fault
}

func build(name string, t plan.Translation) (*Translation, []fault, error) {
	out := &Translation{name: name, maxBody: t.MaxBody, reads: map[string]bool{}, answerReads: map[string]bool{}, request: t.Request != nil, answer: t.Response != nil}
	if out.maxBody == 0 {
		out.maxBody = plan.DefaultMaxBody
	}
	b := &builder{}
	var err error
	if m := t.Request; m != nil {
		if b.env, err = requestEnv(); err != nil {
			return nil, nil, err
		}
		b.reads = out.reads
		out.method = b.one("request.method", m.Method, text)
		out.path = b.one("request.path", m.Path, texts)
		out.query = b.each("request.query", m.Query)
		out.headers = b.each("request.headers", m.Headers)
		out.body = b.one("request.body", m.Body, value)
	}
	if m := t.Response; m != nil {
		if b.env, err = responseEnv(); err != nil {
			return nil, nil, err
		}
		b.reads = out.answerReads
		out.status = b.one("response.status", m.Status, whole)
		out.answerHeaders = b.each("response.headers", m.Headers)
		out.answerBody = b.one("response.body", m.Body, value)
	}
	return out, b.faults, nil
}

func (b *builder) one(path, src string, k kind) *field {
	if src == "" {
		return nil
	}
	return b.compile(path, src, k)
}

func (b *builder) each(path string, exprs map[string]string) (out []field) {
	for _, name := range slices.Sorted(maps.Keys(exprs)) {
		if f := b.compile(fieldPath(path, name), exprs[name], list); f != nil {
			f.name = name
			out = append(out, *f)
		}
	}
	return out
}

// kind is what a field takes.
type kind struct {
	want  string
	kinds []types.Kind
}

// Anything that is not known before it runs is of DynKind.
var (
	text  = kind{"text", []types.Kind{types.StringKind, types.DynKind}}
	texts = kind{"text or a list of texts", []types.Kind{types.StringKind, types.ListKind, types.DynKind}}
	whole = kind{"a whole number", []types.Kind{types.IntKind, types.UintKind, types.DynKind}}
	list  = kind{"text, a number, true or false, a list of texts, or null", []types.Kind{
		types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.ListKind, types.NullTypeKind, types.OpaqueKind, types.DynKind,
	}}
	value = kind{"a JSON value", []types.Kind{
		types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.ListKind, types.MapKind, types.NullTypeKind,
		types.BytesKind, types.TimestampKind, types.DurationKind, types.OpaqueKind, types.DynKind,
	}}
)

var words = celtext.Words{
	Depth: maxDepth, Runes: maxExprRunes,
	Empty: "write an expression such as request.body.name, or leave the field out",
	Deep:  "use fewer parentheses, lists and maps",
	Long:  "use a shorter one",
	If:    "write CONDITION ? A : B to choose",
}

func (b *builder) compile(path, src string, k kind) *field {
	report := func(f fault) {
		f.path = path
		b.faults = append(b.faults, f)
	}
	parsed, issues := b.env.Parse(src)
	if issues.Err() != nil {
		f := fault{code: "translation-syntax"}
		f.offset, f.message, f.hint = words.Syntax(src, issues.Errors())
		report(f)
		return nil
	}
	checked, issues := b.env.Check(parsed)
	if issues.Err() != nil {
		for _, f := range typeFaults(src, issues.Errors()) {
			report(f)
		}
		return nil
	}
	r := &reader{src: src, info: checked.NativeRep().SourceInfo(), reads: map[string]bool{}}
	r.walk(checked.NativeRep().Expr())
	for _, f := range r.faults {
		report(f)
	}
	if len(r.faults) > 0 {
		return nil
	}
	if t := checked.OutputType(); !slices.Contains(k.kinds, t.Kind()) {
		report(fault{code: "translation-type", message: fmt.Sprintf("the expression is %s, want %s", t, k.want), hint: typeHint(t, k)})
		return nil
	}
	cost, err := b.env.EstimateCost(checked, sizes{})
	switch {
	case err != nil:
		report(fault{code: "translation-cost", message: fmt.Sprintf("estimate the cost of the expression: %v", err)})
		return nil
	case cost.Max > staticCost:
		report(fault{code: "translation-cost", message: fmt.Sprintf("the expression can cost more than %d steps", staticCost), hint: "use fewer or shorter loops"})
		return nil
	}
	prg, err := b.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		report(fault{code: "translation-type", message: fmt.Sprintf("a constant of the expression has no value: %v", err)})
		return nil
	}
	maps.Copy(b.reads, r.reads)
	return &field{path: path, prg: prg, reads: r.reads}
}

func typeHint(t *cel.Type, k kind) string {
	if k.want == text.want || k.want == texts.want {
		return "make text of it: string(...)"
	}
	if k.want == whole.want && t.Kind() == types.StringKind {
		return "make a number of it: int(...)"
	}
	return ""
}

// reader collects what an expression reads, and refuses calls that could make
// far more than they read.
type reader struct {
	src    string
	info   *ast.SourceInfo
	reads  map[string]bool
	faults []fault
}

// literals are the operands, the target first, that must stand in the expression.
var literals = map[string][]int{"replace": {1, 2}, "join": {1}, "format": {0}, "matches": {1}}

func (r *reader) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		if variables[e.AsIdent()] != "" {
			r.reads[e.AsIdent()+".body"] = true // used as a whole
		}
	case ast.SelectKind:
		sel := e.AsSelect()
		if op := sel.Operand(); op.Kind() == ast.IdentKind && variables[op.AsIdent()] != "" {
			r.reads[op.AsIdent()+"."+sel.FieldName()] = true
			return
		}
		r.walk(sel.Operand())
	case ast.CallKind:
		r.call(e.AsCall())
	case ast.ListKind:
		r.walkAll(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.walkAll([]ast.Expr{entry.AsMapEntry().Key(), entry.AsMapEntry().Value()})
		}
	case ast.StructKind:
		r.fault(e, fmt.Sprintf("objects such as %s{...} cannot be made here", e.AsStruct().TypeName()), "write a map: {\"name\": VALUE}")
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, v := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
			if variables[v] != "" {
				r.fault(e, fmt.Sprintf("the loop variable %q hides the variable of that name", v), "give it another name")
				return
			}
		}
		r.walkAll([]ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()})
	}
}

func (r *reader) walkAll(es []ast.Expr) {
	for _, e := range es {
		r.walk(e)
	}
}

func (r *reader) call(call ast.CallExpr) {
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	for _, i := range literals[call.FunctionName()] {
		if i < len(operands) && operands[i].Kind() != ast.LiteralKind {
			r.fault(operands[i], call.FunctionName()+" takes only a text that stands in the expression itself here", "write it in quotes: what a request holds could make the result very large")
		}
	}
	r.walkAll(operands)
}

func (r *reader) fault(e ast.Expr, message, hint string) {
	loc := r.info.GetStartLocation(e.ID())
	r.faults = append(r.faults, fault{offset: celtext.RuneOffset(r.src, loc.Line(), loc.Column()), code: "translation-invalid", message: message, hint: hint})
}
