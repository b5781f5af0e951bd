package lint

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// The laws check what the warnings claim against the real gates: the plan is
// compiled by package gates and evaluated over series.

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	stop = plan.Position{Phase: "b"}
)

// numbers are few, so that bands touch.
var numbers = []float64{0, 0.01, 0.02, 0.03, 0.05, 1}

func expression(signals []string, depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 {
			sub := expression(signals, depth-1)
			switch rapid.IntRange(0, 6).Draw(t, "form") {
			case 0:
				return fmt.Sprintf("(%s && %s)", sub.Draw(t, "left"), sub.Draw(t, "right"))
			case 1:
				return fmt.Sprintf("(%s || %s)", sub.Draw(t, "left"), sub.Draw(t, "right"))
			case 2:
				return fmt.Sprintf("!(%s)", sub.Draw(t, "inner"))
			case 3:
				return fmt.Sprintf("(%s ? %s : %s)", sub.Draw(t, "if"), sub.Draw(t, "then"), sub.Draw(t, "else"))
			}
		}
		term := "signal." + rapid.SampledFrom(signals).Draw(t, "signal")
		n := strconv.FormatFloat(rapid.SampledFrom(numbers).Draw(t, "number"), 'f', 2, 64)
		op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="}).Draw(t, "op")
		if rapid.Bool().Draw(t, "swap") {
			return fmt.Sprintf("%s %s %s", n, op, term)
		}
		return fmt.Sprintf("%s %s %s", term, op, n)
	})
}

// generated is a plan with up to three gates of each effect in its second
// phase of three.
func generated(t *rapid.T, signals []string, depth int) *plan.Plan {
	p := &plan.Plan{Spec: plan.Spec{Signals: map[string]plan.Signal{}, Phases: []plan.Phase{{Name: "a"}, {Name: "b"}, {Name: "c"}}}}
	for _, s := range signals {
		p.Spec.Signals[s] = plan.Signal{Query: s}
	}
	// A ratio, whose values are 0 to 1.
	p.Spec.Signals[signals[0]] = plan.Signal{Query: `sum(rate(r{code="500"}[1m])) / sum(rate(r[1m]))`}
	gs := &p.Spec.Phases[1].Gates
	for i, list := range []*[]plan.Gate{&gs.Enter, &gs.Advance, &gs.Pause, &gs.Rollback, &p.Spec.Phases[1].Rollback.Verify} {
		effect := plan.Effects[i]
		for i := range rapid.IntRange(0, 3).Draw(t, "gates") {
			*list = append(*list, plan.Gate{Name: fmt.Sprintf("%s-%d", effect, i), Expr: expression(signals, depth).Draw(t, "expr"),
				For: plan.Duration(rapid.SampledFrom([]time.Duration{0, time.Minute, 2 * time.Minute}).Draw(t, "for"))})
		}
	}
	return p
}

// trial evaluates the gates over one set of series. Points that are NaN are
// unknown.
type trial struct {
	verdicts map[string]gates.Result // by the path of the gate
}

func evaluate(t interface{ Fatal(...any) }, p *plan.Plan, prg *gates.Program, series map[string][]float64) trial {
	r := gates.Request{Stop: stop, Effects: plan.Effects, Since: noon.Add(-time.Hour)}
	s := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{}, Facts: gates.Facts{Position: stop, Declared: stop}}
	byQuery := map[string]string{}
	for name, sig := range p.Spec.Signals {
		byQuery[sig.Query] = name
	}
	for _, n := range prg.Needs([]gates.Request{r}) {
		values := series[byQuery[n.Query]]
		var sample gates.Sample
		for i, v := range values {
			pt := gates.Point{Time: noon.Add(-time.Duration(len(values)-1-i) * 15 * time.Second), Value: v}
			if math.IsNaN(v) {
				pt.Value, pt.Unknown = 0, "no series"
			}
			sample.Points = append(sample.Points, pt)
		}
		sample.Last = sample.Points[len(sample.Points)-1]
		s.Samples[n] = sample
	}
	out := trial{verdicts: map[string]gates.Result{}}
	results := prg.Eval("", []gates.Request{r}, s)
	for _, effect := range plan.Effects {
		for i, g := range p.Spec.Phases[1].GatesOf(effect) {
			for _, res := range results {
				if res.Effect == effect && res.Name == g.Name {
					out.verdicts[fmt.Sprintf("spec.phases[1].%s[%d]", effect.GatesPath(), i)] = res
				}
			}
		}
	}
	return out
}

