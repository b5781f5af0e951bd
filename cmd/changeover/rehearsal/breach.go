package rehearsal

import (
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// breachAt asks what the daemon decides when the rollback gates of a stop are
// breached right after it was entered. What other plans, or a person, keep the
// plan from does not count.
func breachAt(v plan.Version, stop plan.Position) (Breach, error) {
	ph := v.Plan.Phase(stop.Phase)
	if len(ph.Gates.Rollback) == 0 {
		return Breach{}, nil
	}
	alone := *v.Plan
	alone.Spec.Suspend, alone.Spec.DependsOn, alone.Spec.ConflictsWith = false, nil, nil
	v.Plan = &alone
	start := time.Unix(0, 0).UTC()
	p, err := timeline.New(timeline.Options{
		Plan: v, From: stop, Start: start, Interval: time.Minute,
		Judge: func(rs gates.Results, _ map[string]gates.Point) {
			for i := range rs {
				if rs[i].Effect == plan.Breaches && rs[i].Stop == stop {
					rs[i].Verdict, rs[i].Now = gates.Pass, gates.Pass
				}
			}
		},
	})
	if err != nil {
		return Breach{}, fmt.Errorf("rehearse a breach at %s: %w", stop, err)
	}
	var out *Breach
	err = p.Step(start, func(l timeline.Look) {
		if d := l.Decision; out == nil {
			out = &Breach{Verb: d.Verb, Target: d.Target, Reason: d.Reason, Reverts: len(d.Undo), Within: ph.Rollback.Window}
		}
	})
	if err != nil {
		return Breach{}, fmt.Errorf("rehearse a breach at %s: %w", stop, err)
	}
	return *out, nil
}
