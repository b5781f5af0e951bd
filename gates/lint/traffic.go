package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// sides says which of them get traffic at a stop.
type sides struct{ legacy, modern bool }

// sidesAt looks at the routes of a phase. Those behind one that matches
// everything are never reached.
func sidesAt(ph *plan.Phase, stop plan.Percent) (s sides) {
	for _, r := range ph.Routes {
		switch r.To {
		case plan.ToLegacy:
			s.legacy = true
		case plan.ToModern:
			s.modern = true
		case plan.ToSplit:
			share := stop
			if r.Percent != nil {
				share = *r.Percent
			}
			s.legacy = s.legacy || share < 100
			s.modern = s.modern || share > 0
		case "": // answered by the gateway
		default:
			s = sides{legacy: true, modern: true}
		}
		if r.Match == nil {
			break
		}
	}
	return s
}

// traffic judges a phase by where its requests go.
func (l *linter) traffic(phase int, gates []gate) {
	ph := &l.plan.Spec.Phases[phase]
	modern := false
	for _, p := range stopsOf(ph) {
		modern = modern || sidesAt(ph, p).modern
	}
	// Behind the first phase there is nothing to go back to.
	if modern && phase > 0 && len(ph.Gates.Rollback) == 0 {
		l.report(finding{code: NoRollbackGate, path: fmt.Sprintf("spec.phases[%d].name", phase),
			message: fmt.Sprintf("phase %q sends traffic to modern and has no rollback gate: when modern fails, it stays there", ph.Name),
			hint:    "add gates: {rollback: [{name: ..., expr: ...}]}"})
	}
	for _, g := range gates {
		stop, silent := l.silentAt(phase, g.effect)
		// Verify gates are asked after the way back.
		if !silent || g.effect == plan.Verify || g.reads["position.percent"] || g.reads["position.phase"] {
			continue
		}
		for _, name := range g.signals() {
			if e, ok := l.signals[name]; ok && (ofLegacy(e) || strings.HasPrefix(strings.ToLower(name), "legacy") && !answersAlways(e)) {
				if effect, hit := g.without(name); hit {
					l.report(l.silenced(g, name, stop, effect))
					break
				}
			}
		}
	}
}

// silentAt returns a stop of a phase at which its gates of one effect are
// evaluated while legacy gets no traffic. Enter gates are evaluated at the stop
// before.
func (l *linter) silentAt(phase int, effect plan.Effect) (plan.Position, bool) {
	ph := &l.plan.Spec.Phases[phase]
	stops := stopsOf(ph)
	if effect == plan.Enter {
		if stops = stops[:len(stops)-1]; phase > 0 {
			before := &l.plan.Spec.Phases[phase-1]
			ends := stopsOf(before)
			if p := ends[len(ends)-1]; silent(before, p) {
				return plan.Position{Phase: before.Name, Percent: p}, true
			}
		}
	}
	for _, p := range stops {
		if silent(ph, p) {
			return plan.Position{Phase: ph.Name, Percent: p}, true
		}
	}
	return plan.Position{}, false
}

func silent(ph *plan.Phase, p plan.Percent) bool { return len(ph.Routes) > 0 && !sidesAt(ph, p).legacy }

// without says what a gate is while one of its signals has no data; hit is
// unset where the gate can do its work all the same.
func (g gate) without(name string) (effect string, hit bool) {
	named := regexp.MustCompile(`\bsignal\.` + regexp.QuoteMeta(name) + `\b`)
	known := func(r region) bool {
		return slices.ContainsFunc(r, func(b box) bool {
			for term := range b.nums {
				if named.MatchString(term) {
					return false
				}
			}
			for condition := range b.bools {
				if named.MatchString(condition) {
					return false
				}
			}
			return true
		})
	}
	switch {
	case !g.judged || !known(g.is):
		return "is never true", true
	case alarm(g.effect) && !known(g.isNot):
		return "is never known to be false, which holds the plan", true
	}
	return "", false
}

// silenced is the finding, with the baseline that would do in its place.
func (l *linter) silenced(g gate, name string, stop plan.Position, effect string) finding {
	f := finding{code: LegacySilent, path: g.path + ".expr",
		message: fmt.Sprintf("at %s legacy gets no traffic, so signal.%s has no data and %s %s", stop, name, g.label(), effect),
		hint:    "give that stop a phase of its own with gates over modern alone"}
	if heard, ok := l.heardBefore(stop); ok {
		f.hint = fmt.Sprintf("compare with what it was, baseline.%[1]s here and spec.baselines: {%[1]s: {signal: %[1]s, at: %[2]s}}, or %[3]s", name, heard, f.hint)
	}
	if at := strings.Index(g.Expr, "signal."+name); at >= 0 {
		f.offset = len([]rune(g.Expr[:at]))
	}
	return f
}

// heardBefore is the last stop before another at which legacy gets traffic.
func (l *linter) heardBefore(stop plan.Position) (heard plan.Position, ok bool) {
	for i := range l.plan.Spec.Phases {
		ph := &l.plan.Spec.Phases[i]
		for _, p := range stopsOf(ph) {
			at := plan.Position{Phase: ph.Name, Percent: p}
			if at == stop {
				return heard, ok
			}
			if !silent(ph, p) {
				heard, ok = at, true
			}
		}
	}
	return heard, ok
}