func (tr trial) passes(path string) bool {
	return tr.verdicts[strings.TrimSuffix(path, ".expr")].Verdict == gates.Pass
}

// all reports whether every gate with an effect passes; some whether one does.
func (tr trial) all(effect plan.Effect) bool {
	for path, r := range tr.verdicts {
		if strings.Contains(path, "."+string(effect)+"[") && r.Verdict != gates.Pass {
			return false
		}
	}
	return true
}

// candidates are the numbers, what lies between and around them, and unknown.
func candidates(ratio bool) []float64 {
	var out []float64
	for i, n := range numbers {
		out = append(out, n)
		if i > 0 {
			out = append(out, (n+numbers[i-1])/2)
		}
	}
	if !ratio {
		out = append(out, -1, 2)
	}
	return append(out, math.NaN())
}

// TestWhatIsClaimedHolds: no series of any values, unknown ones among them,
// speak against a warning.
func TestWhatIsClaimedHolds(t *testing.T) {
	claims := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		signals := []string{"ratio", "free"}
		p := generated(t, signals, rapid.IntRange(0, 2).Draw(t, "depth"))
		prg, err := gates.Compile(p, gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := analyse(p, nil)
		for range 30 {
			series := map[string][]float64{}
			for i, s := range signals {
				// Mostly the same value for the whole window, so that `for` passes.
				v := rapid.SampledFrom(candidates(i == 0))
				steady := v.Draw(t, "value")
				for range 9 {
					if rapid.IntRange(0, 8).Draw(t, "change") == 0 {
						steady = v.Draw(t, "value")
					}
					series[s] = append(series[s], steady)
				}
			}
			tr := evaluate(t, p, prg, series)
			for _, f := range found {
				if wrong := tr.contradicts(f); wrong != "" {
					t.Fatalf("%s at %s: %s, but %s with %v", f.code, f.path, f.message, wrong, series)
				}
			}
		}
		for _, f := range found {
			claims[f.code]++
		}
	})
	for _, code := range []string{NeverTrue, AlwaysTrue, Shadowed, ContradictoryBands} {
		if claims[code] < 5 {
			t.Errorf("only %d claims of %s were looked at", claims[code], code)
		}
	}
}

// contradicts says how what was seen speaks against a warning.
func (tr trial) contradicts(f finding) string {
	is := tr.passes(f.path)
	isAlarm := strings.Contains(f.path, ".pause[") || strings.Contains(f.path, ".rollback[")
	seen := tr.verdicts[strings.TrimSuffix(f.path, ".expr")]
	switch f.code {
	case NeverTrue:
		if is || seen.Now == gates.Pass {
			return "it is true"
		}
	case AlwaysTrue:
		if seen.Now == gates.Fail {
			return "it is false"
		}
	case Shadowed:
		if isAlarm && is && !tr.passes(f.by) {
			return "it is true and the other is not"
		}
		if !isAlarm && !is && tr.passes(f.by) {
			return "the other passes and it does not"
		}
	case ContradictoryBands:
		return tr.contradictsBands(f, is)
	}
	return ""
}

