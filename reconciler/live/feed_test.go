package live_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/live"
)

var (
	key   = plan.Key{Namespace: "default", Name: "shop"}
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stop  = plan.Position{Phase: "gradual", Percent: 10}
)

func status(at time.Duration, v gates.Verdict, values map[string]float64) reconciler.Status {
	return reconciler.Status{Key: key, CheckedAt: began.Add(at), Gates: gates.Results{
		{Key: gates.Key{Stop: stop, Effect: plan.Advance, Name: "low"}, Verdict: v, Values: values},
	}}
}

func one(v float64) map[string]float64 { return map[string]float64{"errors": v} }

func TestASeriesIsBoundedAndReachesBack(t *testing.T) {
	f := live.New()
	const every = 15 * time.Second
	for i := range 10_000 { // 41 hours
		f.Put(status(time.Duration(i)*every, gates.Pass, one(float64(i))))
		s := f.Trace(key).Values["errors"]
		if len(s) > 128 || len(s) == 0 || s[len(s)-1].Value != float64(i) {
			t.Fatalf("after %d: %d points, the last %v", i, len(s), s[len(s)-1])
		}
		back := time.Duration(s[len(s)-1].At-s[0].At) * time.Millisecond
		if back > 6*time.Hour || i > 300 && back < 20*time.Minute {
			t.Fatalf("after %d: it reaches back for %s", i, back)
		}
		for j := range s[1:] {
			if s[j].At >= s[j+1].At {
				t.Fatalf("after %d: points are out of order", i)
			}
		}
	}
	s := f.Trace(key).Values["errors"]
	if back := time.Duration(s[len(s)-1].At-s[0].At) * time.Millisecond; back < 3*time.Hour {
		t.Errorf("in the end it reaches back for %s only", back)
	}
}

func TestWhatIsNotKnownIsAGapAndIsForgottenInTheEnd(t *testing.T) {
	f := live.New()
	f.Put(status(0, gates.Pass, one(1)))
	f.Put(status(time.Minute, gates.NoData, nil))
	f.Put(status(2*time.Minute, gates.Pass, one(2)))
	s := f.Trace(key).Values["errors"]
	if len(s) != 3 || !math.IsNaN(s[1].Value) || s[2].Value != 2 {
		t.Fatalf("got %v", s)
	}
	for i := range 500 {
		f.Put(status(time.Duration(3+i)*time.Minute, gates.NoData, nil))
	}
	if s, ok := f.Trace(key).Values["errors"]; ok {
		t.Errorf("after eight hours without it there are still %d points", len(s))
	}
}

func TestVerdictsAreKeptAsLongAsTheirGate(t *testing.T) {
	f := live.New()
	for i, v := range []gates.Verdict{gates.Pass, gates.Pass, gates.Fail, gates.Fail, gates.Pass} {
		f.Put(status(time.Duration(i)*time.Minute, v, nil))
	}
	id := live.Gate{Stop: stop, Effect: plan.Advance, Name: "low"}
	got := f.Trace(key).Gates[id]
	want := []live.Run{{At: began.UnixMilli(), Verdict: gates.Pass}, {At: began.Add(2 * time.Minute).UnixMilli(), Verdict: gates.Fail}, {At: began.Add(4 * time.Minute).UnixMilli(), Verdict: gates.Pass}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range 100 {
		f.Put(status(time.Duration(5+i)*time.Minute, []gates.Verdict{gates.Pass, gates.Fail}[i%2], nil))
	}
	if got := f.Trace(key).Gates[id]; len(got) != 32 {
		t.Errorf("%d verdicts are kept", len(got))
	}
	f.Put(reconciler.Status{Key: key, CheckedAt: began.Add(3 * time.Hour)})
	if got := f.Trace(key).Gates; len(got) != 0 {
		t.Errorf("gates that are gone are kept: %v", got)
	}
}

func TestAPlanIsBounded(t *testing.T) {
	f := live.New()
	values := map[string]float64{}
	var all gates.Results
	for i := range 1000 {
		values[fmt.Sprint("signal", i)] = 1
		all = append(all, gates.Result{Key: gates.Key{Stop: stop, Effect: plan.Pause, Name: fmt.Sprint("gate", i)}, Verdict: gates.Fail, Values: values})
	}
	f.Put(reconciler.Status{Key: key, CheckedAt: began, Gates: all})
	if tr := f.Trace(key); len(tr.Values) != 64 || len(tr.Gates) != 128 {
		t.Errorf("%d values and %d gates are kept", len(tr.Values), len(tr.Gates))
	}
}

func news(c *live.Client) bool {
	select {
	case <-c.News():
		return true
	default:
		return false
	}
}

func TestClientsHearOfTheirPlanAndOfWhatTurns(t *testing.T) {
	f := live.New()
	mine, _ := f.Join(key)
	other, _ := f.Join(plan.Key{Namespace: "default", Name: "other"})
	all, _ := f.Join(plan.Key{})
	s := status(0, gates.Pass, one(1))
	s.State = reconciler.StateWaiting
	f.Put(s)
	if !news(mine) || news(other) || !news(all) {
		t.Error("a new plan is news for its own page and for the list")
	}
	f.Put(s)
	f.Put(s)
	if !news(mine) || news(mine) || news(all) {
		t.Error("what is the same is news once for the plan's page, and none for the list")
	}
	s.State = reconciler.StateRollingBack
	f.Put(s)
	if !news(all) {
		t.Error("the list did not hear that the state changed")
	}
	if !news(mine) {
		t.Error("the plan's page did not")
	}
	mine.Leave()
	f.Put(s)
	if news(mine) {
		t.Error("who left hears on")
	}
}

func TestOnlySoManyClientsAndNoneAfterTheEnd(t *testing.T) {
	f := live.New()
	var last *live.Client
	n := 0
	for {
		c, ok := f.Join(key)
		if !ok {
			break
		}
		last = c
		n++
	}
	if n != 64 {
		t.Errorf("%d clients", n)
	}
	last.Leave()
	if _, ok := f.Join(key); !ok {
		t.Error("nobody may come though one left")
	}
	f.Close()
	f.Close()
	if last.Leave(); !closed(f) {
		t.Error("it is not closed")
	}
	if _, ok := f.Join(key); ok {
		t.Error("one came after the end")
	}
}

func closed(f *live.Feed) bool {
	select {
	case <-f.Closed():
		return true
	default:
		return false
	}
}
