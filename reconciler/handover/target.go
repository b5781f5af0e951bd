package handover

import (
	"math"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// share is what a stop wants of modern.
type share struct {
	// Phase whose order counts; empty: modern is wanted to have nothing.
	phase   string
	percent plan.Percent
	// all: not even entities in flight may be left.
	all bool
}

// shareAt is the share at a stop.
func shareAt(p *plan.Plan, stop plan.Position) share {
	phase, percent := p.EntityShare(stop)
	if phase == "" {
		return share{}
	}
	return share{phase: phase, percent: percent, all: phase != stop.Phase && percent == 100}
}

// count is how many of n entities a share has: the next whole one.
func (s share) count(n int) int {
	// Percents have two decimals: so no rounding of a product makes one too many.
	hundredths := int(math.Round(float64(s.percent) * 100))
	return (n*hundredths + 9999) / 10000
}

// gap is what separates the table from what is wanted.
type gap struct {
	over []string // legacy's, to be handed over, in order
	back []string // to be handed back, in order
	want int      // how many modern shall have
	have int      // how many of those it has
}

// compare tells what is to be done: order are the entities that were born on
// legacy, the first ones first.
func (s share) compare(order []string, table map[string]ownership.Entity) gap {
	t := gap{want: s.count(len(order))}
	for i, id := range order {
		e := table[id]
		switch wanted := i < t.want; {
		case e.Origin == ownership.BornModern, e.Origin == ownership.Ended:
			// It is there to stay, or gone.
		case wanted && e.Owner == plan.Modern:
			t.have++
		case wanted:
			t.over = append(t.over, id)
		case e.Owner == plan.Modern:
			t.back = append([]string{id}, t.back...)
		}
	}
	return t
}
