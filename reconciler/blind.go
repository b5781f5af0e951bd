package reconciler

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// watch takes in whether the gates of the effective stop are known, and pages
// once where they were not for too long. It comes after what was decided is
// done: nothing waits for it.
func (w *worker) watch(ctx context.Context, in decide.Input) {
	next, n := w.rec.Watch(in)
	if n != nil {
		w.log.Warn("what is known of the gates changed", "reason", string(n.Reason), "message", n.Message)
		e := Entry{At: in.Now, Verb: decide.Hold, Reason: n.Reason, Message: n.Message, Evidence: n.Evidence}
		if a := w.rec.Applied; a != nil {
			e.From, e.To = a.Stop, a.Stop
		}
		w.append(ctx, e, n.Reason == decide.Blind)
	}
	if next.Blind != w.rec.Blind {
		w.save(ctx, next)
	}
}

// blindAfter is how long until a person is told that gates are not known; not
// positive where nothing is to be told, or the next evaluation tells it.
func (w *worker) blindAfter(now time.Time) time.Duration {
	at := w.rec.BlindAt(w.r.o.Limits.NoDataAlert)
	if at.IsZero() {
		return 0
	}
	return at.Sub(now)
}

// Unknown are the gates of the effective stop that had no data, or could not be
// evaluated, at the last check.
func (s Status) Unknown() gates.Results { return decide.Unknown(s.Gates, s.Effective) }

// blindSeconds is for how long at least one gate has not been known.
func blindSeconds(s Status) float64 {
	if s.Blind == nil {
		return 0
	}
	return max(s.CheckedAt.Sub(s.Blind.Since), 0).Seconds()
}
