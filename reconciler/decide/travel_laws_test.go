package decide

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

// TestTravelLaws plays the histories of TestLaws on plans that also have windows,
// earliest times, approvals, checklists, dependencies, conflicts, verify gates,
// automatic promotion and an end of their monitoring.
func TestTravelLaws(t *testing.T) {
	fullCount(t)
	rapid.Check(t, func(t *rapid.T) {
		h := &travel{history: &history{T: t, w: newWorld(travelPlan(t))}}
		actions := h.actions()
		maps.Copy(actions, map[string]func(*rapid.T){
			"others":  h.others,
			"approve": h.approve,
			"unmet":   h.unmet,
			"health":  h.health,
			"wait":    h.wait,
			"all":     h.consents,
			"":        h.checkAll,
		})
		t.Repeat(actions)
	})
}

// fullCount plays 100,000 histories where the full counts are asked for.
func fullCount(t *testing.T) {
	if os.Getenv("CHANGEOVER_ACCEPT") == "" {
		return
	}
	f := flag.Lookup("rapid.checks")
	old := f.Value.String()
	if err := f.Value.Set("100000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(old) })
}

// travelPlan draws which guards a plan has.
func travelPlan(t *rapid.T) string {
	has := func(name string) bool { return rapid.Bool().Draw(t, name) }
	spec, gradual, sunset := "", "", ""
	if has("windows") {
		spec += "  windows: [{allow: \"Mon-Fri 08:00-18:00\"}, {deny: \"2026-01-07/2026-01-07\"}]\n"
	}
	if has("auto") {
		spec += "  promotion: auto\n"
	}
	if has("depends") {
		spec += "  dependsOn: [{plan: llm, phase: gradual}, {plan: base, phase: complete}]\n"
	}
	if has("conflicts") {
		spec += "  conflictsWith: [old]\n"
	}
	spec += "  monitorFor: 3h\n  roles: {ops: {signers: [ops1@x, ops2@x, dev@x]}, sec: {signers: [sec@x]}}\n"
	if has("notBefore") {
		gradual += "      notBefore: {25: 2026-01-05T15:00:00Z}\n"
	}
	if has("approvals") {
		gradual += "      approvals: [{role: ops, count: 2}]\n      checklist: [sampled]\n"
	}
	rollback := "depth: " + rapid.SampledFrom([]string{"promotion", "phase", "plan"}).Draw(t, "depth")
	if has("window") {
		rollback += ", window: 3h"
	}
	if rapid.IntRange(0, 4).Draw(t, "freeze") == 0 {
		rollback += ", onBreach: freeze"
	}
	if has("verify") {
		rollback += ", verify: [{name: serves, expr: \"signal.errors < 0.5\"}], verifyFor: 20m"
	}
	gradual += "      rollback: {" + rollback + "}\n"
	if has("manual") {
		sunset += "      manual: true\n"
	}
	r := strings.NewReplacer("  backends:", spec+"  backends:", "      bake: 1h\n", "      bake: {10: 30m, 25: 1h, 50: 2h, 100: 1h}\n"+gradual,
		"      manual: true\n", sunset, "phase: setup}", "phase: setup}")
	return r.Replace(plainPlan)
}

const plainPlan = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals:
    errors: {query: vector(0)}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50, 100]
      bake: 1h
      routes: [{to: split}]
      gates:
        enter: [{name: ready, expr: "signal.errors < 1.0"}]
        advance: [{name: low, expr: "signal.errors < 0.01"}]
        pause: [{name: elevated, expr: "signal.errors >= 0.01"}]
        rollback: [{name: high, expr: "signal.errors > 0.03"}]
    - name: sunset
      manual: true
      routes: [{to: modern}]
      gates:
        advance: [{name: low, expr: "signal.errors < 0.01"}]
        rollback: [{name: high, expr: "signal.errors > 0.03"}]
