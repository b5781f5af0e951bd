package decide

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// sighting is what one evaluation saw.
type sighting struct {
	at      time.Time
	stop    plan.Position
	asked   bool // gates were evaluated
	unknown bool
}

// wantNotice tells from what was seen so far, the newest last, what people are
// told now: it remembers nothing.
func wantNotice(seen []sighting, limit time.Duration) Reason {
	if !seen[len(seen)-1].asked {
		return ""
	}
	seen = slices.DeleteFunc(slices.Clone(seen), func(s sighting) bool { return !s.asked })
	// told is whether somebody was told in the stretch to which the sighting
	// at i belongs, up to it.
	told := func(i int) bool {
		first := i
		for first > 0 && seen[first-1].unknown && seen[first-1].stop == seen[i].stop {
			first--
		}
		return seen[i].at.Sub(seen[first].at) >= limit
	}
	i := len(seen) - 1
	switch {
	case seen[i].unknown:
		if told(i) && (i == 0 || !seen[i-1].unknown || seen[i-1].stop != seen[i].stop || !told(i-1)) {
			return Blind
		}
	case i > 0 && seen[i-1].unknown && told(i-1):
		return DataKnown
	}
	return ""
}

// TestBlindLaws: whatever is seen when, people are told once that gates were not
// known for the whole of NoDataAlert, and once that they are again; a restart or
// another leader at any time changes neither.
func TestBlindLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(plainPlan)
		it := w.head.Plan.Itinerary()
		w.commit("r2", func(p *plan.Plan) { p.Spec.Position = it[1] }, nil)
		w.settle(10)
		var seen []sighting
		for n := range rapid.IntRange(1, 40).Draw(t, "evaluations") {
			w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 15 * time.Second, 4 * time.Minute, 11 * time.Minute}).Draw(t, "later"))
			w.git.ReadAt = w.now
			if rapid.IntRange(0, 9).Draw(t, "move") == 0 {
				w.move(it[rapid.IntRange(1, 2).Draw(t, "to")])
			}
			if name := rapid.SampledFrom([]string{"", "low", "elevated", "high"}).Draw(t, "gate"); name != "" {
				w.verdicts[name] = rapid.SampledFrom([]gates.Verdict{gates.Pass, gates.Fail, gates.NoData, gates.Error}).Draw(t, "verdict")
			}
			in := w.input()
			s := sighting{at: w.now, stop: w.rec.Applied.Stop, asked: rapid.IntRange(0, 9).Draw(t, "asked") > 0}
			for _, r := range in.Verdicts {
				s.unknown = s.unknown || r.Effect != plan.Enter && (r.Verdict == gates.NoData || r.Verdict == gates.Error)
			}
			if !s.asked {
				in.Verdicts = nil
			}
			seen = append(seen, s)
			next, notice := w.rec.Watch(in)
			got := Reason("")
			if notice != nil {
				got = notice.Reason
			}
			if want := wantNotice(seen, w.limits.NoDataAlert); got != want {
				t.Fatalf("evaluation %d: told %q, want %q; seen %+v", n, got, want, seen)
			}
			if w.rec = next; rapid.Bool().Draw(t, "restart") {
				w.rec = stored(t, next)
			}
		}
	})
}

// move brings the plan to a stop as if it had been declared and reached.
func (w *world) move(to plan.Position) {
	a := *w.rec.Applied
	a.Stop, a.Since = to, w.now
	w.rec = w.rec.Clone()
	w.rec.Applied = &a
	w.valid.Plan = copyOf(w.valid.Plan)
	w.valid.Plan.Spec.Position = to
}

// stored is a record as a restarted daemon reads it.
func stored(t *rapid.T, r Record) (out Record) {
	b, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r.Blind, out.Blind); d != "" {
		t.Fatalf("the record is another one after a restart: %s", d)
	}
	return out
}

func TestAGateThatWasNotEvaluatedIsNotKnown(t *testing.T) {
	for _, e := range []plan.Effect{plan.Pause, plan.Advance, plan.Breaches} {
		w := newWorld(plainPlan)
		w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 10} }, nil)
		w.settle(10)
		in := w.input()
		in.Verdicts = slices.DeleteFunc(in.Verdicts, func(r gates.Result) bool { return r.Effect == e })
		rec, _ := w.rec.Watch(in)
		if rec.Blind == nil {
			t.Fatalf("without the %s gate all is known", e)
		}
		in.Now = in.Now.Add(10 * time.Minute)
		_, n := rec.Watch(in)
		if n == nil || len(n.Evidence) != 1 || n.Evidence[0].Effect != e || n.Message != fmt.Sprintf("blind at gradual@10 for 10m: %s gate %s (not evaluated)", e, n.Evidence[0].Name) {
			t.Errorf("%+v", n)
		}
	}
}

// After a way back alarms wait for evidence of their own, which people know.
func TestAGateThatWaitsForFreshEvidenceIsNotBlind(t *testing.T) {
	for waits, want := range map[bool]bool{true: false, false: true} {
		w := newWorld(plainPlan)
		w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 10} }, nil)
		w.settle(10)
		w.verdicts["high"] = gates.NoData
		in := w.input()
		for i := range in.Verdicts {
			in.Verdicts[i].Waits = waits && in.Verdicts[i].Verdict == gates.NoData
		}
		if rec, _ := w.rec.Watch(in); (rec.Blind != nil) != want {
			t.Errorf("waits: %t, blind: %+v", waits, rec.Blind)
		}
	}
}

func TestWatchLeavesTheRecordItIsGiven(t *testing.T) {
	w := newWorld(plainPlan)
	w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 10} }, nil)
	w.settle(10)
	w.verdicts["high"] = gates.NoData
	first, _ := w.rec.Watch(w.input())
	in := w.input()
	in.Now = in.Now.Add(time.Hour)
	second, n := first.Watch(in)
	if w.rec.Blind != nil || first.Blind.Told || !second.Blind.Told || n == nil {
		t.Errorf("%+v, %+v, %+v", w.rec.Blind, first.Blind, second.Blind)
	}
}
