package entity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/plan"
)

// fault is one thing wrong in an expression. Offset is in runes from its start.
type fault struct {
	path          string
	offset        int
	code          string
	message, hint string
}

// Check compiles every expression of a document's entities and returns all that is
// wrong, each at the character where it is, sorted. What plan.Decode reports itself
// is not reported again.
func Check(doc *plan.Document) []plan.Problem {
	if doc.Plan.Spec.Entities == nil {
		return nil
	}
	const at = "spec.entities"
	_, faults, err := build(doc.Plan.Spec.Entities)
	if err != nil {
		return []plan.Problem{doc.Problem(at, 0, "entity-environment", fmt.Sprintf("check entities: %v", err), "")}
	}
	var problems []plan.Problem
	for _, f := range faults {
		problems = append(problems, doc.Problem(at+"."+f.path, f.offset, f.code, f.message, f.hint))
	}
	plan.Sort(problems)
	return problems
}

// ErrNoInventory is where a plan's entities name no inventory, so that there is
// nothing to compile.
var ErrNoInventory = errors.New("the plan's entities name no inventory: spec.entities.source")

// Compile compiles the entities of a plan. The error names all that is wrong.
func Compile(e *plan.Entities) (*Program, error) {
	if !e.Routed() || e.Source == nil {
		return nil, ErrNoInventory
	}
	p, faults, err := build(e)
	if err = failed(faults, err); err != nil {
		return nil, err
	}
	return p, nil
}

// failed is the error of a compilation.
func failed(faults []fault, err error) error {
	if err != nil || len(faults) == 0 {
		return err
	}
	var texts []string
	for _, f := range faults {
		texts = append(texts, f.path+": "+f.message)
	}
	return fmt.Errorf("compile entities: %s", strings.Join(texts, "; "))
}

// kind is what a field takes. Anything that is not known before it runs is of
// DynKind.
type kind struct {
	want  string
	kinds []types.Kind
}

var (
	boolean = kind{"true or false", []types.Kind{types.BoolKind, types.DynKind}}
	text    = kind{"text", []types.Kind{types.StringKind, types.DynKind}}
	ident   = kind{"text or a whole number", []types.Kind{types.StringKind, types.IntKind, types.UintKind, types.DynKind}}
	rank    = kind{"a time, a number or text", []types.Kind{types.TimestampKind, types.IntKind, types.UintKind, types.DoubleKind, types.StringKind, types.DynKind}}
	list    = kind{"a list", []types.Kind{types.ListKind, types.DynKind}}
	link    = kind{"text or null", []types.Kind{types.StringKind, types.NullTypeKind, types.OpaqueKind, types.DynKind}}
	value   = kind{"a JSON value", []types.Kind{
		types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.ListKind, types.MapKind, types.NullTypeKind,
		types.BytesKind, types.TimestampKind, types.DurationKind, types.OpaqueKind, types.DynKind,
	}}
)

// Expr is one compiled expression.
type Expr struct {
	// Source is its text in the plan.
	Source string
	path   string // below spec.entities
	prg    cel.Program
}

// builder compiles the expressions of one plan's entities.
type builder struct {
	e      *plan.Entities
	envs   map[string]*cel.Env
	faults []fault
	err    error
}

func build(e *plan.Entities) (*Program, []fault, error) {
	b := &builder{e: e, envs: map[string]*cel.Env{}}
	p := &Program{values: e.Values}
	if !e.Routed() {
		b.objects()
		return p, b.faults, b.err
	}
	if e.Source != nil {
		p.Legacy = b.side("", e.Source, e.ID, e.Live)
		p.order = b.one("order", e.Order, overItem, rank)
		p.inFlight = b.one("inFlight", e.InFlight, overItem, boolean)
	}
	if e.Modern != nil {
		p.Modern = b.side("modern.", &e.Modern.Source, e.Modern.ID, e.Modern.Live)
	}
	if e.Sync != nil {
		p.Upsert = b.call("sync.upsert", &e.Sync.Upsert)
	}
	p.HandOver, p.HandBack = b.calls("handOver", e.HandOver), b.calls("handBack", e.HandBack)
	if f := e.Verify; f != nil {
		p.VerifyLegacy, p.VerifyModern = b.call("verify.legacy", f.Legacy), b.call("verify.modern", f.Modern)
		for i, src := range f.Equal {
			p.equal = append(p.equal, b.one(fmt.Sprintf("verify.equal[%d]", i), src, overEqual, boolean))
		}
	}
	return p, b.faults, b.err
}