func (tr trial) contradictsBands(f finding, is bool) string {
	switch {
	case f.term != "":
		// Checked with a witness in TestOverlapsHaveAWitness.
	case strings.Contains(f.path, ".enter[") && tr.all(plan.Enter):
		return "all enter gates pass"
	case strings.Contains(f.path, ".advance["):
		// Pauses with a `for` do not count, rollbacks without it do.
		blocked := false
		for path, r := range tr.verdicts {
			blocked = blocked || strings.Contains(path, ".pause[") && r.Verdict == gates.Pass || strings.Contains(path, ".rollback[") && r.Now == gates.Pass
		}
		if tr.all(plan.Advance) && !blocked {
			return "all advance gates pass and nothing blocks"
		}
	case strings.Contains(f.path, ".pause[") && is && !tr.passes(f.by):
		return "it pauses and the other does not roll back"
	}
	return ""
}

// TestOverlapsHaveAWitness: at a value of an overlap, held for long enough, an
// advance gate passes while the alarm is true.
func TestOverlapsHaveAWitness(t *testing.T) {
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		p := generated(t, []string{"ratio"}, rapid.IntRange(0, 1).Draw(t, "depth"))
		prg, err := gates.Compile(p, gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range analyse(p, nil) {
			if f.term == "" {
				continue
			}
			seen++
			v := f.values.and(between(0, 1)).witness()
			tr := evaluate(t, p, prg, map[string][]float64{"ratio": {v, v, v, v, v, v, v, v, v}})
			if !tr.passes(f.path) || !tr.passes(f.by) {
				t.Fatalf("%s, but at %v that is not so", f.message, v)
			}
		}
	})
	if seen < 5 {
		t.Errorf("only %d overlaps were looked at", seen)
	}
}

// TestNothingIsMissedOfOneSignal: where two gates without `for` over one signal
// are such that one is never true, never false, or never true without the other
// at any of the values that tell them apart, a warning says so.
func TestNothingIsMissedOfOneSignal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &plan.Plan{Spec: plan.Spec{Signals: map[string]plan.Signal{"free": {Query: "free"}}, Phases: []plan.Phase{{Name: "a"}, {Name: "b"}, {Name: "c"}}}}
		gs := &p.Spec.Phases[1].Gates
		for i := range 2 {
			gs.Rollback = append(gs.Rollback, plan.Gate{Name: fmt.Sprintf("r-%d", i), Expr: expression([]string{"free"}, 2).Draw(t, "expr")})
		}
		prg, err := gates.Compile(p, gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		paths := []string{"spec.phases[1].gates.rollback[0]", "spec.phases[1].gates.rollback[1]"}
		var everTrue, everFalse, alone [2]bool
		for _, v := range candidates(false) {
			if math.IsNaN(v) {
				continue
			}
			tr := evaluate(t, p, prg, map[string][]float64{"free": {v}})
			for i := range 2 {
				is, other := tr.passes(paths[i]), tr.passes(paths[1-i])
				everTrue[i] = everTrue[i] || is
				everFalse[i] = everFalse[i] || !is
				alone[i] = alone[i] || is && !other
			}
		}
		found := map[string]bool{}
		for _, f := range analyse(p, nil) {
			found[f.code+" "+strings.TrimSuffix(f.path, ".expr")] = true
		}
		constant := false
		for i := range 2 {
			if got := found[NeverTrue+" "+paths[i]]; got == everTrue[i] {
				t.Fatalf("%s: never true: got %v", gs.Rollback[i].Expr, got)
			}
			if got := found[AlwaysTrue+" "+paths[i]]; got == everFalse[i] {
				t.Fatalf("%s: never false: got %v", gs.Rollback[i].Expr, got)
			}
			constant = constant || !everTrue[i] || !everFalse[i]
		}
		if constant {
			return
		}
		shadowed := found[Shadowed+" "+paths[0]] || found[Shadowed+" "+paths[1]]
		if want := !alone[0] || !alone[1]; shadowed != want {
			t.Fatalf("%s and %s: shadowed: got %v, want %v", gs.Rollback[0].Expr, gs.Rollback[1].Expr, shadowed, want)
		}
	})
}
