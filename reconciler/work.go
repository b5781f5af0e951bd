package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Work is what a move does besides cluster and traffic, and may take long: a
// backup, transforms, the hand-over of entities.
//
// It is asked again and again, after a restart too, and answers within about a
// second: the work itself goes on in the adapter's own goroutines, bounded. What
// it must remember is durable, in stores of its own, and kill -9 at any point is
// gone on from. Where a plan asks for nothing, it is done at once. It is called
// from several goroutines, for one plan by one at a time.
type Work interface {
	// Ensure begins or goes on with what a task asks for. That it is not done
	// yet is a state of the plan, no error. Another task than the one before
	// takes its place, once the item in hand is finished.
	Ensure(ctx context.Context, t Task) (Progress, error)
	// Undo begins or goes on with taking back what a backward move left
	// behind. It is called once the traffic has moved.
	Undo(ctx context.Context, t Task) (Progress, error)
	// Pause ends what is under way for a plan, once the item in hand is
	// finished, until Ensure or Undo is called again: the plan is suspended,
	// waits for a person, or is another daemon's. It does not wait.
	Pause(key plan.Key)
}

// Task is what Work is asked for.
type Task struct {
	// Version whose content is meant.
	Version plan.Version
	// From is the stop that is left; none at rest, and before the first.
	From plan.Position
	// Stop is the one that is entered, or at rest the one that is applied.
	Stop plan.Position
	// Back: it belongs to a backward move, or follows one.
	Back bool
	// Since is when the move began that asks for it, or at rest when Stop was
	// entered: with it, and the revision, one move is told from the next.
	Since time.Time
}

// Progress is how far Work is.
type Progress struct {
	Name string `json:"name"` // backup, transforms, entities
	// Back: it takes back what a backward move left behind.
	Back bool `json:"back,omitempty"`
	// Done: nothing is left to do for the task.
	Done bool `json:"done,omitempty"`
	// Message says what it does or waits for, for people; no clock.
	Message  string `json:"message,omitempty"`
	Total    int    `json:"total,omitempty"`
	Finished int    `json:"finished,omitempty"`
	Failed   int    `json:"failed,omitempty"`
	// Rate is in items a second; zero: not known.
	Rate float64 `json:"rate,omitempty"`
}

// workDeadline bounds one question to a Work.
const workDeadline = 10 * time.Second

// The kinds of work, in the order in which a forward move does them.
const (
	workBackup     = "backup"
	workTransforms = "transforms"
	workEntities   = "entities"
)

func (r *Reconciler) work(name string) Work {
	switch name {
	case workBackup:
		return r.o.Backup
	case workTransforms:
		return r.o.Transforms
	}
	return r.o.Entities
}

// working is what is remembered of a plan's work between evaluations.
type working struct {
	// asked in this evaluation, and in the one before: what is asked no
	// longer is paused.
	asked, before map[string]bool
	progress      map[string]Progress
}

// ask puts a task to one kind of work.
func (w *worker) ask(ctx context.Context, name string, t Task, undo bool) (done bool, err error) {
	x := w.r.work(name)
	if x == nil {
		return true, nil
	}
	if w.work.asked == nil {
		w.work.asked = map[string]bool{}
	}
	w.work.asked[name] = true
	ctx, cancel := context.WithTimeout(ctx, workDeadline)
	defer cancel()
	do, doing := x.Ensure, name
	if undo {
		do, doing = x.Undo, "take back "+name
	}
	p, err := do(ctx, t)
	p.Name, p.Back, p.Done = name, undo, p.Done && err == nil
	if w.work.progress == nil {
		w.work.progress = map[string]Progress{}
	}
	w.work.progress[name] = p
	if err != nil {
		return false, fmt.Errorf("%s for %s: %w", doing, t.Stop, err)
	}
	return p.Done, nil
}

// awaits asks for work that a forward move needs, and returns errMoving while
// it is not done.
func (w *worker) awaits(ctx context.Context, v plan.Version, names ...string) error {
	m := w.rec.Move
	t := Task{Version: v, From: m.From, Stop: m.To, Since: m.Started}
	for _, name := range names {
		done, err := w.ask(ctx, name, t, false)
		if err != nil {
			return err
		}
		if !done {
			w.waits(cmp.Or(w.work.progress[name].Message, "the "+name+" are not done"))
			return errMoving
		}
	}
	return nil
}

// backedUp waits for the backup before a phase that is entered forward.
func (w *worker) backedUp(ctx context.Context, v plan.Version) error {
	if m := w.rec.Move; m.From.Phase == m.To.Phase {
		return nil
	}
	return w.awaits(ctx, v, workBackup)
}

// rest goes on, while no move is under way, with what the last backward move
// left behind, and with entities that could not be handed over before.
func (w *worker) rest(ctx context.Context, in *decide.Input) error {
	a := w.rec.Applied
	if a == nil || in.Git.Gone {
		return nil
	}
	undone := w.takeBack(ctx)
	if w.r.o.Entities == nil {
		return undone
	}
	v, err := w.version(ctx, a.Revision)
	if err == nil {
		_, err = w.ask(ctx, workEntities, Task{Version: v, Stop: a.Stop, Back: a.Backward, Since: a.Since}, false)
	}
	return errors.Join(undone, err)
}

// takeBack undoes what a backward move left behind, until it is done.
func (w *worker) takeBack(ctx context.Context) error {
	b := w.rec.Behind
	if b == nil {
		return nil
	}
	v, err := w.version(ctx, b.Revision)
	if err != nil {
		return fmt.Errorf("take back what %s left behind: %w", b.From, err)
	}
	t := Task{Version: v, From: b.From, Stop: w.rec.Applied.Stop, Back: true, Since: b.Since}
	all, errs := true, []error(nil)
	for _, name := range []string{workTransforms, workBackup} {
		done, err := w.ask(ctx, name, t, true)
		if errs = append(errs, err); !done {
			all = false
		}
	}
	if all {
		w.save(ctx, w.rec.TookBack())
	}
	return errors.Join(errs...)
}

// leavesBehind notes, at the end of a backward move, the phase whose work is to
// be taken back.
func (w *worker) leavesBehind(rec decide.Record, left plan.Revision, m decide.Move, now time.Time) decide.Record {
	if !back(m) || m.From.Phase == m.To.Phase || w.r.o.Backup == nil && w.r.o.Transforms == nil {
		return rec
	}
	if rev := cmp.Or(m.Leaves, left); rev != "" {
		return rec.LeftBehind(decide.Behind{From: m.From, Revision: rev, Since: now})
	}
	return rec
}

// pauses ends, after an evaluation, the work under way that it did not ask for.
func (w *worker) pauses() {
	for name := range w.work.before {
		if w.work.asked[name] {
			continue
		}
		// Entities go on when they are done: those that are born, or no longer in
		// flight, are worked. A move forward asks for them when it is their turn.
		forward := w.rec.Move != nil && !back(*w.rec.Move)
		if !w.work.progress[name].Done || name == workEntities && !forward {
			w.r.work(name).Pause(w.key)
		}
		delete(w.work.progress, name)
	}
	w.work.before, w.work.asked = w.work.asked, nil
}

// workNow is how far each work is that was asked for, in their order.
func (w *worker) workNow() []Progress {
	var out []Progress
	for _, name := range []string{workBackup, workTransforms, workEntities} {
		if p, ok := w.work.progress[name]; ok && w.work.asked[name] && (!p.Done || p.Total > 0) {
			out = append(out, p)
		}
	}
	return out
}
