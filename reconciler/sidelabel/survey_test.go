package sidelabel

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

var entered = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func mark(side plan.EntitySide, origin ownership.Origin, percent plan.Percent) Mark {
	return Mark{Side: side, Origin: origin, Percent: percent}
}

// in and out are names whose buckets are on modern at 25 %, and not at 99 %.
func named(t *testing.T, want func(bucket int) bool) Name {
	t.Helper()
	for i := range 100_000 {
		n := Name{"ns", fmt.Sprint("o", i)}
		if want(plan.Bucket("plan", n.String())) {
			return n
		}
	}
	t.Fatal("there is no such name")
	return Name{}
}

func TestWhatAStopWantsOfAnObject(t *testing.T) {
	in, out := named(t, func(b int) bool { return b < 1000 }), named(t, func(b int) bool { return b >= 9900 })
	before, after := entered.Add(-time.Hour), entered.Truncate(time.Second)
	const legacy, modern, both = plan.SideLegacy, plan.SideModern, plan.SideValidation
	at := func(p plan.Percent) Stop { return Stop{Percent: p, Since: entered, Salt: "plan"} }
	back := func(p plan.Percent) Stop { s := at(p); s.Back = true; return s }
	compare := Stop{Validation: true, Since: entered, Salt: "plan"}
	for name, c := range map[string]struct {
		stop Stop
		o    Object
		want Mark
	}{
		"was there before it was labelled": {at(25), Object{Name: in, Created: before}, mark(legacy, ownership.BornLegacy, 0)},
		"born in the bucket":               {at(25), Object{Name: in, Created: after}, mark(modern, ownership.BornModern, 0)},
		"born outside of it":               {at(25), Object{Name: out, Created: after}, mark(legacy, ownership.BornLegacy, 0)},
		"born at 0 %":                      {at(0), Object{Name: in, Created: after, Judgement: entity.Judgement{Rule: modern}}, mark(legacy, ownership.BornLegacy, 0)},
		"born where both work":             {compare, Object{Name: in, Created: after}, mark(both, ownership.BornLegacy, 0)},
		"born by rule":                     {at(10), Object{Name: out, Created: after, Judgement: entity.Judgement{Rule: modern}}, mark(modern, ownership.BornModern, 0)},
		"born and not to be judged":        {at(100), Object{Name: in, Created: after, Judgement: entity.Judgement{Err: errors.New("no")}}, mark(legacy, ownership.BornLegacy, 0)},
		"labelled by who created it":       {at(0), Object{Name: in, Mark: mark(modern, "", 0)}, mark(modern, ownership.BornModern, 0)},
		"handed over":                      {at(25), Object{Name: in, Mark: mark(legacy, ownership.BornLegacy, 0)}, mark(modern, ownership.Migrated, 25)},
		"out of validation":                {at(25), Object{Name: out, Mark: mark(both, ownership.BornLegacy, 0)}, mark(legacy, ownership.BornLegacy, 0)},
		"handed over by rule":              {at(10), Object{Name: out, Mark: mark(legacy, ownership.BornLegacy, 0), Judgement: entity.Judgement{Rule: modern}}, mark(modern, ownership.Migrated, 10)},
		"kept by rule":                     {at(100), Object{Name: in, Mark: mark(legacy, ownership.BornLegacy, 0), Judgement: entity.Judgement{Rule: legacy}}, mark(legacy, ownership.BornLegacy, 0)},
		"taken back by a new rule":         {at(50), Object{Name: in, Mark: mark(modern, ownership.Migrated, 10), Judgement: entity.Judgement{Rule: legacy}}, mark(legacy, ownership.BornLegacy, 0)},
		"stays on modern":                  {at(10), Object{Name: out, Mark: mark(modern, ownership.Migrated, 50)}, mark(modern, ownership.Migrated, 50)},
		"goes back":                        {back(25), Object{Name: in, Mark: mark(modern, ownership.Migrated, 50)}, mark(legacy, ownership.BornLegacy, 0)},
		"was handed over before":           {back(25), Object{Name: out, Mark: mark(modern, ownership.Migrated, 25)}, mark(modern, ownership.Migrated, 25)},
		"goes back to the first stop":      {back(0), Object{Name: in, Mark: mark(modern, ownership.Migrated, 10)}, mark(legacy, ownership.BornLegacy, 0)},
		"was born on modern":               {back(0), Object{Name: in, Mark: mark(modern, ownership.BornModern, 0)}, mark(modern, ownership.BornModern, 0)},
		"was born there, whatever a rule":  {at(50), Object{Name: in, Mark: mark(modern, ownership.BornModern, 0), Judgement: entity.Judgement{Rule: legacy}}, mark(modern, ownership.BornModern, 0)},
		"is not handed over backward":      {back(25), Object{Name: in, Mark: mark(legacy, ownership.BornLegacy, 0)}, mark(legacy, ownership.BornLegacy, 0)},
		"lost its label":                   {back(0), Object{Name: in, Mark: mark("", ownership.BornModern, 0)}, mark(modern, ownership.BornModern, 0)},
		"was labelled by hand":             {at(0), Object{Name: in, Mark: mark(modern, ownership.BornLegacy, 0)}, mark(legacy, ownership.BornLegacy, 0)},
		"cannot be judged":                 {back(0), Object{Name: in, Mark: mark(modern, ownership.Migrated, 10), Judgement: entity.Judgement{Err: errors.New("no")}}, mark(modern, ownership.Migrated, 10)},
	} {
		if got, _ := c.stop.want(&c.o, nil); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestWhatIsInFlightWaits(t *testing.T) {
	s := Stop{Percent: 100, Since: entered, Salt: "plan"}.Survey([]Object{
		{Name: Name{"ns", "busy"}, Mark: mark(plan.SideLegacy, ownership.BornLegacy, 0), Judgement: entity.Judgement{InFlight: true}},
		{Name: Name{"ns", "free"}, Mark: mark(plan.SideLegacy, ownership.BornLegacy, 0)},
		{Name: Name{"ns", "new"}, Created: entered, Judgement: entity.Judgement{InFlight: true}},
		{Name: Name{"ns", "odd"}, Mark: mark(plan.SideLegacy, ownership.BornLegacy, 0), Judgement: entity.Judgement{Err: errors.New("no")}},
	})
	if len(s.Changes) != 2 || s.Changes[0].Object.Name.Name != "new" || s.Changes[0].Flip || s.Changes[1].Object.Name.Name != "free" || !s.Changes[1].Flip {
		t.Errorf("changes %+v", s.Changes)
	}
	if len(s.Queued) != 1 || len(s.Failed) != 1 || s.Legacy != 3 || s.Nobody != 1 || s.InFlight != 1 || s.Settled != 1 || s.Total != 4 {
		t.Errorf("%+v", s)
	}
}

// Ordered plans hand over ceil(p x N), the lowest first.
func TestTheOldestGoFirst(t *testing.T) {
	var objects []Object
	for i := range 10 {
		objects = append(objects, Object{Name: Name{"ns", fmt.Sprint(9 - i)}, Created: entered.Add(-time.Hour), Mark: mark(plan.SideLegacy, ownership.BornLegacy, 0)})
	}
	objects = append(objects, Object{Name: Name{"ns", "born"}, Created: entered.Add(time.Minute), Mark: mark(plan.SideLegacy, ownership.BornLegacy, 0)})
	for p, want := range map[plan.Percent]int{0.01: 1, 10: 1, 25: 3, 99.99: 10, 100: 11} {
		s := Stop{Percent: p, Since: entered, Ordered: true}.Survey(objects)
		if len(s.Changes) != want || s.Changes[0].Object.Name.Name != "0" {
			t.Errorf("%v %%: %d change, want %d", p, len(s.Changes), want)
		}
	}
}

// Whatever the way through the stops: an object that was born on modern stays, one
// that goes back was handed over after the stop, and a second look finds nothing.
func TestEveryWayKeepsWhatWasBornOnModern(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		objects := map[Name]Object{}
		ordered := rapid.Bool().Draw(r, "ordered")
		now := entered
		for range rapid.IntRange(1, 8).Draw(r, "stops") {
			now = now.Add(time.Hour)
			s := Stop{Percent: plan.Percent(rapid.IntRange(0, 100).Draw(r, "percent")), Back: rapid.Bool().Draw(r, "back"), Validation: rapid.Bool().Draw(r, "validation"), Since: now, Salt: "plan", Ordered: ordered}
			for range rapid.IntRange(0, 5).Draw(r, "births") {
				n := Name{"ns", rapid.StringMatching(`[a-z]{4}`).Draw(r, "name")}
				if _, ok := objects[n]; !ok {
					objects[n] = Object{Name: n, Created: now.Add(time.Minute), Judgement: entity.Judgement{Rule: rapid.SampledFrom([]plan.EntitySide{"", "", plan.SideLegacy, plan.SideModern, plan.SideValidation}).Draw(r, "rule")}}
				}
			}
			for pass := range 2 {
				var all []Object
				for _, o := range objects {
					all = append(all, o)
				}
				found := s.Survey(all)
				if pass == 1 && len(found.Changes) > 0 {
					r.Fatalf("a second look finds %+v", found.Changes)
				}
				for _, c := range found.Changes {
					o := c.Object
					if o.Origin == ownership.BornModern {
						r.Fatalf("%+v was born on modern and is changed", c)
					}
					if o.Origin == ownership.Migrated && c.To.Side != plan.SideModern && o.Rule == "" && (!s.Back || o.Percent <= s.Percent) {
						r.Fatalf("%+v goes back at %+v", c, s)
					}
					o.Mark = c.To
					objects[o.Name] = o
				}
			}
		}
	})
}
