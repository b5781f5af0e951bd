package reconciler

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// ShadowReport is what comparing modern's answers to copies with legacy's has come
// to at the effective stop, of all bridges together.
type ShadowReport struct {
	// MatchRate is the share of the comparisons that matched, Coverage that of
	// the eligible requests that were compared; from 0 to 1.
	MatchRate   float64 `json:"matchRate"`
	Coverage    float64 `json:"coverage"`
	Comparisons int64   `json:"comparisons"`
	// Unknown says why there is none; empty where there is.
	Unknown string `json:"unknown,omitempty"`
}

// shadowing is the newest report, and when the next is due.
type shadowing struct {
	stop   plan.Position
	next   time.Time
	report *ShadowReport
}

// compare asks the bridges at the drift interval what comparing has come to, at a
// stop that compares. As measure, it comes after what was decided is done.
func (w *worker) compare(ctx context.Context, in decide.Input) {
	a := w.rec.Applied
	if a == nil || in.Applied.IsZero() || !compares(in.Applied.Plan, a.Stop) {
		w.shadow = shadowing{}
		return
	}
	if w.shadow.stop != a.Stop {
		w.shadow = shadowing{stop: a.Stop}
	}
	t, ok := w.traffic(in.Applied.Plan).(Teller)
	if !ok || w.rec.Move != nil || in.Now.Before(w.shadow.next) {
		return
	}
	w.shadow.next = in.Now.Add(w.r.o.DriftInterval)
	ctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	var told gates.Bridges
	if err := guarded(w.log, "ask the bridges", func() error { told = t.Tell(ctx, in.Applied.Plan, in.Now); return nil }); err != nil {
		told = gates.NoBridges(err.Error())
	}
	if s := told.Shadow; s != nil {
		w.shadow.report = &ShadowReport{MatchRate: s.MatchRate, Coverage: s.Coverage, Comparisons: s.Comparisons}
		return
	}
	w.shadow.report = &ShadowReport{Unknown: told.NoShadow}
}

// compares reports whether a stop of a plan has modern's answers compared.
func compares(p *plan.Plan, stop plan.Position) bool {
	ph := p.Phase(stop.Phase)
	if ph == nil {
		return false
	}
	for _, r := range ph.Routes {
		if r.Mirror != nil && r.Mirror.Compare != nil {
			return true
		}
	}
	return false
}
