package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/changeover-dev/changeover/plan"
)

// Check returns what looks wrong in a plan that is valid, as warnings at their
// places, sorted, without those that the file's comments ignore. Of a plan in
// which plan.Decode or gates.Check found errors it judges what can be read.
func Check(doc *plan.Document) []plan.Problem { return CheckAmong(doc, nil) }

// CheckAmong is Check where all plans of the repository are known: it also judges
// which of them gates read. Nil: they are not known.
func CheckAmong(doc *plan.Document, plans []plan.Key) []plan.Problem {
	return CheckAt(doc, plans, time.Time{})
}

// CheckAt is CheckAmong at a time: it also judges which rules expire soon. Zero: the
// time is not known.
func CheckAt(doc *plan.Document, plans []plan.Key, now time.Time) []plan.Problem {
	var ps []plan.Problem
	for _, f := range slices.Concat(analyse(doc.Plan, plans), expiring(doc.Plan, now), flags(doc.Plan, now)) {
		ps = append(ps, f.problem(doc))
	}
	unknown := map[string]bool{UnknownPlan: plans == nil, RuleExpires: now.IsZero(), FlagExpires: now.IsZero()}
	ps = ignore(doc, ps, unknown)
	plan.Sort(ps)
	return ps
}

// linter judges one plan.
type linter struct {
	plan    *plan.Plan
	plans   []plan.Key             // of the repository; nil: not known
	signals map[string]parser.Expr // those that parse
	// domains are the values that terms can have.
	domains  map[string]set
	findings []finding
	// unread is set where an expression did not parse: what it reads is not
	// known.
	unread bool
}

// gate is one gate of a phase.
type gate struct {
	plan.Gate
	path   string
	effect plan.Effect
	*formula
}

// label is how messages name a gate.
func (g gate) label() string { return fmt.Sprintf("%s gate %q", g.effect, g.Name) }

func (g gate) window() time.Duration { return time.Duration(g.For) }

func analyse(p *plan.Plan, plans []plan.Key) []finding {
	l := &linter{plan: p, plans: plans, signals: map[string]parser.Expr{}, domains: map[string]set{
		"position.percent": between(0, 100), "declared.percent": between(0, 100),
	}}
	for name, s := range p.Spec.Signals {
		if e, err := promQL.ParseExpr(s.Query); err == nil {
			l.signals[name] = e
			l.domains["signal."+name] = domain(e)
		}
	}
	var every []gate
	for i := range p.Spec.Phases {
		gates := l.gatesOf(i)
		every = append(every, gates...)
		l.constants(gates)
		l.shadows(gates)
		l.bands(i, gates)
		l.windows(&p.Spec.Phases[i], gates)
		l.traffic(i, gates)
	}
	for _, name := range slices.Sorted(maps.Keys(l.signals)) {
		l.query(name)
	}
	l.samples(every)
	l.unused(every)
	l.absent(every)
	return l.findings
}

// gatesOf lists the gates of a phase that parse, in the order of the effects
// and of the file.
func (l *linter) gatesOf(phase int) (gates []gate) {
	for _, effect := range plan.Effects {
		for j, g := range l.plan.Spec.Phases[phase].GatesOf(effect) {
			f, ok := parseFormula(g.Expr)
			if !ok {
				l.unread = true
				continue
			}
			path := fmt.Sprintf("spec.phases[%d].%s[%d]", phase, effect.GatesPath(), j)
			gates = append(gates, gate{Gate: g, path: path, effect: effect, formula: f})
		}
	}
	return gates
}

func with(gates []gate, effect plan.Effect) []gate {
	return slices.DeleteFunc(slices.Clone(gates), func(g gate) bool { return g.effect != effect })
}

func (l *linter) report(f finding) { l.findings = append(l.findings, f) }

// at reports a gate at its expression.
func (l *linter) at(g gate, f finding) {
	f.path = g.path + ".expr"
	l.report(f)
}

// query judges the query of one signal.
func (l *linter) query(name string) {
	places, matchers := unguarded(l.signals[name])
	query := l.plan.Spec.Signals[name].Query
	for i, at := range places {
		l.report(finding{
			code: OrVectorZero, path: "spec.signals." + name + ".query", offset: len([]rune(query[:at])),
			message: fmt.Sprintf("until something with %s was counted this has no series, and the signal no data", matchers[i]),
			hint:    "write (sum(...) or vector(0)) / sum(...), so that none is 0",
		})
	}
}

// unused finds the signals and objects that nothing reads.
func (l *linter) unused(gates []gate) {
	if l.unread {
		return
	}
	read := map[string]bool{}
	for _, g := range gates {
		maps.Copy(read, g.reads)
	}
	for _, b := range l.plan.Spec.Baselines {
		read["signal."+b.Signal] = true
	}
	l.criteria(read)
	if l.unread {
		return
	}
	if o := l.plan.Spec.ObservedSplit; o != nil {
		read["signal."+o.Legacy], read["signal."+o.Modern] = true, true
	}
	for _, name := range slices.Sorted(maps.Keys(l.plan.Spec.Signals)) {
		if !read["signal."+name] && !read["series."+name] {
			l.report(finding{code: UnusedSignal, path: "spec.signals." + name, message: fmt.Sprintf("no gate reads signal.%s", name),
				hint: "remove it, or write the gate that it is for"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.plan.Spec.Objects)) {
		if !read["object."+name] {
			l.report(finding{code: UnusedObject, path: "spec.objects." + name, message: fmt.Sprintf("no gate reads object.%s", name),
				hint: "remove it, or write the gate that it is for"})
		}
	}
}

// signals lists the signals that a gate reads, by name.
func (g gate) signals() []string {
	var names []string
	for _, r := range slices.Sorted(maps.Keys(g.reads)) {
		if name, ok := strings.CutPrefix(r, "signal."); ok {
			names = append(names, name)
		}
	}
	return names
}
