package lint

import (
	"fmt"
	"math"

	"github.com/changeover-dev/changeover/plan"
)

// constants finds the gates that are never true, or never false.
func (l *linter) constants(gates []gate) {
	for _, g := range gates {
		if !g.judged {
			continue
		}
		switch {
		case len(g.is.possible(l.domains)) == 0:
			message := fmt.Sprintf("no values make %s true: ", g.label())
			switch g.effect {
			case plan.Verify:
				message += "the plan halts after every rollback"
			case plan.Pause, plan.Breaches:
				message += "it never fires"
			default:
				message += "the plan cannot go past it"
			}
			l.at(g, finding{code: NeverTrue, message: message, hint: l.bounds(g)})
		case len(g.isNot.possible(l.domains)) == 0:
			f := finding{code: AlwaysTrue, message: fmt.Sprintf("no values make %s false: ", g.label()), hint: l.bounds(g)}
			switch g.effect {
			case plan.Pause:
				f.message += "the plan cannot go past it"
			case plan.Breaches:
				f.message += "the stop is rolled back as soon as it is entered"
			default:
				f.message += "it asks for nothing"
			}
			l.at(g, f)
		}
	}
}

// bounds says what is known of the one term of which a gate speaks.
func (l *linter) bounds(g gate) string {
	r := g.is
	if len(r) == 0 {
		r = g.isNot
	}
	term, s, ok := r.band()
	domain := domainOf(l.domains, term)
	if !ok || all.within(domain) {
		return "mend the expression, or remove the gate"
	}
	hint := domain.of(term) + " always holds"
	if s.within(above(1, false)) && domain.within(between(0, 1)) {
		hint += ": write 0.05 for 5 %"
	}
	return hint
}

// constant reports whether a gate was reported by constants.
func (l *linter) constant(g gate) bool {
	return len(g.is.possible(l.domains)) == 0 || len(g.isNot.possible(l.domains)) == 0
}

// shadows finds the gates that change nothing beside another with the same
// effect. Of pause and rollback gates one that is true is enough: the shadowed
// one is never true without the other. The others must all pass: the shadowed
// one never fails without the other.
func (l *linter) shadows(gates []gate) {
	for i, g := range gates {
		if !g.judged || l.constant(g) {
			continue
		}
		for j, other := range gates {
			if i == j || other.effect != g.effect || !other.judged || l.constant(other) {
				continue
			}
			if l.shadowed(g, other) && (i > j || !l.shadowed(other, g)) {
				l.at(g, shadow(g, other))
				break
			}
		}
	}
}

func (l *linter) shadowed(g, by gate) bool {
	if alarm(g.effect) {
		return g.is.implies(by.is, l.domains) && by.For <= g.For
	}
	return by.is.implies(g.is, l.domains) && g.For <= by.For
}

func alarm(e plan.Effect) bool { return e == plan.Pause || e == plan.Breaches }

func shadow(g, by gate) finding {
	f := finding{code: Shadowed, by: by.path, hint: "remove one of the two, or mend its number"}
	if alarm(g.effect) {
		f.message = fmt.Sprintf("%s never matters: %s is true whenever it is, and no later", g.phrase(), by.phrase())
		return f
	}
	f.message = fmt.Sprintf("%s never matters: it passes whenever %s does", g.phrase(), by.phrase())
	return f
}

// phrase names a gate with its condition.
func (g gate) phrase() string {
	if g.For == 0 {
		return fmt.Sprintf("%s (%s)", g.label(), g.Expr)
	}
	return fmt.Sprintf("%s (%s for %s)", g.label(), g.Expr, g.For)
}

// bands finds what the gates of a phase say twice, and differently.
func (l *linter) bands(phase int, gates []gate) {
	advance, enter := with(gates, plan.Advance), with(gates, plan.Enter)
	l.together(enter)
	l.together(with(gates, plan.Verify))
	if l.together(advance) {
		return
	}
	pause, rollback := with(gates, plan.Pause), with(gates, plan.Breaches)
	for _, p := range pause {
		l.reversed(p, rollback)
	}
	if l.deadlock(phase, advance, pause, rollback) {
		return
	}
	for _, a := range pause {
		l.overlap(advance, a)
	}
	for _, a := range rollback {
		l.overlap(advance, a)
	}
}