func (b *builder) side(path string, s *plan.Inventory, id, live string) *Side {
	out := &Side{values: b.e.Values, id: b.one(path+"id", id, overItem, ident), live: b.one(path+"live", live, overItem, boolean)}
	if h := s.HTTP; h != nil {
		at := path + "source.http."
		out.items, out.next = b.one(at+"items", h.Items, overPage, list), b.one(at+"next", h.Next, overPage, link)
		out.item = b.one(at+"item", h.Item, overID, text)
	}
	return out
}

func (b *builder) calls(path string, steps []plan.EntityStep) (out []*Call) {
	for i := range steps {
		out = append(out, b.call(fmt.Sprintf("%s[%d]", path, i), &steps[i]))
	}
	return out
}

func (b *builder) call(path string, s *plan.EntityStep) *Call {
	if s == nil {
		return nil
	}
	at := path + ".http"
	c := &Call{Name: path, Spec: s.HTTP, values: b.e.Values, url: b.one(at+".url", s.HTTP.URL, overCall, text), body: b.one(at+".body", s.HTTP.Body, overCall, value)}
	for _, name := range slices.Sorted(maps.Keys(s.HTTP.Headers)) {
		if x := b.one(fieldPath(at+".headers", name), s.HTTP.Headers[name], overCall, text); x != nil {
			c.headers = append(c.headers, header{name: name, expr: x})
		}
	}
	return c
}

// fieldPath is the path of a field below another, as package plan writes it.
func fieldPath(path, key string) string {
	if strings.Trim(key, "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	return path + "." + key
}

func (b *builder) env(names []string) *cel.Env {
	key := strings.Join(names, " ")
	if b.envs[key] == nil && b.err == nil {
		b.envs[key], b.err = newEnv(b.e, names)
	}
	return b.envs[key]
}

// one compiles an expression; nil where there is none or it is wrong.
func (b *builder) one(path, src string, names []string, k kind) *Expr {
	env := b.env(names)
	if src == "" || env == nil {
		return nil
	}
	report := func(f fault) {
		f.path = path
		b.faults = append(b.faults, f)
	}
	parsed, issues := env.Parse(src)
	if issues.Err() != nil {
		f := fault{code: "entity-syntax"}
		f.offset, f.message, f.hint = words.Syntax(src, issues.Errors())
		if strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://") {
			f.hint = `a text stands in quotes of its own: "'http://HOST/PATH/' + escape(id)"`
		}
		report(f)
		return nil
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		for _, f := range typeFaults(src, issues.Errors(), names, slices.Sorted(maps.Keys(b.e.Values))) {
			report(f)
		}
		return nil
	}
	if t := checked.OutputType(); !slices.Contains(k.kinds, t.Kind()) {
		report(fault{code: "entity-type", message: fmt.Sprintf("the expression is %s, want %s", t, k.want), hint: typeHint(k)})
		return nil
	}
	prg, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		report(fault{code: "entity-type", message: fmt.Sprintf("a constant of the expression has no value: %v", err)})
		return nil
	}
	return &Expr{Source: src, path: path, prg: prg}
}

func typeHint(k kind) string {
	switch k.want {
	case text.want, ident.want:
		return "make text of it: string(...)"
	case boolean.want:
		return `write a condition, such as item.status == "IN_PROGRESS"`
	}
	return ""
}
