package reconciler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Flags is where applications read the flags of plans. It is called from several
// goroutines, for one plan by one at a time.
type Flags interface {
	// Apply brings the flags of the plan to a stop at a time, and returns when
	// they are written. It changes nothing where they are, and is called again and
	// again. A plan without flags has what it had before taken away.
	Apply(ctx context.Context, p *plan.Plan, stop plan.Position, now time.Time) error
}

// FlagStatus is what one flag is at the stop that is applied.
type FlagStatus struct {
	Name string `json:"name"`
	// Percent of the callers on modern whom no rule decides; 0 where it is off.
	Percent plan.Percent `json:"percent"`
	// Off is why everybody is on legacy; empty: some may be on modern.
	Off plan.FlagOff `json:"off,omitempty"`
	// By is the flag that turns it off.
	By string `json:"by,omitempty"`
}

// String says who has the flag, without its name.
func (f FlagStatus) String() string {
	if f.Off == "" {
		return fmt.Sprintf("%s %% of the callers on modern, but for whom its rules decide", f.Percent)
	}
	return "everybody on legacy: " + f.Off.Says(f.By)
}

// moveTrafficWithin brings the gateway and the flags of a plan to a stop. Forward
// the flags follow what was observed; back, and at rest, neither waits for the other.
func (w *worker) moveTrafficWithin(ctx context.Context, d time.Duration, v plan.Version, stop plan.Position, since time.Time) error {
	if m := w.rec.Move; m != nil && !back(*m) {
		if err := w.moveGateway(ctx, d, v, stop, since); err != nil {
			return err
		}
		return w.moveFlags(ctx, d, v, stop)
	}
	var gateway, flags error
	var both sync.WaitGroup
	both.Go(func() {
		flags = guarded(w.log, "move the flags", func() error { return w.moveFlags(ctx, d, v, stop) })
	})
	gateway = guarded(w.log, "move the gateway", func() error { return w.moveGateway(ctx, d, v, stop, since) })
	both.Wait()
	return errors.Join(gateway, flags)
}

// moveFlags brings the flags of a plan to a stop.
func (w *worker) moveFlags(ctx context.Context, d time.Duration, v plan.Version, stop plan.Position) error {
	if w.r.o.Flags == nil {
		if len(v.Plan.Spec.Flags) == 0 {
			return nil
		}
		return errors.New("the daemon was started without a place for the flags of the plan: see `changeover run --help`")
	}
	ctx, cancel := effect(ctx, d)
	defer cancel()
	return w.r.o.Flags.Apply(ctx, v.Plan, stop, w.r.o.Now())
}

// keepFlags keeps the flags at what is applied: some expire, some are killed by a
// commit that changes nothing else, and somebody may have written over them.
func (w *worker) keepFlags(ctx context.Context, in *decide.Input) error {
	a := w.rec.Applied
	if a == nil || w.r.o.Flags == nil || in.Git.Gone {
		return nil
	}
	v, err := w.applied(ctx, in)
	if err != nil {
		return err
	}
	if err := w.moveFlags(ctx, driftDeadline, v, a.Stop); err != nil {
		return fmt.Errorf("keep the flags of %s: %w", a.Stop, err)
	}
	return nil
}

// applied is the version that is applied, now that the decision was begun.
func (w *worker) applied(ctx context.Context, in *decide.Input) (plan.Version, error) {
	rev := w.rec.Applied.Revision
	for _, v := range []plan.Version{in.Applied, in.Head} {
		if !v.IsZero() && v.Revision == rev {
			return v, nil
		}
	}
	return w.version(ctx, rev)
}

// flagsExpire is how long it is until a flag of the applied version expires; zero:
// none does.
func (w *worker) flagsExpire(in decide.Input, now time.Time) time.Duration {
	if in.Applied.IsZero() || w.rec.Applied == nil {
		return 0
	}
	at := in.Applied.Plan.FlagExpires(now)
	if at.IsZero() {
		return 0
	}
	return at.Sub(now)
}

// flagsNow are the flags of the stop that is applied.
func (w *worker) flagsNow(in decide.Input) (out []FlagStatus) {
	if w.rec.Applied == nil || in.Applied.IsZero() {
		return nil
	}
	for _, f := range in.Applied.Plan.FlagsAt(w.rec.Applied.Stop, w.r.o.Now()) {
		out = append(out, FlagStatus{Name: f.Flag.Name, Percent: f.Percent, Off: f.Off, By: f.By})
	}
	return out
}
