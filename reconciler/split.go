package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/split"
)

// splitting is how the requests of a plan are watched at one stop.
type splitting struct {
	stop   plan.Position
	live   plan.Digest // what was applied there
	since  time.Time   // when the stop was entered
	watch  split.Watch
	next   time.Time // when the interval ends
	report *split.Report
	told   bool // a person was told that the split is not as declared
}

// measure ends an interval in which requests were split, where one is over: it
// reads what was counted, and tells a person when it was not as declared twice.
// It comes after what was decided is done: nothing waits for it.
func (w *worker) measure(ctx context.Context, in decide.Input) {
	a, was := w.rec.Applied, in.Record.Applied
	if w.rec.Move != nil || a == nil || was == nil || a.Stop != was.Stop || a.Revision != was.Revision || in.Applied.IsZero() {
		return // what was read is of another time
	}
	if s := w.splitting; s != nil && (s.stop != a.Stop || s.live != in.Applied.Live || !s.since.Equal(a.Since)) {
		w.tellSplit(ctx, in, "")
		w.splitting = nil
	}
	if w.splitting == nil {
		if !splits(in.Applied.Plan, a.Stop) {
			return
		}
		w.splitting = &splitting{stop: a.Stop, live: in.Applied.Live, since: a.Since}
	}
	s := w.splitting
	if in.Now.Before(s.next) {
		return
	}
	s.next = in.Now.Add(w.r.o.DriftInterval)
	mctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	counted, err := w.counted(mctx, in)
	signals, window, unknown := w.signalled(mctx, in)
	if window > w.r.o.DriftInterval && len(signals) > 0 {
		// What one window has must not be in the next as well.
		s.next = in.Now.Add(window)
	}
	readings := append(counted, signals...)
	if len(readings) == 0 && err == nil && unknown == "" {
		return
	}
	if err != nil {
		unknown = strings.TrimPrefix(unknown+"; "+err.Error(), "; ")
	}
	s.report = s.watch.Next(readings, strings.ReplaceAll(unknown, "\n", "; "))
	w.tellSplit(ctx, in, s.report.Mismatch())
}

// tellSplit pages a person once where requests are not split as declared, and
// says once when that is over.
func (w *worker) tellSplit(ctx context.Context, in decide.Input, why string) {
	s := w.splitting
	if (why != "") == s.told {
		return
	}
	s.told = why != ""
	e := Entry{At: in.Now, Verb: decide.Hold, Reason: decide.SplitMatches, From: s.stop, To: s.stop,
		Message: fmt.Sprintf("requests are split as %s declares, or it was left", s.stop)}
	if s.told {
		e.Reason, e.Message = decide.SplitMismatch, fmt.Sprintf("requests are not split as %s declares: %s", s.stop, why)
	}
	w.log.Warn("what is seen of the split changed", "reason", string(e.Reason), "message", e.Message)
	w.append(ctx, e, s.told)
}

// splitReport is how the requests were split in the newest interval at the stop
// that is applied; nil where that is not known.
func (w *worker) splitReport() *split.Report {
	s, a := w.splitting, w.rec.Applied
	if s == nil || a == nil || s.stop != a.Stop || !s.since.Equal(a.Since) {
		return nil
	}
	return s.report
}

// splits reports whether a stop of a plan splits requests.
func splits(p *plan.Plan, stop plan.Position) bool { return len(percents(p, stop)) > 0 }

// percents of the routes of a stop that split requests, each once.
func percents(p *plan.Plan, stop plan.Position) map[plan.Percent]bool {
	out := map[plan.Percent]bool{}
	ph := p.Phase(stop.Phase)
	if ph == nil || p.Spec.Gateway == nil {
		return out
	}
	for _, r := range ph.Routes {
		switch {
		case r.To != plan.ToSplit:
		case r.Percent != nil:
			out[*r.Percent] = true
		default:
			out[stop.Percent] = true
		}
	}
	return out
}

// counted is what the gateway itself has counted, where it does.
func (w *worker) counted(ctx context.Context, in decide.Input) (out []split.Reading, err error) {
	s, ok := w.traffic(in.Applied.Plan).(Splitter)
	if !ok {
		return nil, nil
	}
	err = guarded(w.log, "read the split", func() error {
		out, err = s.Split(ctx, in.Applied.Plan, in.Record.Applied.Stop)
		return err
	})
	return out, err
}

// signalled is what the plan's signals say, once they speak of nothing but the
// stop. Their requests are those of all split routes together.
func (w *worker) signalled(ctx context.Context, in decide.Input) (out []split.Reading, window time.Duration, unknown string) {
	p, a := in.Applied.Plan, in.Record.Applied
	o := p.Spec.ObservedSplit
	if o == nil {
		return nil, 0, ""
	}
	all := percents(p, a.Stop)
	if len(all) > 1 {
		return nil, 0, "signals count the requests of all routes, and the routes have several percentages"
	}
	prg, err := w.program(in.Applied)
	if err != nil {
		return nil, 0, err.Error()
	}
	var needs [2]gates.Need
	for i, name := range []string{o.Legacy, o.Modern} {
		need, reach, ok := prg.Signal(name)
		if !ok {
			return nil, 0, fmt.Sprintf("the plan has no signal %q", name)
		}
		needs[i], window = need, max(window, reach)
	}
	if in.Now.Sub(a.Since) < window {
		return nil, 0, "" // they would count requests of the stop before
	}
	samples := w.r.o.Sampler.Sample(ctx, needs[:], in.Now)
	var n [2]int64
	for i, need := range needs {
		s := samples[need]
		if err := errors.Join(s.Err, unknownErr(s.Last)); err != nil {
			return nil, 0, fmt.Sprintf("signal.%s: %s", []string{o.Legacy, o.Modern}[i], err)
		}
		n[i] = int64(s.Last.Value + 0.5)
	}
	r := split.Reading{Source: "signals", Route: "the split routes", Since: in.Now}
	for r.Percent = range all {
	}
	if p.Spec.Identity == nil {
		r.Random = split.Pair{Legacy: n[0], Modern: n[1]}
	} else {
		r.Mixed = split.Pair{Legacy: n[0], Modern: n[1]}
	}
	return []split.Reading{r}, window, ""
}

func unknownErr(p gates.Point) error {
	if p.Unknown == "" {
		return nil
	}
	return errors.New(p.Unknown)
}

// askBridges is what the bridges of the plan tell gates.
func (w *worker) askBridges(ctx context.Context, in *decide.Input) *gates.Bridges {
	p := in.Applied.Plan
	if p == nil {
		return new(gates.NoBridges("no stop was entered yet"))
	}
	t, ok := w.traffic(p).(Teller)
	if !ok {
		return new(gates.NoBridges("the daemon was started without a bridge"))
	}
	out := &gates.Bridges{}
	if err := guarded(w.log, "ask the bridges", func() error { *out = t.Tell(ctx, p, in.Now); return nil }); err != nil {
		return new(gates.NoBridges(err.Error()))
	}
	return out
}
