package reconciler

import (
	"context"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// proposeAgain is how long the daemon waits after a proposal that failed.
const proposeAgain = time.Minute

// proposal is what was last proposed for a plan, or is being proposed.
type proposal struct {
	stop     plan.Position
	revision plan.Revision // the version that was in force
	under    bool          // under way
	after    time.Time     // after a failure: not before
	news     *Entry        // for the history, where it was not taken in yet
}

// startPropose puts the commit that raises the position to the next stop on a
// branch of its own, for a person to merge, once for each stop and version. It
// holds nothing up.
func (w *worker) startPropose(ctx context.Context, d decide.Decision) {
	if d.Propose.IsZero() || ctx.Err() != nil || w.r.fenced() != nil {
		return
	}
	p := proposal{stop: d.Propose, revision: w.rec.Applied.Revision, under: true}
	w.mu.Lock()
	old := w.proposed
	if old.under || old.stop == p.stop && old.revision == p.revision && (old.after.IsZero() || w.r.o.Now().Before(old.after)) {
		w.mu.Unlock()
		return
	}
	w.proposed = p
	w.mu.Unlock()
	from := w.rec.Applied.Stop
	w.r.pushes.Go(func() {
		ctx, cancel := effect(ctx, gitDeadline)
		defer cancel()
		p.under = false
		var branch string
		err := guarded(w.log, "propose the next stop", func() (err error) {
			branch, err = w.r.o.Source.Propose(ctx, w.key, p.stop, d.Message)
			return err
		})
		if err != nil {
			p.after = w.r.o.Now().Add(proposeAgain)
			w.log.Error("the next stop could not be proposed; it is tried again", "stop", p.stop.String(), "err", err.Error())
		} else {
			w.log.Info("proposed", "stop", p.stop.String(), "branch", branch)
			w.offer(branch, fmt.Sprintf("%s: %s", w.key.Name, p.stop),
				fmt.Sprintf("The gates of %s allow plan %s to go on to %s.\n\nWhat happens next: once this is merged, the daemon goes there, as the gates allow.", from, w.key, p.stop))
			p.news = &Entry{
				At: w.r.o.Now(), Verb: decide.Hold, Reason: decide.Proposed, From: from, To: p.stop,
				Message: fmt.Sprintf("%s is proposed on branch %s: merge it to go on", p.stop, branch),
			}
		}
		w.mu.Lock()
		w.proposed = p
		w.mu.Unlock()
		w.r.enqueue(w.key)
	})
}

// takeProposal tells people of a proposal that was made.
func (w *worker) takeProposal(ctx context.Context) {
	w.mu.Lock()
	news := w.proposed.news
	w.proposed.news = nil
	w.mu.Unlock()
	if news != nil {
		w.append(ctx, *news, false)
	}
}

// offer has a pull request opened where a forge is configured.
func (w *worker) offer(branch, title, body string) {
	if o := w.r.o.PullRequests; o != nil && w.r.fenced() == nil {
		o.Open(PullRequest{Key: w.key, Branch: branch, Title: title, Body: body})
	}
}

// offerRevert has one opened for the revert that the branch refused.
func (w *worker) offerRevert() {
	p := w.rec.Pending
	if p == nil || p.Branch == "" {
		return
	}
	w.offer(p.Branch, fmt.Sprintf("Roll back %s from %s to %s", w.key.Name, p.From, p.Target),
		fmt.Sprintf("%s\n\nWhat happens next: the plan is held at %s, and the branch still declares %s. Once this is merged, they agree again.", p.Message, p.Target, p.From))
}
