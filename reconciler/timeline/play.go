package timeline

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Play steps from start up to end, and gives to yield every decision that says
// something else than the one before.
func (p *Player) Play(start, end time.Time, step time.Duration, yield func(Look)) error {
	var last Gist
	for t := start; !t.After(end); t = t.Add(step) {
		err := p.Step(t, func(l Look) {
			if g := l.Gist(); g != last {
				last = g
				yield(l)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Gist is what a decision says, without its time and its words.
type Gist struct {
	Verb                decide.Verb
	Reason              decide.Reason
	Target              plan.Position
	Effective, Declared plan.Position
}

// Gist of the look.
func (l Look) Gist() Gist {
	return Gist{l.Decision.Verb, l.Decision.Reason, l.Decision.Target, l.Effective, l.Declared}
}
