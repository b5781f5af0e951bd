package lint

import (
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// retention is how long Prometheus keeps data where nobody says otherwise.
const retention = 15 * 24 * time.Hour

// windows finds each `for` that is longer than what it has.
func (l *linter) windows(ph *plan.Phase, gates []gate) {
	stay := shortestStay(ph, gates)
	window := time.Duration(ph.Rollback.Window)
	for _, g := range gates {
		f := finding{code: LongFor, path: g.path + ".for"}
		switch {
		case g.For == 0:
			continue
		case g.window() > retention:
			f.message = fmt.Sprintf("for %s is longer than Prometheus keeps data by default, 15d", g.For)
			f.hint = "the gate would have no data; ask for less, or ignore this where your Prometheus keeps more"
		case g.effect == plan.Advance && window > 0 && g.window() > window:
			f.message = fmt.Sprintf("for %s is longer than the rollback window of the phase, %s: the plan would still be here when a breach no longer rolls back", g.For, ph.Rollback.Window)
			f.hint = "make the window longer, or this shorter"
		case g.effect == plan.Breaches && window > 0 && g.window() >= window:
			f.message = fmt.Sprintf("for %s is not shorter than the rollback window of the phase, %s: what goes wrong at the stop is never rolled back", g.For, ph.Rollback.Window)
			f.hint = "make the window longer, or this shorter"
		case alarm(g.effect) && stay > 0 && g.window() > stay:
			f.message = fmt.Sprintf("for %s is longer than a stop of the phase may last, %s: the plan may have gone on before this is true", g.For, plan.Duration(stay))
			f.hint = "make the bake at least as long, or this shorter"
		default:
			continue
		}
		l.report(f)
	}
}

// shortestStay is the least time that the plan is at any stop of a phase that
// it leaves forward: the bake, or an advance gate's `for` where that is longer.
func shortestStay(ph *plan.Phase, gates []gate) time.Duration {
	var stay time.Duration
	for i, p := range stopsOf(ph) {
		if bake := time.Duration(ph.Bake.At(p)); i == 0 || bake < stay {
			stay = bake
		}
	}
	for _, g := range with(gates, plan.Advance) {
		stay = max(stay, g.window())
	}
	return stay
}

// stopsOf lists the percentages of a phase; 0 where it is one stop.
func stopsOf(ph *plan.Phase) []plan.Percent {
	if len(ph.Percents) == 0 {
		return []plan.Percent{0}
	}
	return ph.Percents
}
