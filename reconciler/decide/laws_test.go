package decide

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// TestLaws plays generated histories (raises, lowers, content, reverts, time,
// verdicts, failures, restarts) and checks the laws at every decision.
func TestLaws(t *testing.T) {
	src := lawsPlan(t)
	rapid.Check(t, func(t *rapid.T) {
		h := &history{T: t, w: newWorld(src)}
		h.w.values["errors"] = 5
		t.Repeat(h.actions())
	})
}

func (h *history) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"raise":   func(t *rapid.T) { h.move(t, 1) },
		"lower":   func(t *rapid.T) { h.move(t, -1) },
		"content": h.content,
		"time":    h.time,
		"git":     h.gitState,
		"verdict": h.verdict,
		"value":   h.value,
		"push":    func(*rapid.T) { h.w.push() },
		"fail":    h.fail,
		"finish":  func(*rapid.T) { h.w.finish() },
		"restart": h.restart,
		"request": h.request,
		"":        h.check,
	}
}

func lawsPlan(t testing.TB) string {
	b, err := os.ReadFile("testdata/dialogues/promotion")
	if err != nil {
		t.Fatal(err)
	}
	src, _, ok := strings.Cut(strings.TrimPrefix(string(b), "plan\n"), "----")
	if !ok {
		t.Fatal("the dialogue has no plan")
	}
	signals := "  signals:\n"
	if !strings.Contains(src, signals) {
		t.Fatal("the plan has no signals")
	}
	return strings.Replace(src, signals, "  baselines:\n    first: {signal: errors, at: setup}\n    small: {signal: errors, at: gradual@10}\n"+signals, 1)
}

type history struct {
	*rapid.T
	w *world
	n int
}

func (h *history) rev() plan.Revision {
	h.n++
	return plan.Revision(fmt.Sprintf("c%09d", h.n))
}

func (h *history) move(t *rapid.T, dir int) {
	it := h.w.head.Plan.Itinerary()
	i := it.Index(h.w.head.Plan.Spec.Position) + dir*rapid.IntRange(1, 3).Draw(t, "stops")
	if i < 0 || i >= len(it) {
		return
	}
	h.w.commit(h.rev(), func(p *plan.Plan) {
		p.Spec.Position = it[i]
		if rapid.IntRange(0, 4).Draw(t, "quiet") == 0 {
			quiet(p, h.n)
		}
	}, func(c *Change) {
		if rapid.IntRange(0, 5).Draw(t, "known author") > 0 {
			c.Author = "dev@x"
		}
	})
}

func quiet(p *plan.Plan, n int) {
	for i := range p.Spec.Phases {
		for j := range p.Spec.Phases[i].Gates.Rollback {
			p.Spec.Phases[i].Gates.Rollback[j].Message = fmt.Sprint("changed by ", n)
		}
	}
}

func (h *history) content(t *rapid.T) {
	live, suspend := rapid.Bool().Draw(t, "live"), rapid.IntRange(0, 9).Draw(t, "suspend") == 0
	h.w.commit(h.rev(), func(p *plan.Plan) {
		p.Spec.Suspend = suspend
		if live {
			p.Spec.Backends.Modern.URL = fmt.Sprintf("http://127.0.0.1:%d", 10000+h.n)
		} else {
			quiet(p, h.n)
		}
	}, func(c *Change) {
		c.Resume = rapid.Bool().Draw(t, "resume")
		if hs := h.w.rec.Holds; len(hs) > 0 && rapid.Bool().Draw(t, "unhold") {
			c.Unhold = hs[0].Commit
		}
	})
}

func (h *history) time(t *rapid.T) {
	h.w.now = h.w.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute)
	if rapid.IntRange(0, 3).Draw(t, "unread") != 0 {
		h.w.git.ReadAt = h.w.now
	}
}

func (h *history) gitState(t *rapid.T) {
	h.w.git.Gone = rapid.IntRange(0, 9).Draw(t, "gone") == 0
	h.w.git.Invalid = ""
	if rapid.IntRange(0, 4).Draw(t, "invalid") == 0 {
		h.w.git.Invalid = "plan.yaml:1:1: syntax"
	}
}

