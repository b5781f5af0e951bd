package gates_test

import (
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

func TestFromWhenOnResultsHangOnTheTimeNoMore(t *testing.T) {
	const hour = plan.Duration(time.Hour)
	for _, c := range []struct {
		name   string
		effect plan.Effect
		gate   plan.Gate
		fresh  bool
		want   time.Duration // after the entry
		never  bool
	}{
		{name: "a signal now", effect: plan.Advance, gate: plan.Gate{Expr: "signal.a < 1.0"}},
		{name: "a window begins at the entry", effect: plan.Advance, gate: plan.Gate{Expr: "signal.a < 1.0", For: hour}, want: time.Hour},
		{name: "that of an alarm does not", effect: plan.Breaches, gate: plan.Gate{Expr: "signal.a < 1.0", For: hour}},
		{name: "but where the stop was entered backward", effect: plan.Breaches, gate: plan.Gate{Expr: "signal.a < 1.0", For: hour}, fresh: true,
			want: time.Hour + 5*time.Minute + step},
		{name: "position and health", effect: plan.Enter, gate: plan.Gate{Expr: `position.phase == "only" && health.gateway`}},
		{name: "an age", effect: plan.Advance, gate: plan.Gate{Expr: `stop.age > duration("1h")`}, never: true},
		{name: "the time", effect: plan.Advance, gate: plan.Gate{Expr: `now > timestamp("2026-11-22T12:00:00Z")`}, never: true},
	} {
		f := compile(t, c.effect, c.gate, nil)
		r := f.request()
		r.Fresh = c.fresh
		from, ok := f.prg.Steady(r)
		want := time.Time{}
		if c.want > 0 {
			want = r.Since.Add(c.want)
		}
		if ok == c.never || ok && !from.Equal(want) {
			t.Errorf("%s: got %s, %t; want %s", c.name, from, ok, want)
		}
	}
}
