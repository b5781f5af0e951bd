package review

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/flagd"
)

// Flags renders the flag definitions of a stop at a time; a plan without flags has
// none.
func Flags(p *plan.Plan, stop plan.Position, now time.Time) ([]Rendered, error) {
	if len(p.Spec.Flags) == 0 {
		return nil, nil
	}
	s, err := flagd.Compile(p, stop, now)
	if err != nil {
		return nil, err
	}
	return []Rendered{{flagd.Key, string(s.Definitions())}}, nil
}

// traffic is what gateway and flags are given at a stop.
func (b *builder) traffic(p *plan.Plan, stop plan.Position) ([]Rendered, error) {
	_, _, files, err := Gateway(p, stop)
	if err != nil {
		return nil, err
	}
	flags, err := Flags(p, stop, b.Now)
	return append(files, flags...), err
}
