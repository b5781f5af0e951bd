package decide

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// TestGroups plays stories of connected plans in testdata/groups, as TestDialogues
// does those of one.
//
//	plan NAME [after=OTHER:PHASE] [conflicts=(NAME,...)]   a plan with the stops setup, gradual@50, gradual@100
//	commit NAME REV [position=STOP] [suspend]
//	at +DURATION
//	signal NAME GATE=VERDICT                  a gate's verdict from here on
//	unknown NAME / known NAME                 whether its input can be gathered
//	gone NAME                                 the branch does not have it any more
//	decide                                    prints one round of decisions and begins them
//	fail NAME                                 the attempt at its move failed
//	done [NAME]                               the moves were observed
//	run                                       decides and does until nothing is left to do
//	stand                                     prints how gates of others see each, after a round of decisions
//	push                                      all reverts reach the remote
//	state                                     prints the records
func TestGroups(t *testing.T) {
	datadriven.Walk(t, "testdata/groups", func(t *testing.T, path string) {
		g := &group{worlds: map[string]*world{}, unknown: map[string]bool{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return g.say(t, d) })
	})
}

// group is several worlds on one branch.
type group struct {
	worlds  map[string]*world
	names   []string
	unknown map[string]bool
}

const member = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: %s}
spec:
  position: {phase: setup}
%s  backends:
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
      percents: [50, 100]
      bake: 1h
      routes: [{to: split}]
      gates:
        enter: [{name: ready, expr: "signal.errors < 1.0"}]
        advance: [{name: low, expr: "signal.errors < 0.01"}]
        rollback: [{name: high, expr: "signal.errors > 0.03"}]