// together finds gates that must all pass and never can, though each of them
// could.
func (l *linter) together(gates []gate) bool {
	joint := everywhere
	for _, g := range gates {
		if !g.judged || l.constant(g) {
			continue
		}
		next, ok := joint.and(g.is)
		if !ok {
			return false
		}
		if joint = next.possible(l.domains); len(joint) == 0 {
			l.at(g, finding{code: ContradictoryBands, by: gates[0].path,
				message: fmt.Sprintf("no values satisfy %s and the %s gates before it, and all must pass", g.phrase(), g.effect),
				hint:    "mend the numbers of one"})
			return true
		}
	}
	return false
}

// reversed finds a pause gate that is true only where a rollback gate is, and
// no earlier: the plan is rolled back and never paused.
func (l *linter) reversed(p gate, rollback []gate) {
	if !p.judged || l.constant(p) {
		return
	}
	for _, r := range rollback {
		if r.judged && !l.constant(r) && r.For <= p.For && p.is.implies(r.is, l.domains) {
			l.at(p, finding{code: ContradictoryBands, by: r.path,
				message: fmt.Sprintf("%s never pauses anything: %s is true whenever it is, and no later", p.phrase(), r.phrase()),
				hint:    "a pause begins before the rollback: give it a lower number, or remove it"})
			return
		}
	}
}

// deadlock finds advance gates that pass only while a pause or a rollback
// expression is true, so that the plan never goes on. A rollback expression
// blocks as soon as it is true, whatever its `for`.
func (l *linter) deadlock(phase int, advance, pause, rollback []gate) bool {
	if l.last(phase) || len(advance) == 0 {
		return false // completion does not ask for pauses
	}
	joint, bad := everywhere, region(nil)
	var named []gate
	ok := true
	for _, g := range advance {
		if g.judged && ok {
			joint, ok = joint.and(g.is)
		}
	}
	for _, g := range append(with(pause, plan.Pause), rollback...) {
		if g.judged && !l.constant(g) && ok && (g.effect == plan.Breaches || g.For == 0) {
			bad, ok = bad.or(g.is)
			named = append(named, g)
		}
	}
	if !ok || len(joint.possible(l.domains)) == 0 || !joint.implies(bad, l.domains) {
		return false
	}
	// One that is enough by itself is the one to name.
	by := named[0]
	for _, g := range named {
		if joint.implies(g.is, l.domains) {
			by = g
			break
		}
	}
	l.at(advance[0], finding{code: ContradictoryBands, by: by.path,
		message: fmt.Sprintf("the plan never leaves this stop: whenever %s passes, %s is true", advance[0].phrase(), by.phrase()),
		hint:    "what may go on must lie outside what pauses or rolls back"})
	return true
}

// last reports whether a phase has the last stop of the plan and no other.
func (l *linter) last(phase int) bool {
	return phase == len(l.plan.Spec.Phases)-1 && len(l.plan.Spec.Phases[phase].Percents) < 2
}

// overlap finds values of one term up to which the plan may go on, and from
// which a pause or rollback gate is true. Only a band that ends where the alarm
// goes on says so: to ask for more than 100 requests says nothing of 10,000.
func (l *linter) overlap(advance []gate, a gate) {
	if !a.judged || l.constant(a) {
		return
	}
	term, bad, ok := a.is.band()
	if !ok {
		return
	}
	good := all
	var by []gate
	for _, g := range advance {
		switch s, speaks := g.about(term); {
		case speaks:
			good = good.and(s)
			by = append(by, g)
		case g.reads[term]:
			return // it may rule these values out
		}
	}
	if len(by) == 0 {
		return
	}
	var both set
	for _, g := range good {
		for _, b := range bad {
			if faces(g, b) {
				both = both.or(set{g}.and(set{b}))
			}
		}
	}
	if both.and(domainOf(l.domains, term)).empty() {
		return
	}
	l.at(a, finding{code: ContradictoryBands, by: by[0].path, term: term, values: both,
		message: fmt.Sprintf("where %s both %s and %s are true", both.of(term), by[0].phrase(), a.phrase()),
		hint:    "one lets the plan go on and the other stops it: let the one end where the other begins"})
}

// about returns what a gate asks of one term, where it is a plain conjunction.
func (g gate) about(term string) (set, bool) {
	if !g.judged || len(g.is) != 1 || len(g.is[0].bools) > 0 {
		return nil, false
	}
	s, ok := g.is[0].nums[term]
	return s, ok
}

// faces reports whether one interval ends in the direction in which the other
// begins.
func faces(good, bad interval) bool {
	return !math.IsInf(good.hi, 0) && !math.IsInf(bad.lo, 0) || !math.IsInf(good.lo, 0) && !math.IsInf(bad.hi, 0)
}
