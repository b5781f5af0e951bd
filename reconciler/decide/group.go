package decide

import (
	"slices"

	"github.com/changeover-dev/changeover/plan"
)

// Member is one of several connected plans with what a decision about it reads.
type Member struct {
	Key   plan.Key
	Input Input
	// Unknown: the input could not be gathered. Nothing is decided about it.
	Unknown bool
}

// Decided is the decision about one of several connected plans.
type Decided struct {
	Key      plan.Key
	Input    Input // with Others
	Decision Decision
}

// Group decides about connected plans, by the function or, where it is nil, by
// Decide. Dependencies come first, so that what depends on a plan sees where that
// is going. The answers are in the order in which they are carried out: what
// goes back first, dependents before what they depend on; then the rest,
// dependencies first.
func Group(members []Member, decide func(plan.Key, Input) Decision) []Decided {
	if decide == nil {
		decide = func(_ plan.Key, in Input) Decision { return Decide(in) }
	}
	order := inOrder(members)
	stands := make(map[plan.Key]Other, len(order))
	for _, m := range order {
		stands[m.Key] = standsAt(m, nil)
	}
	var back, rest []Decided
	for _, m := range order {
		if m.Unknown {
			continue
		}
		in := m.Input
		in.Others = othersOf(m, order, stands)
		d := decide(m.Key, in)
		stands[m.Key] = standsAt(m, &d)
		if d.Verb.Backward() {
			back = append(back, Decided{m.Key, in, d})
			continue
		}
		rest = append(rest, Decided{m.Key, in, d})
	}
	slices.Reverse(back)
	return append(back, rest...)
}

// inOrder sorts the members so that each comes after those that it depends on,
// and by key where that leaves a choice. A cycle, which no valid plans form, is
// cut where it is met.
func inOrder(members []Member) []Member {
	byKey := make(map[plan.Key]Member, len(members))
	keys := make([]plan.Key, 0, len(members))
	for _, m := range members {
		byKey[m.Key] = m
		keys = append(keys, m.Key)
	}
	slices.SortFunc(keys, plan.CompareKeys)
	var out []Member
	seen := map[plan.Key]bool{}
	var visit func(plan.Key)
	visit = func(k plan.Key) {
		m, ok := byKey[k]
		if !ok || seen[k] {
			return
		}
		seen[k] = true
		for _, d := range dependencies(m) {
			visit(d)
		}
		out = append(out, m)
	}
	for _, k := range keys {
		visit(k)
	}
	return out
}

func dependencies(m Member) []plan.Key {
	if m.Input.Head.IsZero() {
		return nil
	}
	p := m.Input.Head.Plan
	keys := make([]plan.Key, 0, len(p.Spec.DependsOn))
	for _, d := range p.Spec.DependsOn {
		keys = append(keys, p.Other(d.Plan))
	}
	slices.SortFunc(keys, plan.CompareKeys)
	return keys
}

// standsAt is how the others see a member, after a decision about it where
// there is one.
func standsAt(m Member, d *Decision) Other {
	if m.Unknown || m.Input.Head.IsZero() {
		return Other{}
	}
	s := &state{Input: m.Input}
	it := s.itinerary()
	o := Other{Known: true, At: s.effective(), Itinerary: it}
	if at := s.Record.CompletedAt; !at.IsZero() {
		o.Completed, o.Complete = true, s.Record.Applied != nil && !at.Before(s.Record.Applied.Since)
	}
	far := s.furthest(it)
	lower := func(to plan.Position) {
		if after(it, o.At, to) {
			o.At, o.Complete, o.Completed = to, false, false
		}
	}
	if mv := s.Record.Move; mv != nil && backward(mv) {
		lower(mv.To)
	}
	if d != nil {
		switch {
		case d.Verb.Backward():
			lower(d.Target)
		case d.Verb == Advance:
			far = d.Target
		case d.Verb == Complete:
			o.Complete, o.Completed = true, true
		}
	}
	o.Past = len(it) > 0 && after(it, far, it[0])
	return o
}

// othersOf are those that a member's decision reads: what it names, and what
// names it as a conflict.
func othersOf(m Member, all []Member, stands map[plan.Key]Other) map[plan.Key]Other {
	if m.Input.Head.IsZero() {
		return nil
	}
	links := m.Input.Head.Plan.Links()
	var out map[plan.Key]Other
	for _, o := range all {
		if o.Key == m.Key {
			continue
		}
		conflicts := false
		if p := o.Input.Head.Plan; p != nil {
			conflicts = slices.ContainsFunc(p.Spec.ConflictsWith, func(name string) bool { return p.Other(name) == m.Key })
		}
		if !conflicts && !slices.Contains(links, o.Key) {
			continue
		}
		if out == nil {
			out = map[plan.Key]Other{}
		}
		st := stands[o.Key]
		st.Conflicts = conflicts
		out[o.Key] = st
	}
	return out
}
