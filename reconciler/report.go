package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func stack() string { return string(debug.Stack()) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// announce tells people of a decision that is not the one before: one log
// line, a line of history, and a page where somebody must look.
func (w *worker) announce(ctx context.Context, in decide.Input, d decide.Decision) {
	w.r.metrics.decided(w.key, d)
	if same(d, w.last) {
		w.log.Debug("decided", "verb", string(d.Verb), "reason", string(d.Reason), "message", d.Message)
		return
	}
	w.last = d
	if d.Verb == decide.Rollback && w.breach.IsZero() {
		w.breach = in.Now
	}
	w.log.Info("decided", "verb", string(d.Verb), "reason", string(d.Reason), "target", d.Target.String(),
		"declared", declared(in).String(), "undo", d.Undo, "message", d.Message)
	breached := len(d.Evidence) > 0 // that of a plan that is suspended, too
	if d.Verb == decide.Hold && !breached || d.Reason == decide.Resuming {
		return
	}
	e := Entry{
		At: in.Now, Verb: d.Verb, Reason: d.Reason, To: d.Target, Message: d.Message, Commits: d.Undo, Evidence: d.Evidence,
	}
	if a := in.Record.Applied; a != nil {
		e.From = a.Stop
	}
	w.append(ctx, e, d.Verb == decide.Rollback || d.Verb == decide.Halt || breached)
}

// same reports whether two decisions say the same to people. Messages carry
// values, which change at every evaluation.
func same(a, b decide.Decision) bool {
	return a.Verb == b.Verb && a.Reason == b.Reason && a.Target == b.Target && a.Revision == b.Revision &&
		slices.Equal(a.Undo, b.Undo) && (len(a.Evidence) > 0) == (len(b.Evidence) > 0)
}

func declared(in decide.Input) plan.Position {
	if in.Head.IsZero() {
		return plan.Position{}
	}
	return in.Head.Plan.Spec.Position
}

// append adds to the history. A history that cannot be written is logged and
// keeps nothing from happening: the record is what counts.
func (w *worker) append(ctx context.Context, e Entry, page bool) {
	sctx, cancel := effect(ctx, storeDeadline)
	defer cancel()
	if err := w.r.o.Recorder.Append(sctx, w.key, e); err != nil {
		w.log.Error("the history could not be written", "err", err.Error())
	}
	e.Plan = w.governs
	w.r.o.Notifier.Notify(ctx, w.key, e, page)
}

// statusOf makes the status from what is known now; failed is the effect that
// did not work, or nil.
func (w *worker) statusOf(in decide.Input, d decide.Decision, failed error) Status {
	b := w.r.branchNow()
	s := Status{
		Key: w.key, Path: in.Head.Path, Declared: declared(in), Decision: d, Head: b.head, Observed: w.observed,
		Gates: in.Verdicts, Holds: w.rec.Holds, Pending: w.rec.Pending, Move: w.rec.Move, Halt: w.rec.Halt, Blind: w.rec.Blind,
		Problems: slices.Concat(b.plans[w.key].problems, w.misread), CheckedAt: in.Now, GitReadAt: b.readAt, GitError: b.err, Unverified: b.held,
		Waiting: w.waiting, Plan: in.Head.Plan, Split: w.splitReport(), Work: w.workNow(), Flags: w.flagsNow(in),
		Shadow: w.shadow.report, Changes: newest(w.rec.Changes, shownChanges),
	}
	s.Observed.Split = s.Split.Mismatch()
	if failed != nil {
		s.Error = failed.Error()
	}
	if !in.Head.IsZero() {
		s.Itinerary = in.Head.Plan.Itinerary()
	}
	if a := w.rec.Applied; a != nil {
		s.Effective, s.Since, s.Applied = a.Stop, a.Since, a.Revision
		if !in.Applied.IsZero() {
			s.BakedAt = a.Since.Add(time.Duration(in.Applied.Plan.BakeAt(a.Stop)))
		}
	}
	s.State = stateOf(in, w.rec, d)
	if w.late() && s.State == StateProgressing {
		s.State = StateDegraded
	}
	return s
}

// show gives the status to who asks.
func (w *worker) show(s Status) {
	w.mu.Lock()
	w.status = s
	w.mu.Unlock()
	if w.r.o.Shown != nil {
		w.r.o.Shown(s)
	}
}

// showMove shows a move before its first try, which may take long.
func (w *worker) showMove(in decide.Input, d decide.Decision) {
	if m := w.rec.Move; m != nil && m.Attempts == 0 && d.Verb.Moves() {
		in.Record = w.rec
		w.show(w.statusOf(in, d, nil))
	}
}

// report shows what is known now, and keeps it where it matters; failed is the
// effect that did not work, or nil.
func (w *worker) report(ctx context.Context, in decide.Input, d decide.Decision, failed error) {
	w.tellHeld(ctx, in, w.r.branchNow())
	s := w.statusOf(in, d, failed)
	w.r.metrics.status(s)
	w.show(s)
	w.stands(standOf(in, d, s.State))
	if gist := gistOf(s); !reflect.DeepEqual(gist, w.saved) {
		sctx, cancel := effect(ctx, storeDeadline)
		defer cancel()
		if err := w.r.o.Recorder.SaveStatus(sctx, s); err != nil {
			w.log.Error("the status could not be written", "err", err.Error())
			return
		}
		w.saved = gist
	}
}

// shownChanges is how many commits a status has.
const shownChanges = 40

func newest[T any](all []T, n int) []T { return slices.Clone(all[max(0, len(all)-n):]) }

// tellHeld pages a person where the branch's head is not taken up, once for each
// reason, and says when it is over.
func (w *worker) tellHeld(ctx context.Context, in decide.Input, b branch) {
	why := ""
	if b.held {
		why = b.err
	}
	if why == w.heldTold {
		return
	}
	w.heldTold = why
	e := Entry{At: in.Now, Verb: decide.Hold, Reason: decide.Unverified, Message: cmp.Or(why, "the branch's head is verified again, and taken up")}
	if a := w.rec.Applied; a != nil {
		e.From, e.To = a.Stop, a.Stop
	}
	w.append(ctx, e, why != "")
}

// gistOf is a status without what changes at every evaluation, so that an
// unchanged plan writes no file.
func gistOf(s Status) Status {
	s.CheckedAt, s.GitReadAt = time.Time{}, time.Time{}
	gist := make(gates.Results, len(s.Gates))
	for i, g := range s.Gates {
		gist[i] = gates.Result{Key: g.Key, Verdict: g.Verdict} // values change all the time
	}
	s.Gates = gist
	if s.GitError != "" {
		s.GitError = "unreadable"
	}
	if len(s.Work) > 0 && s.Move != nil {
		s.Waiting = s.Work[0].Name // how far it is changes all the time
	}
	s.Split, s.Work, s.Shadow, s.Changes = nil, nil, nil, nil
	if s.Observed.Split != "" {
		s.Observed.Split = "mismatch"
	}
	blocks := make([]decide.Block, len(s.Decision.Blocks))
	for i, b := range s.Decision.Blocks {
		blocks[i].Reason = b.Reason
	}
	s.Decision.Blocks = blocks
	s.Decision.Message, s.Decision.Evidence, s.Decision.RecheckAt = "", nil, time.Time{}
	return s
}

// stateOf is the one word for a table.
func stateOf(in decide.Input, rec decide.Record, d decide.Decision) State {
	switch {
	case d.Reason == decide.Suspended:
		return StateSuspended
	case rec.Move != nil && rec.Move.Verb.Backward():
		return StateRollingBack
	case rec.Pending != nil:
		return StateRolledBackUnpushed
	case rec.Halt != nil:
		return StateHalted
	case in.Git.Gone:
		return StateOrphaned
	case in.Git.Invalid != "":
		return StateInvalid
	case rec.Move != nil && rec.Move.Attempts > 0:
		return StateDegraded
	case rec.Move != nil:
		return StateProgressing
	case d.Reason == decide.Quarantined:
		return StateQuarantined
	case d.Verb == decide.Complete:
		return StateComplete
	case (in.Observed.Gateway.Ill() || in.Observed.Cluster.Ill() || in.Observed.Split != "") && rec.Applied != nil && d.Verb == decide.Hold:
		return StateDegraded
	case d.Reason == decide.Steady:
		return StateSteady
	case d.Verb == decide.Hold:
		return StateWaiting
	}
	return StateProgressing
}

// Statuses of all plans, sorted by key.
func (r *Reconciler) Statuses() []Status {
	r.mu.Lock()
	ws := slices.Collect(maps.Values(r.plans))
	r.mu.Unlock()
	out := make([]Status, 0, len(ws))
	for _, w := range ws {
		w.mu.Lock()
		out = append(out, w.status)
		w.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return out
}

// Status of one plan.
func (r *Reconciler) Status(key plan.Key) (Status, bool) {
	r.mu.Lock()
	w, ok := r.plans[key]
	r.mu.Unlock()
	if !ok {
		return Status{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, true
}

// History returns the newest n entries of a plan, oldest first.
func (r *Reconciler) History(ctx context.Context, key plan.Key, n int) ([]Entry, error) {
	return r.o.Recorder.History(ctx, key, n)
}

// Ready returns nil once the branch was read and every plan was worked once;
// ErrUnread where the branch could not be read.
func (r *Reconciler) Ready() error {
	b := r.branchNow()
	if b.head == "" {
		if b.err != "" {
			return fmt.Errorf("%w: %s", ErrUnread, b.err)
		}
		return errors.New("git was not read yet: the first reading is under way")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, w := range r.plans {
		w.mu.Lock()
		worked := w.worked
		w.mu.Unlock()
		if !worked {
			return fmt.Errorf("plan %s was not worked yet", key)
		}
	}
	return nil
}
