package decide

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// beside plays what is not the plan's own: other plans and approvals, and the
// time until the answer changes by itself.
func beside(t *testing.T, w *world, d *datadriven.TestData) string {
	switch d.Cmd {
	case "others":
		w.others = map[plan.Key]Other{}
		for _, a := range d.CmdArgs {
			if a.Key != "conflicts" {
				w.others[plan.ParseKey(a.Key, "default")] = otherAt(t, d, a.Vals[0])
			}
		}
		var names []string
		for _, a := range d.CmdArgs {
			if a.Key == "conflicts" {
				names = a.Vals
			}
		}
		for _, name := range names {
			key := plan.ParseKey(name, "default")
			o := w.others[key]
			o.Conflicts = true
			w.others[key] = o
		}
		return ""
	case "approve":
		a := Approval{File: "approvals/" + w.head.Plan.Metadata.Name + "/a.yaml", Stop: position(t, d, d.CmdArgs[0].Key), At: w.now}
		d.ScanArgs(t, "author", &a.Author)
		d.ScanArgs(t, "role", &a.Role)
		var raise string
		d.ScanArgs(t, "raise", &raise)
		a.Raise = plan.Revision(raise)
		d.MaybeScanArgs(t, "item", &a.Item)
		w.approvals = append(w.approvals, a)
		return ""
	case "disapprove":
		w.approvals = nil
		return ""
	case "facts":
		w.stands = map[string]gates.PlanState{}
		for _, a := range d.CmdArgs {
			w.stands[a.Key] = facing(t, d, a.Vals[0])
		}
		return ""
	case "unread":
		w.unread = d.CmdArgs[0].Key
		return ""
	case "read":
		w.unread = ""
		return ""
	case "gates":
		var b strings.Builder
		for _, r := range w.input().Verdicts {
			fmt.Fprintf(&b, "%s %s at %s: %s: %s\n", r.Effect, r.Name, r.Stop, r.Verdict, r.Detail)
		}
		return b.String()
	case "watch":
		return watch(w)
	case "recheck":
		if at := w.decide().RecheckAt; !at.IsZero() {
			return "in " + at.Sub(w.now).String() + "\n"
		}
		return "never\n"
	}
	d.Fatalf(t, "unknown verb %q", d.Cmd)
	return ""
}

// facing is how a plan stands that gates read.
func facing(t *testing.T, d *datadriven.TestData, at string) gates.PlanState {
	switch at {
	case "unknown":
		return gates.PlanState{Unknown: "there is no such plan"}
	case "complete":
		done := plan.Position{Phase: "done"}
		return gates.PlanState{Position: done, Declared: done, Complete: true, State: "Complete"}
	}
	pos := position(t, d, at)
	return gates.PlanState{Position: pos, Declared: pos, State: "Steady"}
}

// watch takes in what the gates say now, and prints what a person is told.
func watch(w *world) string {
	w.lastIn = w.input()
	next, n := w.rec.Watch(w.lastIn)
	w.rec = next
	var b strings.Builder
	if n != nil {
		fmt.Fprintf(&b, "%s: %s\n", n.Reason, n.Message)
	}
	if next.Blind == nil {
		b.WriteString("all is known\n")
		return b.String()
	}
	fmt.Fprintf(&b, "blind at %s for %s", next.Blind.Stop, plan.Duration(w.now.Sub(next.Blind.Since)))
	if at := next.BlindAt(w.limits.NoDataAlert); !at.IsZero() {
		fmt.Fprintf(&b, ", told in %s", plan.Duration(at.Sub(w.now)))
	}
	b.WriteString("\n")
	return b.String()
}

func position(t *testing.T, d *datadriven.TestData, s string) plan.Position {
	pos, err := plan.ParsePosition(s)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return pos
}

// otherAt is a plan with the stops setup, gradual@50, gradual@100 and done.
func otherAt(t *testing.T, d *datadriven.TestData, at string) Other {
	it := plan.Itinerary{{Phase: "setup"}, {Phase: "gradual", Percent: 50}, {Phase: "gradual", Percent: 100}, {Phase: "done"}}
	switch at {
	case "unknown":
		return Other{}
	case "unread": // it was known to be at its first stop, and is not now
		return Other{At: it[0], Itinerary: it}
	case "complete":
		return Other{Known: true, At: it[3], Itinerary: it, Complete: true, Past: true}
	case "nowhere":
		return Other{Known: true, Itinerary: it}
	}
	pos := position(t, d, at)
	if !slices.Contains(it, pos) {
		d.Fatalf(t, "the other plan has no stop %s", at)
	}
	return Other{Known: true, At: pos, Itinerary: it, Past: pos != it[0]}
}