func (h *history) verdict(t *rapid.T) {
	name := rapid.SampledFrom([]string{"ready", "low", "elevated", "high"}).Draw(t, "gate")
	if name == "high" && rapid.Bool().Draw(t, "one") && len(h.w.rec.Changes) > 0 {
		name = string(rapid.SampledFrom(h.w.rec.Changes).Draw(t, "change").Commit) + "/high"
	}
	h.w.verdicts[name] = rapid.SampledFrom([]gates.Verdict{gates.Pass, gates.Fail, gates.Fail, gates.Pass, gates.NoData, gates.Error}).Draw(t, "verdict")
}

// value gives the signal that baselines remember another value, or none.
func (h *history) value(t *rapid.T) {
	h.w.values = map[string]float64{"errors": float64(rapid.IntRange(1, 9).Draw(t, "value"))}
	if rapid.IntRange(0, 2).Draw(t, "unknown") == 0 {
		h.w.values = nil
	}
}

func (h *history) fail(t *rapid.T) {
	if h.w.rec.Move == nil {
		return
	}
	h.w.rec = h.w.rec.Failed("no answer")
}

// restart loses everything but what a recorder keeps.
func (h *history) restart(t *rapid.T) {
	b, err := json.Marshal(h.w.rec)
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	before := Decide(h.w.input())
	h.w.rec = rec
	if d := cmp.Diff(before, Decide(h.w.input())); d != "" {
		t.Fatalf("law 11: a restart changed the decision:\n%s", d)
	}
}

func (h *history) request(t *rapid.T) {
	h.w.lastIn = h.w.input()
	d, err := Request(h.w.lastIn, plan.Position{}, "asked")
	if err != nil {
		return
	}
	h.backward(t, d)
	h.w.begin(d)
}

// check decides and holds the decision against the laws.
func (h *history) check(t *rapid.T) {
	in := h.w.input()
	d := Decide(in)
	a, err1 := json.Marshal(d)
	b, err2 := json.Marshal(Decide(in))
	if err1 != nil || err2 != nil || string(a) != string(b) {
		t.Fatalf("law 7: two decisions on one input differ:\n%s\n%s", a, b)
	}
	h.backward(t, d)
	h.onlyBreachesRollBack(t, in, d)
	h.loweredIsObeyed(t, in, d)
	h.forward(t, in, d)
	h.alarmsAreArmed(t, in, d)
	h.explains(t, in, d)
	h.w.lastIn = in
	h.w.begin(d)
	h.remembers(t, in, d)
	if m := h.w.rec.Move; m != nil && m.Content == "" {
		t.Fatalf("the move names a version that is not known: %+v", m)
	}
}

func (h *history) backward(t *rapid.T, d Decision) {
	if d.Verb != Rollback && d.Verb != Retreat {
		return
	}
	it := h.w.head.Plan.Itinerary()
	far := (&state{Input: h.w.input()}).furthest(it)
	if after(it, d.Target, far) {
		t.Fatalf("%s leads forward, from %s to %s", d.Verb, far, d.Target)
	}
	for _, c := range d.Undo {
		if i := h.w.rec.change(c); i < 0 || h.w.rec.Changes[i].RollbackOf != "" {
			t.Fatalf("law 6: %s would revert %s, which is the daemon's own or unknown", d.Verb, c)
		}
	}
}

func (h *history) onlyBreachesRollBack(t *rapid.T, in Input, d Decision) {
	if d.Verb != Rollback || d.Reason == Resuming {
		return
	}
	for _, r := range in.Verdicts {
		if r.Effect == plan.Breaches && r.Verdict == gates.Pass && r.Stop == in.Record.Applied.Stop {
			return
		}
	}
	if d.Reason == DependencyLost {
		return // see onlyKnownFalls
	}
	t.Fatalf("law 3: rolled back although no rollback gate is true: %+v", d)
}

func (h *history) loweredIsObeyed(t *rapid.T, in Input, d Decision) {
	if in.Head.Plan.Spec.Suspend || in.Git.Gone || in.Record.Applied == nil {
		return
	}
	s := &state{Input: in}
	it, to := in.Head.Plan.Itinerary(), in.Head.Plan.Spec.Position
	if !after(it, s.furthest(it), to) {
		return
	}
	if d.Verb == Retreat && !after(it, d.Target, to) || d.Verb == Rollback && !after(it, d.Target, to) {
		return
	}
	t.Fatalf("laws 4 and 14: git declares %s, the furthest is %s, and the decision is %+v", to, s.furthest(it), d)
}