`

// travel is a history with what is beside the plan.
type travel struct{ *history }

var beyond = plan.Itinerary{{Phase: "setup"}, {Phase: "gradual", Percent: 50}, {Phase: "gradual", Percent: 100}}

func (h *travel) others(t *rapid.T) {
	h.w.others = map[plan.Key]Other{}
	for _, name := range []string{"llm", "base", "old", "rival"} {
		key := plan.Key{Namespace: "default", Name: name}
		switch rapid.IntRange(0, 9).Draw(t, name) {
		case 0:
			continue
		case 1:
			h.w.others[key] = Other{At: beyond[0], Itinerary: beyond, Conflicts: name == "rival"} // what was known before counts for nothing
			continue
		}
		at := rapid.SampledFrom(beyond).Draw(t, "at")
		if name == "llm" || name == "base" { // mostly where they do no harm
			at = rapid.SampledFrom([]plan.Position{beyond[2], beyond[2], beyond[1], at}).Draw(t, "far")
		}
		o := Other{Known: true, At: at, Itinerary: beyond, Past: at != beyond[0], Conflicts: name == "rival"}
		if at == beyond[2] {
			o.Complete = rapid.IntRange(0, 3).Draw(t, "complete") > 0
		}
		o.Completed = o.Complete || rapid.IntRange(0, 5).Draw(t, "completed") == 0
		h.w.others[key] = o
	}
}

func (h *travel) unmet(t *rapid.T) {
	h.w.unmet = nil
	if rapid.IntRange(0, 3).Draw(t, "unmet") == 0 {
		h.w.unmet = []string{"Kubernetes 1.24"}
	}
}

func (h *travel) health(t *rapid.T) {
	h.w.observed.Cluster = Part{Known: rapid.Bool().Draw(t, "known"), Healthy: rapid.IntRange(0, 3).Draw(t, "healthy") > 0}
}

// wait lets enough time pass for a bake, and is how most histories get on.
func (h *travel) wait(t *rapid.T) {
	h.w.now = h.w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * 30 * time.Minute)
	h.w.git.ReadAt = h.w.now
}

// approve gives a consent that may be of any kind.
func (h *travel) approve(t *rapid.T) {
	raise := standingRaise(h.w.rec.Changes, h.w.head.Plan.Itinerary())
	if raise == nil {
		return
	}
	a := Approval{
		At: h.w.now, Raise: raise.Commit, File: "a.yaml", Stop: rapid.SampledFrom(h.w.head.Plan.Itinerary()).Draw(t, "stop"),
		Author: rapid.SampledFrom([]string{"ops1@x", "ops2@x", "OPS2@x", "dev@x", "sec@x", "stranger@x", ""}).Draw(t, "author"),
		Role:   rapid.SampledFrom([]string{"ops", "ops", "sec", "none"}).Draw(t, "role"),
	}
	if rapid.Bool().Draw(t, "tick") {
		a.Item = rapid.SampledFrom([]string{"sampled", "other"}).Draw(t, "item")
	}
	if rapid.IntRange(0, 3).Draw(t, "other raise") == 0 {
		a.Raise = rapid.SampledFrom(h.w.rec.Changes).Draw(t, "raise").Commit
	}
	h.w.approvals = append(h.w.approvals, a)
}

// consents gives everything that the next stop needs.
func (h *travel) consents(*rapid.T) {
	raise := standingRaise(h.w.rec.Changes, h.w.head.Plan.Itinerary())
	next, ok := h.w.head.Plan.Itinerary().Next((&state{Input: h.w.input()}).effective())
	if raise == nil || !ok {
		return
	}
	for _, a := range []Approval{{Author: "ops1@x", Role: "ops"}, {Author: "ops2@x", Role: "ops"}, {Author: "sec@x", Role: "sec", Item: "sampled"}} {
		a.At, a.Raise, a.Stop, a.File = h.w.now, raise.Commit, next, "all.yaml"
		h.w.approvals = append(h.w.approvals, a)
	}
}

// standingRaise is the newest raise whose beginning nothing went back to or before
// since.
func standingRaise(changes []Change, it plan.Itinerary) *Change {
	low := len(it)
	for i := len(changes) - 1; i >= 0; i-- {
		c := changes[i]
		if c.Lower {
			low = min(low, it.Index(c.To))
		}
		if c.Raise && it.Index(c.From) < low {
			return &c
		}
	}
	return nil
}

func (h *travel) checkAll(t *rapid.T) {
	in := h.w.input()
	d := Decide(in)
	h.onlyKnownFalls(t, in, d)
	h.asTheTableSays(t, in, d)
	h.proposes(t, in, d)
	h.looksAgain(t, in, d)
	h.check(t)
}

// onlyKnownFalls: law 3 for dependencies. Nothing goes back but for one that is
// known and below, and then it does unless something stronger keeps it.
func (h *travel) onlyKnownFalls(t *rapid.T, in Input, d Decision) {
	fell := false
	for _, dep := range in.Head.Plan.Spec.DependsOn {
		o, ok := in.Others[plan.Key{Namespace: "default", Name: dep.Plan}]
		if !ok || !o.Known {
			continue
		}
		i := beyond.Index(o.At)
		if dep.Plan == "llm" && i < 1 || dep.Plan == "base" && !o.Complete && !o.Completed && i < 2 {
			fell = true
		}
	}
	if d.Reason == DependencyLost && !fell {
		t.Fatalf("law 3: went back for a dependency that is not known to have fallen: %+v\n%+v", d, in.Others)
	}
	it := in.Head.Plan.Itinerary()
	past := in.Record.Applied != nil && it.Index((&state{Input: in}).furthest(it)) > 0
	if fell && past && !in.Head.Plan.Spec.Suspend && d.Verb != Rollback && d.Verb != Retreat {
		t.Fatalf("a dependency fell, the plan is past its first stop, and the decision is %+v", d)
	}
}

// proposes: what is proposed is the next stop of a plan that says so, when its
// stop has baked and its gates pass.
func (h *travel) proposes(t *rapid.T, in Input, d Decision) {
	if d.Propose.IsZero() {
		return
	}
	next, _ := in.Head.Plan.Itinerary().Next(in.Head.Plan.Spec.Position)
	after := keepsAfter(in)
	if in.Head.Plan.Spec.Promotion != plan.PromotionAuto || d.Verb != Hold || d.Propose != next || in.Record.Halt != nil ||
		in.Record.Applied.Stop != in.Head.Plan.Spec.Position || len(after) > 0 || in.Head.Plan.Phase(next.Phase).Manual && next.Phase == "sunset" {
		t.Fatalf("proposes %s, kept by %v: %+v", d.Propose, after, d)
	}
}

// looksAgain: an answer that changes nothing stays as it is until RecheckAt while
// nothing but time goes on (Git being read), and is another then.
func (h *travel) looksAgain(t *rapid.T, in Input, d Decision) {
	if d.Verb != Hold && d.Verb != Complete || in.Now.Sub(in.Git.ReadAt) > in.Limits.GitMaxAge {
		return
	}
	in.Record = in.Record.Settle(in).Begin(in, d)
	answer := func(at time.Time) string {
		in.Now, in.Git.ReadAt = at, at
		d := Decide(in)
		if len(in.Head.Plan.Spec.Windows) > 0 {
			d.Message = "" // which of several windows keeps it counts for people only
			for i := range d.Blocks {
				d.Blocks[i].Message = ""
			}
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	now := in.Now
	first := answer(now)
	at := Decide(in).RecheckAt
	if !at.IsZero() && !at.After(now) {
		t.Fatalf("at %s it would look again at %s", now, at)
	}
	for _, share := range []int{1, 500, 999} {
		span := 20 * 24 * time.Hour
		if !at.IsZero() {
			span = at.Sub(now)
		}
		if then := now.Add(span * time.Duration(share) / 1000); answer(then) != first {
			t.Fatalf("at %s the answer is\n%s\nand at %s, before it would look again,\n%s", now, first, then, answer(then))
		}
	}
	if !at.IsZero() && answer(at) == first {
		t.Fatalf("nothing is other when it looks again: %s", first)
	}
}

// TestABakeIsAsLongAsItIs: whenever the daemon is restarted, another leads, or it
// looks more often or less, the stop is left at the first look after its bake.
func TestABakeIsAsLongAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(plainPlan)
		w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 25} }, nil)
		w.settle(10)
		entered := w.now
		bake := time.Duration(w.head.Plan.BakeAt(w.rec.Applied.Stop))
		every := time.Minute
		for w.rec.Applied.Stop.Percent == 10 {
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0: // restarted, or another daemon that leads now
				b, err := json.Marshal(w.rec)
				w.rec = Record{}
				if err != nil || json.Unmarshal(b, &w.rec) != nil {
					t.Fatal(err)
				}
			case 1: // evaluated at another interval
				every = time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second
			case 2: // down for a while
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "down")) * time.Second)
			case 3: // rebuilt from what Git and the data plane know
				a := w.rec.Applied
				w.rec = Rebuild(w.head.Plan.Itinerary(), w.versions[a.Revision], a.Stop, a.Since, nil, w.rec.Seen, w.rec.Changes)
			case 4: // quiet content, or a commit that is none of the plan's
				w.commit(plan.Revision(fmt.Sprintf("c%d", w.now.Unix())), func(p *plan.Plan) { quiet(p, int(w.now.Unix())) }, nil)
			}
			w.git.ReadAt = w.now
			d := w.settle(10)
			left := w.rec.Applied.Stop.Percent != 10
			if over := !w.now.Before(entered.Add(bake)); left != over {
				t.Fatalf("law 12: entered %s, now %s, bake %s, left %t: %+v", entered, w.now, bake, left, d)
			}
			w.now = w.now.Add(every)
		}
	})
}
