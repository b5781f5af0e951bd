package gates

import (
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// timeless are the facts that do not change as time passes.
var timeless = []string{"clients", "commit", "declared", "health", "position", "shadow"}

// Steady tells from when on the results of a request hang on the time no more:
// later, what is sampled and the facts being the same, so are they. It is for
// who evaluates at very many times. ok is false where they always may hang on
// it, as those of gates that read the age of a stop do.
func (p *Program) Steady(r Request) (from time.Time, ok bool) {
	ok = true
	p.gates(r, func(effect plan.Effect, g *gate) {
		for _, f := range g.expr.facts {
			ok = ok && slices.Contains(timeless, f)
		}
		var wait time.Duration
		switch breach := effect == plan.Pause || effect == plan.Breaches; {
		case r.Fresh && breach && len(g.sources) > 0:
			// First nothing counts, then ever more points of the window do.
			wait = g.reach + g.span + g.step
		case effect == plan.Advance && g.longest() > 0:
			wait = g.longest()
		default:
			return
		}
		if t := r.Since.Add(wait); t.After(from) {
			from = t
		}
	})
	return from, ok
}