// forward checks everything that must hold before a plan goes on, from the
// input alone.
func (h *history) forward(t *rapid.T, in Input, d Decision) {
	live := d.Verb == Apply && d.Reason == ContentChanged && in.Head.Live != in.Applied.Live
	if d.Reason == Resuming || d.Verb != Advance && !live {
		return
	}
	if in.Now.Sub(in.Git.ReadAt) > in.Limits.GitMaxAge {
		t.Fatalf("law 14: went forward without having read git lately: %+v", d)
	}
	it := in.Head.Plan.Itinerary()
	if hold, held := in.Record.heldBy(it); held || in.Record.Pending != nil {
		t.Fatalf("law 6: went forward although %s is held: %+v", hold.Commit, d)
	}
	if in.Record.Halt != nil || in.Git.Invalid != "" || in.Git.Gone || in.Head.Plan.Spec.Suspend {
		t.Fatalf("went forward although halted, invalid, gone or suspended: %+v", d)
	}
	for _, r := range in.Verdicts {
		want := gates.Pass
		if r.Effect == plan.Pause || r.Effect == plan.Breaches {
			want = gates.Fail
		}
		if r.Effect == plan.Verify || live && r.Effect == plan.Advance || r.Effect == plan.Enter && r.Stop != d.Target {
			continue
		}
		if r.Verdict != want {
			t.Fatalf("law 2: went forward although %s gate %s is %s: %+v", r.Effect, r.Name, r.Verdict, d)
		}
	}
	if d.Verb == Apply {
		return
	}
	eff := plan.Position{}
	if a := in.Record.Applied; a != nil {
		eff = a.Stop
		if in.Now.Before(a.Since.Add(time.Duration(in.Applied.Plan.BakeAt(eff)))) {
			t.Fatalf("law 12: left %s before it had baked: %+v", eff, d)
		}
	}
	next, ok := it.Next(eff)
	if !ok || next != d.Target || after(it, next, in.Head.Plan.Spec.Position) {
		t.Fatalf("law 2: went from %s to %s, git declares %s", eff, d.Target, in.Head.Plan.Spec.Position)
	}
}

// remembers holds that no stop is left without its baselines, and that nothing
// else changes them.
func (h *history) remembers(t *rapid.T, in Input, d Decision) {
	want := maps.Clone(in.Record.Baselines)
	if d.Verb == Advance && d.Reason != Resuming && in.Record.Applied != nil {
		for name, b := range in.Head.Plan.Spec.Baselines {
			if b.At != in.Record.Applied.Stop.String() {
				continue
			}
			if h.w.values == nil {
				t.Fatalf("law 3: left %s without a value for baseline %s: %+v", b.At, name, d)
			}
			if want == nil {
				want = map[string]Baseline{}
			}
			want[name] = Baseline{Signal: b.Signal, Value: h.w.values[b.Signal], At: in.Now, Stop: in.Record.Applied.Stop, Revision: in.Head.Revision}
		}
	}
	if diff := cmp.Diff(want, h.w.rec.Baselines); diff != "" {
		t.Fatalf("the baselines after %+v (-want +got):\n%s", d, diff)
	}
}

// alarmsAreArmed holds that an alarm of the good version still counts, and that
// a breach is always answered.
func (h *history) alarmsAreArmed(t *rapid.T, in Input, d Decision) {
	if in.Record.Applied == nil || in.Head.Plan.Spec.Suspend || in.Git.Gone || d.Verb == Retreat || d.Verb == Rollback || d.Verb == Halt {
		return
	}
	eff := in.Record.Applied.Stop
	for rev, v := range map[plan.Revision]plan.Version{in.Applied.Revision: in.Applied, in.Good.Revision: in.Good} {
		if v.IsZero() || rev == in.Good.Revision && in.Good.Content == in.Applied.Content && rev != in.Applied.Revision {
			continue
		}
		ph := v.Plan.Phase(eff.Phase)
		for _, g := range ph.Gates.Rollback {
			r := h.w.eval(Want{v, gates.Request{
				Stop: eff, Effects: []plan.Effect{plan.Breaches}, Since: in.Record.Applied.Since, Fresh: in.Record.Applied.Backward,
			}})
			if len(r) > 0 && r[0].Verdict == gates.Pass {
				t.Fatalf("law 15: alarm %s of %s is true at %s, and the decision is %+v", g.Name, rev, eff, d)
			}
		}
	}
}
