package decide

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// asTheTableSays: rows 14 to 18. The reason is the first of what keeps the plan in
// the order of the table, found here by other means, and where there is none it
// goes on.
func (h *travel) asTheTableSays(t *rapid.T, in Input, d Decision) {
	r := in.Record
	it, declared := in.Head.Plan.Itinerary(), in.Head.Plan.Spec.Position
	eff := (&state{Input: in}).effective()
	ahead := it.Index(declared) > it.Index(eff)
	_, held := r.heldBy(it)
	breach := slices.ContainsFunc(in.Verdicts, func(x gates.Result) bool { return x.Effect == plan.Breaches && x.Verdict == gates.Pass })
	unverified := slices.ContainsFunc(in.Verdicts, func(x gates.Result) bool { return x.Effect == plan.Verify && x.Verdict == gates.Fail })
	if !ahead || held || in.Head.Plan.Spec.Suspend || in.Git.Gone || r.Move != nil || r.Pending != nil || breach ||
		d.Reason == DependencyLost || unverified && !r.Verify.Failed || d.Reason == StateMismatch || d.Verb == Retreat ||
		r.Applied != nil && in.Head.Content != r.Applied.Content {
		return
	}
	want := append(keepsBefore(in, it[it.Index(eff)+1]), keepsAfter(in)...)
	switch {
	case len(want) == 0 && d.Verb != Advance:
		t.Fatalf("nothing keeps the plan, and the decision is %+v", d)
	case len(want) > 0 && (d.Verb != Hold || d.Reason != want[0]):
		t.Fatalf("what keeps the plan is %v, and the decision is %+v", want, d)
	}
}

// keepsBefore are the reasons of rows 14 to 16 up to the cooldown.
func keepsBefore(in Input, next plan.Position) (out []Reason) {
	r, p, now := in.Record, in.Head.Plan, in.Now
	first := next == p.Itinerary()[0]
	when := func(is bool, reason Reason) {
		if is {
			out = append(out, reason)
		}
	}
	when(r.Halt != nil, Halted)
	when(in.Git.Invalid != "", Invalid)
	when(now.Sub(in.Git.ReadAt) > in.Limits.GitMaxAge, GitStale)
	if v := r.Verify; v != nil && in.Applied.Plan.Phase(v.From.Phase) != nil && len(in.Applied.Plan.Phase(v.From.Phase).Rollback.Verify) > 0 {
		when(now.Before(v.Since.Add(20*time.Minute)) || !slices.ContainsFunc(in.Verdicts, func(x gates.Result) bool {
			return x.Effect == plan.Verify && x.Verdict == gates.Pass
		}), Verifying)
	}
	when(len(in.Unmet) > 0 && r.Applied != nil && r.Applied.Stop == p.Itinerary()[0], Unmet)
	if !first {
		for _, dep := range p.Spec.DependsOn {
			o, ok := in.Others[plan.Key{Namespace: "default", Name: dep.Plan}]
			when(!ok || !o.Known || dep.Plan == "llm" && beyond.Index(o.At) < 1 || dep.Plan == "base" && !o.Complete, DependencyUnmet)
		}
		for key, o := range in.Others {
			when((o.Conflicts || slices.Contains(p.Spec.ConflictsWith, key.Name)) && (!o.Known || beyond.Index(o.At) > 0), Conflict)
		}
	}
	if len(p.Spec.Windows) > 0 {
		office := now.Weekday() != time.Saturday && now.Weekday() != time.Sunday && now.Hour() >= 8 && now.Hour() < 18
		when(!office || now.YearDay() == 7 && now.Year() == 2026, OutsideWindow)
	}
	ph := p.Phase(next.Phase)
	when(len(ph.NotBefore.ByPercent) > 0 && next.Percent == 25 && now.Before(time.Date(2026, 1, 5, 15, 0, 0, 0, time.UTC)), NotBefore)
	when(ph.Manual && p.Spec.Position.Phase != next.Phase, Manual)
	if len(ph.Approvals) > 0 {
		people, ticked := counted(in, next)
		when(people < 2, ApprovalMissing)
		when(!ticked, ChecklistOpen)
	}
	when(!r.LiftedAt.IsZero() && now.Before(r.LiftedAt.Add(in.Limits.Cooldown)), Cooldown)
	return out
}

// counted finds who of the role consented to a stop, and whether its checklist is
// ticked.
func counted(in Input, stop plan.Position) (people int, ticked bool) {
	raise := standingRaise(in.Record.Changes, in.Head.Plan.Itinerary())
	if raise == nil || raise.Author == "" {
		return 0, false
	}
	by := map[string]bool{}
	for _, a := range in.Approvals {
		author := strings.ToLower(a.Author)
		right := a.Role == "ops" && slices.Contains([]string{"ops1@x", "ops2@x", "dev@x"}, author) || a.Role == "sec" && author == "sec@x"
		if a.Stop != stop || a.Raise != raise.Commit || !right || author == raise.Author || a.At.Before(raise.RolledBackAt) {
			continue
		}
		if a.Item == "" && a.Role == "ops" {
			by[author] = true
		}
		ticked = ticked || a.Item == "sampled"
	}
	return len(by), ticked
}

// keepsAfter are those from the bake on.
func keepsAfter(in Input) (out []Reason) {
	a := in.Record.Applied
	stop := plan.Position{}
	if a != nil {
		stop = a.Stop
		if in.Now.Before(a.Since.Add(time.Duration(in.Applied.Plan.BakeAt(stop)))) {
			out = append(out, Baking)
		}
	}
	bad := map[gates.Verdict]Reason{gates.NoData: GateNoData, gates.Error: GateError}
	for _, e := range []plan.Effect{plan.Pause, plan.Advance, plan.Enter, plan.Breaches} {
		for _, r := range in.Verdicts {
			pass, fail := gates.Pass, GateFailed
			if e == plan.Pause || e == plan.Breaches {
				pass, fail = gates.Fail, Paused
			}
			if r.Effect != e || r.Verdict == pass || e == plan.Enter && r.Stop == stop {
				continue
			}
			if why, ok := bad[r.Verdict]; ok {
				out = append(out, why)
			} else {
				out = append(out, fail)
			}
		}
	}
	if c := in.Observed.Cluster; a != nil && c.Known && !c.Healthy {
		out = append(out, NotHealthy)
	}
	return out
}
