package conformance

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Gateway is a reconciler.Traffic that serves nothing yet, with the plan for it.
// The plan has the stops setup, gradual@10 and gradual@25, and no stop nowhere.
type Gateway struct {
	Traffic reconciler.Traffic
	Plan    *plan.Plan
}

// Traffic runs the suite of reconciler.Traffic. Each call of open gives one
// whose data plane runs.
func Traffic(t *testing.T, open func(t *testing.T) Gateway) {
	for name, check := range map[string]func(*testing.T, Gateway){
		"one that serves nothing says so":                servesNothing,
		"what is applied is served and carries its mark": appliedIsServed,
		"another stop is not served":                     otherStopIsNotServed,
		"a mark alone leaves the config as it is":        markAlone,
		"the same again changes nothing":                 sameAgain,
		"a stop that is not there changes nothing":       unknownStop,
		"going back gives the config from before":        backGivesTheSame,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

var entered = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func (g Gateway) mark(stop plan.Position) reconciler.Mark {
	return reconciler.Mark{
		Key: g.Plan.Key(), Stop: stop, Since: entered, Revision: "0123456789abcdef0123456789abcdef01234567",
		Holds: []plan.Revision{"89abcdef0123456789abcdef0123456789abcdef"},
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (g Gateway) apply(t *testing.T, m reconciler.Mark) {
	t.Helper()
	if err := g.Traffic.Apply(within(t), g.Plan, m); err != nil {
		t.Fatalf("Apply %s: %v", m.Stop, err)
	}
}

func (g Gateway) observe(t *testing.T, stop plan.Position) reconciler.TrafficState {
	t.Helper()
	st, err := g.Traffic.Observe(within(t), g.Plan, stop)
	if err != nil {
		t.Fatalf("Observe %s: %v", stop, err)
	}
	return st
}

func sameMark(a *reconciler.Mark, b reconciler.Mark) bool {
	return a != nil && a.Key == b.Key && a.Stop == b.Stop && a.Since.Equal(b.Since) && a.Revision == b.Revision && slices.Equal(a.Holds, b.Holds)
}

func servesNothing(t *testing.T, g Gateway) {
	st := g.observe(t, at10)
	if st.Mark != nil || st.Serving || st.Message == "" {
		t.Errorf("Observe of nothing: %+v", st)
	}
}

func appliedIsServed(t *testing.T, g Gateway) {
	m := g.mark(at10)
	g.apply(t, m)
	st := g.observe(t, at10)
	if !st.Serving || st.Hash == "" || !sameMark(st.Mark, m) {
		t.Errorf("Observe after Apply: %+v with mark %+v, want it served with %+v", st, st.Mark, m)
	}
}

func otherStopIsNotServed(t *testing.T, g Gateway) {
	g.apply(t, g.mark(at10))
	st := g.observe(t, at25)
	if st.Serving || st.Message == "" || st.Mark == nil || st.Mark.Stop != at10 {
		t.Errorf("Observe of %s at %s: %+v", at25, at10, st)
	}
}

func markAlone(t *testing.T, g Gateway) {
	g.apply(t, g.mark(at10))
	before := g.observe(t, at10)
	m := g.mark(at10)
	m.Since, m.Revision, m.Holds = entered.Add(time.Hour), "ffffffffffffffffffffffffffffffffffffffff", nil
	g.apply(t, m)
	after := g.observe(t, at10)
	if !after.Serving || after.Hash != before.Hash || !sameMark(after.Mark, m) {
		t.Errorf("after a mark alone: %+v with mark %+v; before: %+v", after, after.Mark, before)
	}
}

func sameAgain(t *testing.T, g Gateway) {
	m := g.mark(at10)
	g.apply(t, m)
	before := g.observe(t, at10)
	g.apply(t, m)
	if after := g.observe(t, at10); !after.Serving || after.Hash != before.Hash || !sameMark(after.Mark, m) {
		t.Errorf("after the same again: %+v; before: %+v", after, before)
	}
}

func unknownStop(t *testing.T, g Gateway) {
	m := g.mark(at10)
	g.apply(t, m)
	if err := g.Traffic.Apply(within(t), g.Plan, g.mark(plan.Position{Phase: "nowhere"})); err == nil {
		t.Error("a stop that is not on the itinerary was applied")
	}
	if st := g.observe(t, at10); !st.Serving || !sameMark(st.Mark, m) {
		t.Errorf("after a refused Apply: %+v with mark %+v", st, st.Mark)
	}
}

func backGivesTheSame(t *testing.T, g Gateway) {
	g.apply(t, g.mark(at10))
	before := g.observe(t, at10)
	g.apply(t, g.mark(at25))
	between := g.observe(t, at25)
	g.apply(t, g.mark(at10))
	after := g.observe(t, at10)
	if !between.Serving || between.Hash == before.Hash || !after.Serving || after.Hash != before.Hash {
		t.Errorf("there and back: %+v, %+v, %+v", before, between, after)
	}
}