`

func (g *group) say(t *testing.T, d *datadriven.TestData) string {
	name := ""
	if len(d.CmdArgs) > 0 {
		name = d.CmdArgs[0].Key
	}
	w := g.worlds[name]
	switch d.Cmd {
	case "plan":
		g.plan(t, d, name)
	case "commit":
		var pos string
		w.commit(plan.Revision(d.CmdArgs[1].Key), func(p *plan.Plan) {
			if d.MaybeScanArgs(t, "position", &pos) {
				p.Spec.Position = position(t, d, pos)
			}
			p.Spec.Suspend = d.HasArg("suspend")
		}, nil)
	case "at":
		dur, err := time.ParseDuration(strings.TrimPrefix(name, "+"))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		for _, w := range g.worlds {
			w.now = w.now.Add(dur)
			w.git.ReadAt = w.now
		}
	case "signal":
		for _, a := range d.CmdArgs[1:] {
			w.verdicts[a.Key] = gates.Verdict(a.Vals[0])
		}
	case "unknown", "known":
		g.unknown[name] = d.Cmd == "unknown"
	case "gone":
		w.git.Gone = true
	default:
		return g.act(t, d, name)
	}
	return ""
}

func (g *group) plan(t *testing.T, d *datadriven.TestData, name string) {
	spec, after := "", ""
	if d.MaybeScanArgs(t, "after", &after) {
		on, phase, _ := strings.Cut(after, ":")
		spec += fmt.Sprintf("  dependsOn: [{plan: %s, phase: %s}]\n", on, phase)
	}
	for _, a := range d.CmdArgs {
		if a.Key == "conflicts" {
			spec += fmt.Sprintf("  conflictsWith: [%s]\n", strings.Join(a.Vals, ", "))
		}
	}
	g.worlds[name] = newWorld(fmt.Sprintf(member, name, spec))
	g.names = append(g.names, name)
}

func (g *group) act(t *testing.T, d *datadriven.TestData, name string) string {
	var b strings.Builder
	switch d.Cmd {
	case "decide":
		for _, x := range g.decide() {
			b.WriteString(x.Key.Name + ": " + show(x.Decision))
		}
	case "stand":
		for _, x := range g.decide() {
			st := Stand(x.Input, x.Decision)
			if st.Unknown != "" {
				fmt.Fprintf(&b, "%s: unknown: %s\n", x.Key.Name, st.Unknown)
				continue
			}
			fmt.Fprintf(&b, "%s: at %s, declared %s, complete %t\n", x.Key.Name, st.Position, st.Declared, st.Complete)
		}
	case "fail":
		g.worlds[name].rec = g.worlds[name].rec.Failed("no answer")
	case "done":
		for _, n := range g.names {
			if name == "" || name == n {
				g.worlds[n].finish()
			}
		}
	case "run":
		for range 30 {
			var moved []Decided
			for _, x := range g.decide() {
				if g.worlds[x.Key.Name].rec.Move != nil {
					moved = append(moved, x)
				}
			}
			if len(moved) == 0 {
				break
			}
			for _, x := range moved {
				b.WriteString(x.Key.Name + ": " + show(x.Decision))
				g.worlds[x.Key.Name].finish()
			}
		}
		for _, x := range g.decide() {
			b.WriteString(x.Key.Name + ": " + show(x.Decision))
		}
	case "push":
		for _, n := range g.names {
			b.WriteString(n + ": " + g.worlds[n].push() + "\n")
		}
	case "state":
		for _, n := range g.names {
			b.WriteString(n + ": " + g.worlds[n].String() + "\n")
		}
	default:
		d.Fatalf(t, "unknown verb %q", d.Cmd)
	}
	return b.String()
}

// decide asks about all members, in an order that must not count, and begins
// what the answers say.
func (g *group) decide() []Decided {
	var ms []Member
	for _, n := range g.names {
		w := g.worlds[n]
		ms = append(ms, Member{Key: w.head.Plan.Key(), Input: w.input(), Unknown: g.unknown[n]})
	}
	out := Group(ms, nil)
	slices.Reverse(ms)
	if a, b := fmt.Sprintf("%+v", decisions(out)), fmt.Sprintf("%+v", decisions(Group(ms, nil))); a != b {
		panic("the order of the members counts:\n" + a + "\n" + b)
	}
	for _, x := range out {
		w := g.worlds[x.Key.Name]
		w.lastIn = x.Input
		w.begin(x.Decision)
	}
	return out
}

func decisions(ds []Decided) []Decision {
	var out []Decision
	for _, d := range ds {
		out = append(out, d.Decision)
	}
	return out
}

// A plan that was complete and gets a new stop, and a raise to it, goes forward:
// what needs it complete stays where it is.
func TestANewStopAfterTheLastTakesNoDependentBack(t *testing.T) {
	w := newWorld(fmt.Sprintf(member, "llm", ""))
	w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 100} }, nil)
	for range 3 {
		w.settle(10)
		w.now = w.now.Add(time.Hour)
		w.git.ReadAt = w.now
	}
	it := w.head.Plan.Itinerary()
	o := standsAt(Member{Input: w.input()}, nil)
	if !o.Complete || o.At != it[2] {
		t.Fatalf("not complete: %+v", o)
	}
	for _, stop := range []string{"sunset", "gone"} {
		w.commit(plan.Revision("add-"+stop), func(p *plan.Plan) {
			p.Spec.Phases = append(p.Spec.Phases, plan.Phase{Name: stop})
			p.Spec.Position = plan.Position{Phase: stop}
		}, nil)
	}
	for range 3 {
		w.settle(1)
		if o := standsAt(Member{Input: w.input()}, nil); o.fell(plan.PhaseComplete) {
			t.Errorf("at %s it fell", o.At)
		}
		w.now = w.now.Add(time.Hour)
		w.git.ReadAt = w.now
	}
	if w.rec.Applied.Stop.Phase != "gone" {
		t.Errorf("it is at %s", w.rec.Applied.Stop)
	}
	w.commit("back", func(p *plan.Plan) { p.Spec.Position = it[0] }, nil)
	w.settle(5)
	if o := standsAt(Member{Input: w.input()}, nil); !o.fell(plan.PhaseComplete) {
		t.Error("at the first stop it did not fall")
	}
}
