package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// pushResult is the answer of a push.
type pushResult struct {
	of     decide.Pending // what was pushed
	pushed Pushed
	err    error
	newer  bool // the branch moved on: take in what came, then push again
}

// startPush sends the pending revert to the branch, beside everything else:
// neither traffic nor cluster waits for it, nor it for them.
func (w *worker) startPush(ctx context.Context) {
	p := w.rec.Pending
	if p == nil || p.Branch != "" || ctx.Err() != nil || w.r.fenced() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pushing || w.pushed != nil || w.r.o.Now().Before(w.pushAfter) && w.pushBegun.After(w.r.gitBackAt()) {
		return
	}
	w.pushing, w.pushBegun = true, w.r.o.Now()
	of, u, seen := *p, w.undo(*p), w.rec.Seen
	w.r.pushes.Go(func() {
		ctx, cancel := effect(ctx, gitDeadline)
		defer cancel()
		var res pushResult
		if err := guarded(w.log, "push the revert", func() error {
			res = w.r.push(ctx, u, seen)
			return nil
		}); err != nil {
			res = pushResult{err: err}
		}
		res.of = of
		w.mu.Lock()
		w.pushing, w.pushed = false, &res
		w.mu.Unlock()
		w.r.queue.Add(w.key)
	})
}

// undo puts the pending revert in the terms of Source.
func (w *worker) undo(p decide.Pending) Undo {
	u := Undo{
		Key: w.key, Commits: slices.Clone(p.Undo), From: p.From, Target: p.Target,
		Message: p.Message, Evidence: evidence(p.Evidence), At: p.At,
	}
	for _, r := range p.Evidence {
		if !slices.Contains(u.Gates, r.Name) {
			u.Gates = append(u.Gates, r.Name)
		}
	}
	if w.rec.Good != nil {
		u.Good = w.rec.Good.Revision
	}
	return u
}

// evidence is the values of the breached gates in one line.
func evidence(rs gates.Results) string {
	var out []string
	for _, r := range rs {
		for _, name := range sortedKeys(r.Values) {
			out = append(out, fmt.Sprintf("%s=%g", name, r.Values[name]))
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// push reads the branch first: what people committed after the breach wins.
func (r *Reconciler) push(ctx context.Context, u Undo, seen plan.Revision) pushResult {
	begun := r.o.Now()
	r.poll(ctx)
	b := r.branchNow()
	if b.err != "" {
		return pushResult{err: errors.New(b.err)}
	}
	if b.head != seen {
		return pushResult{newer: true}
	}
	pushed, err := r.o.Source.Push(ctx, u)
	r.metrics.git("push", r.o.Now().Sub(begun), err)
	if err == nil {
		r.poll(ctx)
	}
	return pushResult{pushed: pushed, err: err}
}

// takePush takes in the answer of a push that has ended.
func (w *worker) takePush(ctx context.Context) {
	w.mu.Lock()
	res := w.pushed
	w.pushed = nil
	w.mu.Unlock()
	if res == nil || res.newer {
		return
	}
	p := w.rec.Pending
	now := w.r.o.Now()
	if p == nil || p.Target != res.of.Target || !slices.Equal(p.Undo, res.of.Undo) {
		// What is pending now is another revert, or none: it gets a push of its own.
		if res.err == nil {
			w.logPush(ctx, res.of, res.pushed, now)
		}
		return
	}
	if res.err != nil {
		rec := w.rec.PushFailed(res.err.Error(), errors.Is(res.err, ErrMismatch), now)
		if p.Error != rec.Pending.Error {
			w.log.Error("the revert is not on the branch yet; it is pushed again", "err", res.err.Error(), "attempts", rec.Pending.Attempts)
		}
		w.setPushAfter(now.Add(min(backoff(rec.Pending.Attempts), 30*time.Second)))
		w.save(ctx, rec)
		return
	}
	w.setPushAfter(time.Time{})
	w.logPush(ctx, res.of, res.pushed, now)
	w.save(ctx, w.rec.Pushed(res.pushed.Branch))
}

func (w *worker) setPushAfter(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pushAfter = t
}

// logPush tells people where the revert is.
func (w *worker) logPush(ctx context.Context, p decide.Pending, pushed Pushed, now time.Time) {
	e := Entry{
		At: now, Verb: decide.Rollback, Reason: p.Reason, From: p.From, To: p.Target, Commits: pushed.Commits, Evidence: p.Evidence,
	}
	switch pushed.Outcome {
	case PushedNothing:
		e.Message = "the branch already declares it: no revert was needed"
	case PushedBranch:
		e.Message = fmt.Sprintf("the branch refused the revert: it is on branch %s and waits to be merged", pushed.Branch)
	default:
		e.Message = fmt.Sprintf("the revert is on the branch at %s", pushed.Head.Short())
	}
	if len(pushed.Notes) > 0 {
		e.Message += "; " + strings.Join(pushed.Notes, "; ")
	}
	w.log.Info("pushed", "outcome", string(pushed.Outcome), "head", string(pushed.Head), "branch", pushed.Branch, "message", e.Message)
	w.append(ctx, e, pushed.Outcome == PushedBranch)
}
