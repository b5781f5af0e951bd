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

// pushJob is the pending revert of one plan on its way to the branch.
type pushJob struct {
	w    *worker
	of   decide.Pending
	undo Undo
	seen plan.Revision
}

// startPush sends the pending reverts of connected plans to the branch, in one
// push, beside everything else: neither traffic nor cluster waits for it, nor it
// for them.
func (r *Reconciler) startPush(ctx context.Context, ws []*worker) {
	if ctx.Err() != nil || r.fenced() != nil {
		return
	}
	var jobs []pushJob
	for _, w := range ws {
		if job, ok := w.pushJob(); ok {
			jobs = append(jobs, job)
		}
	}
	if len(jobs) == 0 {
		return
	}
	r.pushes.Go(func() {
		ctx, cancel := effect(ctx, gitDeadline)
		defer cancel()
		results := make([]pushResult, len(jobs))
		if err := guarded(r.o.Log, "push the revert", func() error {
			r.push(ctx, jobs, results)
			return nil
		}); err != nil {
			for i := range results {
				results[i] = pushResult{err: err}
			}
		}
		for i, job := range jobs {
			results[i].of = job.of
			job.w.mu.Lock()
			job.w.pushing, job.w.pushed = false, &results[i]
			job.w.mu.Unlock()
		}
		r.enqueue(jobs[0].w.key)
	})
}

// pushJob is what the plan has to push, where it may be tried now. It counts as
// being pushed from here on.
func (w *worker) pushJob() (pushJob, bool) {
	p := w.rec.Pending
	if p == nil || p.Branch != "" {
		return pushJob{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pushing || w.pushed != nil || w.r.o.Now().Before(w.pushAfter) && w.pushBegun.After(w.r.gitBackAt()) {
		return pushJob{}, false
	}
	w.pushing, w.pushBegun = true, w.r.o.Now()
	return pushJob{w: w, of: *p, undo: w.undo(*p), seen: w.rec.Seen}, true
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
func (r *Reconciler) push(ctx context.Context, jobs []pushJob, results []pushResult) {
	begun := r.o.Now()
	r.poll(ctx)
	b := r.branchNow()
	var undos []Undo
	var at []int
	for i, job := range jobs {
		switch {
		case b.err != "":
			results[i] = pushResult{err: errors.New(b.err)}
		case b.head != job.seen:
			results[i] = pushResult{newer: true}
		default:
			undos, at = append(undos, job.undo), append(at, i)
		}
	}
	if len(undos) == 0 {
		return
	}
	pushed, err := r.o.Source.Push(ctx, undos)
	r.metrics.git("push", r.o.Now().Sub(begun), err)
	for n, i := range at {
		if err != nil {
			results[i] = pushResult{err: err}
			continue
		}
		results[i] = pushResult{pushed: pushed[n], err: pushed[n].Err}
	}
	if err == nil {
		r.poll(ctx)
	}
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
