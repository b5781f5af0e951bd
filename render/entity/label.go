package entity

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/plan"
)

// overObject are the variables of entities whose owner is a label.
var overObject = []string{"object", "values"}

// Objects is what a plan says in CEL about entities that are objects with their
// owner as a label. It is immutable and safe for concurrent use.
type Objects struct {
	rules           []rule
	order, inFlight *Expr
	equal           []*Expr
	values          map[string]map[string]string
}

type rule struct {
	when *Expr
	side plan.EntitySide
}

func (b *builder) objects() *Objects {
	e := b.e
	o := &Objects{values: e.Values}
	for i, r := range e.Rules {
		o.rules = append(o.rules, rule{b.one(fmt.Sprintf("rules[%d].when", i), r.When, overObject, boolean), r.Side})
	}
	o.order, o.inFlight = b.one("order", e.Order, overObject, rank), b.one("inFlight", e.InFlight, overObject, boolean)
	if e.Verify != nil {
		for i, src := range e.Verify.Equal {
			o.equal = append(o.equal, b.one(fmt.Sprintf("verify.equal[%d]", i), src, overObject, boolean))
		}
	}
	return o
}

// CompileObjects compiles the entities of a plan whose owner is a label. The error
// names all that is wrong.
func CompileObjects(e *plan.Entities) (*Objects, error) {
	if e == nil || e.Routed() {
		return nil, errors.New("compile entities: their owner is no label")
	}
	b := &builder{e: e, envs: map[string]*cel.Env{}}
	o := b.objects()
	if err := failed(b.faults, b.err); err != nil {
		return nil, err
	}
	return o, nil
}

// Judgement is what a plan's expressions say of one object.
type Judgement struct {
	// Rule is the side of the first rule that is true; empty: none is.
	Rule     plan.EntitySide
	Rank     Rank
	InFlight bool
	// Err is why an expression besides those of verify could not be evaluated: then
	// nothing may be concluded from the others.
	Err error
}

// Judge evaluates the rules, inFlight and order over an object.
func (o *Objects) Judge(ctx context.Context, object map[string]any) (j Judgement) {
	vars := map[string]any{"object": object, "values": o.values}
	for _, r := range o.rules {
		yes, err := r.when.bool(ctx, vars, false)
		if err != nil {
			return Judgement{Err: err}
		}
		if yes {
			j.Rule = r.side
			break
		}
	}
	var err error
	if j.InFlight, err = o.inFlight.bool(ctx, vars, false); err != nil {
		return Judgement{Rule: j.Rule, Err: err}
	}
	if o.order == nil {
		return j
	}
	v, err := o.order.eval(ctx, vars)
	if err == nil {
		j.Rank, err = o.order.rank(v)
	}
	if err != nil {
		return Judgement{Rule: j.Rule, Err: err}
	}
	return j
}

// Ordered reports whether the plan has an order.
func (o *Objects) Ordered() bool { return o.order != nil }

// Compare evaluates verify.equal over an object. None: what both sides wrote agrees.
func (o *Objects) Compare(ctx context.Context, object map[string]any) []Mismatch {
	return compare(ctx, o.equal, map[string]any{"object": object, "values": o.values})
}
