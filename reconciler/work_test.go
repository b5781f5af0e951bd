package reconciler_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// toldWork is work that is done when the test says so.
type toldWork struct {
	name  string
	j     *journal
	held  string // what it waits for; empty: it is done at once
	fails error
	tasks []reconciler.Task
}

func (w *toldWork) do(verb string, t reconciler.Task) (reconciler.Progress, error) {
	w.j.add("%s %s %s", verb, w.name, t.Stop)
	w.tasks = append(w.tasks, t)
	return reconciler.Progress{Done: w.held == "" && w.fails == nil, Message: w.held, Total: 10, Finished: 3}, w.fails
}

func (w *toldWork) Ensure(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	return w.do("ensure", t)
}

func (w *toldWork) Undo(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	return w.do("undo", t)
}

func (w *toldWork) Pause(plan.Key) { w.j.add("pause %s", w.name) }

type workRig struct {
	*clusterRig
	backup, transforms, entities *toldWork
}

func newWorkRig(t *testing.T) *workRig {
	g := newClusterRig(t, clusterPlan)
	w := &workRig{clusterRig: g, backup: &toldWork{name: "backup", j: g.j}, transforms: &toldWork{name: "transforms", j: g.j}, entities: &toldWork{name: "entities", j: g.j}}
	wire := g.wrap
	g.wrap = func(o *reconciler.Options) {
		wire(o)
		o.Backup, o.Transforms, o.Entities = w.backup, w.transforms, w.entities
	}
	g.ready()
	g.settled("setup")
	g.j.take()
	return w
}

// did compares what was done since the last time, without what goes on at rest.
func (w *workRig) did(want ...string) {
	w.t.Helper()
	got := slices.DeleteFunc(w.j.take(), func(s string) bool { return s == "push" })
	got = slices.Compact(got)
	if !slices.Equal(got, want) {
		w.t.Errorf("done was %q, want %q", got, want)
	}
}

func TestAMoveDoesItsWorkInOrder(t *testing.T) {
	t.Parallel()
	w := newWorkRig(t)
	w.backup.held, w.transforms.held, w.entities.held = "3 of 10 objects are written", "3 of 10 are transformed", "3 of 10 are handed over"
	w.declare("gradual@10")
	st := w.until("the backup", func(s reconciler.Status) bool { return s.Waiting == w.backup.held })
	if st.State != reconciler.StateProgressing || st.Effective.String() != "setup" || len(st.Work) != 1 || st.Work[0].Finished != 3 || st.Work[0].Name != "backup" {
		t.Errorf("the plan is %s at %s, work %+v", st.State, st.Effective, st.Work)
	}
	w.did("ensure backup gradual@10")
	w.backup.held = ""
	w.until("the transforms", func(s reconciler.Status) bool { return s.Waiting == w.transforms.held })
	w.did("ensure backup gradual@10", "expand gradual@10", "ensure transforms gradual@10")
	w.transforms.held = ""
	w.until("the entities", func(s reconciler.Status) bool { return s.Waiting == w.entities.held })
	w.did("ensure transforms gradual@10", "ensure entities gradual@10")
	w.entities.held = ""
	w.settled("gradual@10")
	w.did("ensure transforms gradual@10", "ensure entities gradual@10", "traffic gradual@10", "contract gradual@10", "ensure entities gradual@10")
	if task := w.backup.tasks[1]; task.From.String() != "setup" || task.Stop.String() != "gradual@10" || task.Back || task.Since.IsZero() || task.Version.IsZero() {
		t.Errorf("the backup was asked %+v", task)
	}
	w.declare("gradual@50")
	w.settled("gradual@50")
	w.did("expand gradual@50", "ensure transforms gradual@50", "ensure entities gradual@50", "traffic gradual@50", "ensure entities gradual@50")
}

func TestWorkThatFailsIsTriedAgainAndTold(t *testing.T) {
	t.Parallel()
	w := newWorkRig(t)
	w.transforms.fails = errors.New("no answer")
	w.declare("gradual@10")
	st := w.until("the third attempt", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts == 3 })
	if !strings.Contains(st.Error, "transforms for gradual@10: no answer") || w.served() != "setup" {
		t.Errorf("the error is %q; %s is served", st.Error, w.served())
	}
	w.transforms.fails = nil
	w.settled("gradual@10")
}

func TestABackwardMoveWaitsForNoWorkAndTakesItBack(t *testing.T) {
	t.Parallel()
	for name, goBack := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkRig(t)
			w.declare("gradual@10")
			w.settled("gradual@10")
			w.declare("sunset")
			w.entities.held = "3 of 10 are handed over"
			w.until("the entities", func(s reconciler.Status) bool {
				return s.Waiting == w.entities.held && s.Move.To.String() == "gradual@50"
			})
			w.backup.held = "3 of 10 objects are restored"
			w.j.take()
			goBack(w.clusterRig, "setup")
			w.step(1)
			if w.served() != "setup" {
				t.Errorf("%s is served after one evaluation", w.served())
			}
			w.until("the restore", func(s reconciler.Status) bool { return len(s.Work) > 0 && s.Work[0].Message == w.backup.held })
			task := w.backup.tasks[len(w.backup.tasks)-1]
			if task.From.Phase != "gradual" || task.Stop.String() != "setup" || !task.Back {
				t.Errorf("what is taken back is %+v", task)
			}
			if got := w.j.take(); slices.Index(got, "traffic setup") > slices.Index(got, "undo backup setup") || !slices.Contains(got, "undo transforms setup") || !slices.Contains(got, "ensure entities setup") {
				t.Errorf("done was %q", got)
			}
			w.ready() // a restart goes on with it
			w.until("the restore again", func(s reconciler.Status) bool { return len(s.Work) > 0 && s.Work[0].Message == w.backup.held })
			w.sampler.Set("errors", 0)
			w.declare("gradual@10")
			if name == "lowered" {
				w.until("the block", func(s reconciler.Status) bool { return s.Decision.Reason == decide.TakingBack })
			}
			w.backup.held, w.entities.held = "", ""
			w.until("nothing to take back", func(s reconciler.Status) bool {
				return !slices.ContainsFunc(s.Work, func(p reconciler.Progress) bool { return p.Name == "backup" && p.Message != "" })
			})
		})
	}
}

func TestWorkOfAPlanThatIsSuspendedIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorkRig(t)
	w.entities.held = "3 of 10 are handed over"
	w.declare("gradual@10")
	w.until("the entities", func(s reconciler.Status) bool { return s.Waiting == w.entities.held })
	w.j.take()
	w.edit("suspend", "spec:\n", "spec:\n  suspend: true\n")
	w.until("suspended", func(s reconciler.Status) bool { return s.State == reconciler.StateSuspended })
	w.step(2)
	w.did("pause entities")
}
