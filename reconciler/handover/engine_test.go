package handover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

func TestTheOldestAreGivenAwayFirstAndComeBackLast(t *testing.T) {
	w := newWorld(t, 21)
	if err := w.store.Add(t.Context(), w.plan.Plan.Key(), []ownership.Entity{{ID: "new", Owner: plan.Modern, Origin: ownership.BornModern, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	e, stop := w.engine()
	defer stop()
	for _, c := range []struct {
		stop string
		back bool
		n    int
	}{{"setup", false, 0}, {"gradual@10", false, 3}, {"gradual@25", false, 6}, {"gradual@50", false, 11}, {"gradual@25", true, 6}, {"gradual@100", false, 21}, {"sunset", false, 21}, {"gradual@10", true, 3}, {"setup", true, 0}} {
		w.given = nil
		p := until(t, e, task(w, c.stop, c.back), "done at "+c.stop, done)
		if want := append(slices.Clone(w.ids[:c.n]), "new"); !slices.Equal(w.owned(), want) {
			t.Errorf("at %s modern owns %v, want %v", c.stop, w.owned(), want)
		}
		sorted := slices.Clone(w.given)
		slices.Sort(sorted)
		if c.back {
			slices.Reverse(sorted)
		}
		if !slices.Equal(w.given, sorted) {
			t.Errorf("at %s the order was %v", c.stop, w.given)
		}
		if p.Total != c.n && c.stop != "setup" {
			t.Errorf("at %s the progress is %+v", c.stop, p)
		}
	}
}

func TestEntitiesInFlightAreGivenAwayLater(t *testing.T) {
	w := newWorld(t, 20)
	w.state["e001"] = InFlight
	e, stop := w.engine()
	defer stop()
	p := until(t, e, task(w, "gradual@10", false), "done but for what is in flight", done)
	if !strings.Contains(p.Message, "1 are in flight") || !slices.Equal(w.owned(), []string{"e000"}) {
		t.Errorf("modern owns %v, progress %+v", w.owned(), p)
	}
	w.mu.Lock()
	w.state["e001"] = Ready
	w.mu.Unlock()
	until(t, e, task(w, "gradual@10", false), "the straggler", func(p reconciler.Progress, _ error) bool { return p.Done && p.Finished == 2 })
	w.mu.Lock()
	w.state["e019"], w.state["e007"] = InFlight, Absent
	w.mu.Unlock()
	until(t, e, task(w, "gradual@100", false), "all but one", func(p reconciler.Progress, _ error) bool { return p.Done && p.Finished == 18 })
	// The next phase may take legacy away: nothing may be left to it.
	until(t, e, task(w, "sunset", false), "it is looked at", func(p reconciler.Progress, _ error) bool { return strings.Contains(p.Message, "in flight") })
	if p, _ := e.Ensure(t.Context(), task(w, "sunset", false)); p.Done {
		t.Errorf("sunset may be entered while one is in flight: %+v", p)
	}
	w.mu.Lock()
	delete(w.state, "e019")
	w.mu.Unlock()
	until(t, e, task(w, "sunset", false), "the last", done)
}

func TestWhatFailsIsTriedAgainAndTold(t *testing.T) {
	w := newWorld(t, 20)
	w.fails["e003"], w.silent = 3, true
	e, stop := w.engine()
	defer stop()
	p := until(t, e, task(w, "gradual@25", false), "the silent bridge", func(p reconciler.Progress, _ error) bool { return p.Failed == 5 })
	if p.Done || !strings.Contains(p.Message, "keep writes off: http://10.0.0.7:8081 cannot be reached") || len(w.given) != 0 {
		t.Errorf("progress %+v, given %v", p, w.given)
	}
	w.mu.Lock()
	w.silent = false
	w.mu.Unlock()
	until(t, e, task(w, "gradual@25", false), "the one that fails", func(p reconciler.Progress, _ error) bool {
		return p.Failed == 1 && strings.Contains(p.Message, `"e003": no answer`)
	})
	until(t, e, task(w, "gradual@25", false), "all", done)
	if got := w.owned(); !slices.Equal(got, w.ids[:5]) {
		t.Errorf("modern owns %v", got)
	}
}

func TestNewerOnesOfLegacyComeAtTheEnd(t *testing.T) {
	w := newWorld(t, 10)
	e, stop := w.engine()
	defer stop()
	until(t, e, task(w, "gradual@25", false), "done", done)
	w.mu.Lock()
	w.ids = append([]string{"a-newcomer"}, w.ids...)
	w.mu.Unlock()
	until(t, e, task(w, "gradual@50", false), "done", done)
	if got, want := w.owned(), w.ids[1:7]; !slices.Equal(got, want) { // 50 % of 11
		t.Errorf("modern owns %v, want %v", got, want)
	}
	until(t, e, task(w, "gradual@100", false), "done", done)
	if got := w.owned(); len(got) != 11 {
		t.Errorf("modern owns %v", got)
	}
}

func TestWhatWasDeletedOnModernDoesNotComeBack(t *testing.T) {
	w := newWorld(t, 10)
	w.deleted = map[string]bool{"e001": true}
	e, stop := w.engine()
	defer stop()
	until(t, e, task(w, "gradual@50", false), "done", done)
	ended := ownership.Entity{ID: "e002", Owner: plan.Modern, Origin: ownership.Ended, At: time.Now()}
	if err := w.store.Put(t.Context(), w.plan.Plan.Key(), []ownership.Entity{ended}); err != nil {
		t.Fatal(err)
	}
	w.given = nil
	until(t, e, task(w, "setup", true), "done", done)
	if got, want := w.owned(), []string{"e001", "e002"}; !slices.Equal(got, want) {
		t.Errorf("modern owns %v, want %v: what is deleted has nobody to go to", got, want)
	}
	if want := []string{"e004>legacy", "e003>legacy", "e000>legacy"}; !slices.Equal(w.given, want) {
		t.Errorf("given were %v, want %v", w.given, want)
	}
}

func TestALostOrderIsMadeOfWhatWasGivenAway(t *testing.T) {
	w := newWorld(t, 20)
	e, stop := w.engine()
	until(t, e, task(w, "gradual@25", false), "done", done)
	stop()
	if err := os.RemoveAll(filepath.Join(w.dir, "orders")); err != nil {
		t.Fatal(err)
	}
	w.ids = w.ids[5:] // legacy no longer lists what it has given away
	e, stop = w.engine()
	defer stop()
	until(t, e, task(w, "gradual@50", false), "done", done)
	if got := w.owned(); len(got) != 10 || got[0] != "e000" || got[9] != "e009" {
		t.Errorf("modern owns %v", got)
	}
	until(t, e, task(w, "gradual@10", true), "done", done)
	if got := w.owned(); !slices.Equal(got, []string{"e000", "e001"}) {
		t.Errorf("back at 10 %% modern owns %v", got)
	}
}

func TestAPausedPlanIsLeftAlone(t *testing.T) {
	w := newWorld(t, 50)
	w.slow = 20 * time.Millisecond
	e, stop := w.engine()
	defer stop()
	until(t, e, task(w, "gradual@100", false), "a beginning", func(p reconciler.Progress, _ error) bool { return p.Finished > 0 })
	e.Pause(w.plan.Plan.Key())
	e.wait.Wait()
	n := len(w.owned())
	if n == 50 {
		t.Error("it went on to the end")
	}
	until(t, e, task(w, "gradual@100", false), "the rest", done)
	if got := len(w.owned()); got != 50 {
		t.Errorf("modern owns %d after the pause at %d", got, n)
	}
}

// TestItGoesOnAfterACrashAtAnyPoint kills the process at each of its effects, one
// after the other, on the way there and on the way back.
func TestItGoesOnAfterACrashAtAnyPoint(t *testing.T) {
	for at, whole := 1, false; !whole; at++ {
		w := newWorld(t, 6)
		for _, c := range []struct {
			stop string
			back bool
			n    int
		}{{"gradual@50", false, 3}, {"gradual@10", true, 1}} {
			w.calls, w.crash = 0, at
			e, stop := w.engine()
			whole = false
			until(t, e, task(w, c.stop, c.back), "the end or the death", func(p reconciler.Progress, err error) bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				whole = done(p, err)
				return whole || w.calls >= at
			})
			stop()
			w.crash = 0
			e, stop = w.engine()
			until(t, e, task(w, c.stop, c.back), "the end", done)
			stop()
			if got := w.owned(); !slices.Equal(got, w.ids[:c.n]) {
				t.Errorf("killed at effect %d on the way to %s: modern owns %v", at, c.stop, got)
			}
		}
		if at > 200 {
			t.Fatal("it has no end")
		}
	}
}

// TestAPlanThatHandsNothingOverAnyMoreIsLeftAlone: its entities stay where they are.
func TestAPlanThatHandsNothingOverAnyMoreIsLeftAlone(t *testing.T) {
	w := newWorld(t, 50)
	w.slow = 20 * time.Millisecond
	e, stop := w.engine()
	defer stop()
	until(t, e, task(w, "gradual@100", false), "a beginning", func(p reconciler.Progress, _ error) bool { return p.Finished > 0 })
	without := *w.plan.Plan
	without.Spec.Entities = nil
	if p, err := e.Ensure(t.Context(), reconciler.Task{Version: plan.Version{Plan: &without}}); err != nil || !p.Done {
		t.Errorf("the answer is %+v, %v", p, err)
	}
	e.mu.Lock()
	n := len(e.runs)
	e.mu.Unlock()
	if n != 0 {
		t.Fatal("its run goes on")
	}
	e.wait.Wait()
	if n := len(w.owned()); n == 50 {
		t.Error("it went on to the end")
	}
}

func TestTheShareOfAStop(t *testing.T) {
	w := newWorld(t, 0)
	for stop, want := range map[string]share{
		"setup": {}, "gradual@25": {phase: "gradual", percent: 25}, "sunset": {phase: "gradual", percent: 100, all: true}, "gone": {},
	} {
		if got := shareAt(w.plan.Plan, task(w, stop, false).Stop); got != want {
			t.Errorf("the share at %s is %+v, want %+v", stop, got, want)
		}
	}
	for _, c := range []struct {
		percent plan.Percent
		n, want int
	}{{10, 0, 0}, {10, 1, 1}, {10, 10, 1}, {10, 11, 2}, {25, 1000, 250}, {0.01, 1, 1}, {100, 7, 7}, {0, 7, 0}, {33.33, 3, 1}, {33.34, 3, 2}, {29, 100, 29}} {
		if got := (share{percent: c.percent}).count(c.n); got != c.want {
			t.Errorf("%v %% of %d is %d, want %d", c.percent, c.n, got, c.want)
		}
	}
}
