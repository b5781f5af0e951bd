package observed_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport/observed"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
)

var start = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const shop = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop, namespace: sales}
spec:
  position: {phase: gradual, percent: 10}
  backends:
    legacy: {service: {name: old-shop, port: 80}}
    modern: {service: {name: new-shop, port: 80}}
  gateway: {gatewayAPI: {parentRefs: [{name: edge}]}}
  signals:
    toLegacy: {query: 'requests{service="old-shop"}'}
    toModern: {query: 'requests{service="new-shop"}'}
    ratio: {query: 'requests{service="new-shop"} / requests{service="old-shop"}'}
    other: {query: up}
  observedSplit: {legacy: toLegacy, modern: toModern}
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - {name: gradual, percents: [10, 50], routes: [{to: split}]}
`

// source is an hour of one sample a minute in Prometheus's own engine.
func source(t *testing.T, series map[string]string) *observed.Source {
	t.Helper()
	doc, problems := plan.Decode("shop.yaml", []byte(shop))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	var all []engine.Series
	for selector, values := range series {
		s, err := engine.Parse(selector, values, start, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	e, err := engine.New(all)
	if err != nil {
		t.Fatal(err)
	}
	c, err := prom.New(prom.Options{Querier: e})
	if err != nil {
		t.Fatal(err)
	}
	prg, err := gates.Compile(doc.Plan, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &observed.Source{Querier: e, Client: c, Plan: doc.Plan, Program: prg, Since: start, Now: start.Add(time.Hour)}
}

// TestSidesBySignals: where no bridge counts, the signals of observedSplit do,
// and a signal's side is that of the Service that it selects.
func TestSidesBySignals(t *testing.T) {
	s := source(t, map[string]string{`requests{service="old-shop"}`: "90x60", `requests{service="new-shop"}`: "10x60"})
	signals, err := s.Signals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]plan.Side{}
	for _, r := range signals {
		of[r.Name] = r.Side
	}
	if d := cmp.Diff(map[string]plan.Side{"toLegacy": plan.Legacy, "toModern": plan.Modern, "ratio": "", "other": ""}, of); d != "" {
		t.Error(d)
	}
	sides, why, err := s.Sides(t.Context(), signals)
	if err != nil || why != "" || sides.Legacy.Requests != 90 || sides.Modern.Requests != 10 || sides.Modern.Errors != nil {
		t.Errorf("got %+v, %q, %v", sides, why, err)
	}
	s.Plan.Spec.ObservedSplit = nil
	if sides, why, err := s.Sides(t.Context(), signals); sides != nil || why == "" || err != nil {
		t.Errorf("without a count: got %+v, %q, %v", sides, why, err)
	}
}

// TestCountsAreThoseOfThePlan and of no other of its name, once for several
// daemons, with by how much counters grew.
func TestCountsAreThoseOfThePlan(t *testing.T) {
	got, err := source(t, map[string]string{
		`changeover_entities{plan="sales/shop",is="modern",instance="a:1"}`:                           "5x60",
		`changeover_entities{plan="sales/shop",is="modern",instance="b:1"}`:                           "4x60",
		`changeover_entities{plan="other/shop",is="modern"}`:                                          "70x60",
		`changeover_handover_entities_total{namespace="sales",plan="shop",to="modern",result="done"}`: "1+1x60",
		`changeover_handover_entities_total{namespace="other",plan="shop",to="modern",result="done"}`: "0+9x60",
		`changeover_transform_objects_total{plan="sales/shop",transform="x"}`:                         "100x30 0+1x29",
		`changeover_backup_duration_seconds_bucket{plan="sales/shop",le="1"}`:                         "1x60",
		`changeover_rollbacks_total{plan="sales/shop"}`:                                               "1x60",
	}).Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sixty, begun := 60.0, 29.0
	want := []migrationreport.Count{
		{Name: `changeover_entities{is="modern"}`, Value: 5},
		{Name: `changeover_handover_entities_total{result="done",to="modern"}`, Value: 61, Grew: &sixty},
		{Name: `changeover_transform_objects_total{transform="x"}`, Value: 29, Grew: &begun},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestTheTrackIsWhereTheDaemonWas: a gap is none of it, and what daemons tell
// differently is not known.
func TestTheTrackIsWhereTheDaemonWas(t *testing.T) {
	got, err := source(t, map[string]string{
		`changeover_plan_position{plan="sales/shop",phase="setup"}`:                   "1x9 stale _x50",
		`changeover_plan_position{plan="sales/shop",phase="gradual"}`:                 "_x10 1x19 stale _x9 1x20",
		`changeover_effective_percent{plan="sales/shop"}`:                             "0x9 10x19 stale _x9 50x20",
		`changeover_plan_position{plan="sales/shop",phase="setup",instance="second"}`: "_x49 1x4 stale _x6",
		`changeover_plan_position{plan="other/shop",phase="setup"}`:                   "1x60",
	}).Track(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	at := func(m int) time.Time { return start.Add(time.Duration(m) * time.Minute) }
	want := []migrationreport.Stay{
		{Stop: plan.Position{Phase: "setup"}, From: at(0), To: at(10)},
		{Stop: plan.Position{Phase: "gradual", Percent: 10}, From: at(10), To: at(30)},
		{Stop: plan.Position{Phase: "gradual", Percent: 50}, From: at(40), To: at(49)},
		{Stop: plan.Position{Phase: "gradual", Percent: 50}, From: at(54), To: at(60)},
	}
	same := func(a, b time.Time) bool { return a.Sub(b).Abs() <= 20*time.Second }
	if d := cmp.Diff(want, got, cmp.Comparer(same)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
