package lint

import (
	"fmt"
	"math"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// z2 is the square of 1.96, the normal quantile of a two-sided 95 %.
const z2 = 1.959963984540054 * 1.959963984540054

// wilsonUpper is the upper end of Wilson's interval at 95 % after n requests of
// which none failed. It is near the rule of three, 3/n, and a little above.
func wilsonUpper(n float64) float64 { return z2 / (n + z2) }

// samplesFor is the least number of clean requests after which wilsonUpper is
// below a bound.
func samplesFor(bound float64) float64 {
	n := math.Floor(z2*(1-bound)/bound) + 1
	for wilsonUpper(n) >= bound { // at a whole number the floor decides by a rounding
		n++
	}
	return n
}

// weak is a gate that asks more of a proportion than its samples can prove.
type weak struct {
	gate    gate
	signal  string
	bound   float64
	windows float64 // how many separate windows of samples its `for` spans
	needs   float64 // samples in each
}

// samples finds the proportions whose samples are too few, or are not counted.
func (l *linter) samples(gates []gate) {
	worst := map[string]weak{}
	var order []string
	for _, g := range gates {
		for _, name := range g.signals() {
			e, ok := l.signals[name]
			if !ok || g.effect == plan.Pause {
				continue
			}
			_, from, to, ok := share(e)
			if !ok {
				continue
			}
			w := weak{gate: g, signal: name}
			if s := l.plan.Spec.Signals[name].Samples; s != nil {
				if w.bound, ok = asked(g, name, from, to); !ok {
					continue
				}
				w.windows = windowsIn(g.window(), s.Query)
				if w.needs = math.Ceil(samplesFor(w.bound) / w.windows); s.Min >= w.needs {
					continue
				}
			}
			if was, seen := worst[name]; !seen {
				order = append(order, name)
				worst[name] = w
			} else if w.needs > was.needs {
				worst[name] = w
			}
		}
	}
	for _, name := range order {
		l.report(worst[name].finding(l.plan.Spec.Signals[name].Samples))
	}
}

// asked is the share of bad requests below which an advance gate asks a
// proportion to be.
func asked(g gate, name string, from, to float64) (bound float64, ok bool) {
	s, ok := g.about("signal." + name)
	if g.effect != plan.Advance || !ok {
		return 0, false
	}
	lo, hi := s[0].lo, s[len(s)-1].hi
	// What is asked to be low tells of failures, what is asked to be high of
	// successes.
	scale := math.Abs(to - from)
	least, most := min(from, to), max(from, to)
	switch {
	case hi < most:
		bound = (hi - least) / scale
	case lo > least:
		bound = (most - lo) / scale
	}
	return bound, bound > 0 && bound < 1
}

// windowsIn is how many windows of samples without overlap a `for` spans.
func windowsIn(window time.Duration, samplesQuery string) float64 {
	e, err := promQL.ParseExpr(samplesQuery)
	if err != nil {
		return 1
	}
	if r := longestRange(e); r > 0 {
		return max(1, float64(window/r))
	}
	return 1
}

func (w weak) finding(s *plan.Samples) finding {
	if s == nil {
		return finding{code: NoSamples, path: "spec.signals." + w.signal,
			message: fmt.Sprintf("%s judges a proportion, and one failure of two requests is 50 %%", w.gate.label()),
			hint:    "say how many requests must stand behind it: samples: {query: sum(increase(...)), min: 400}"}
	}
	f := finding{code: FewSamples, path: "spec.signals." + w.signal + ".samples.min", by: w.gate.path}
	n := s.Min * w.windows
	digits := 2
	for digits < 6 && percent(wilsonUpper(n), digits) == percent(w.bound, digits) {
		digits++
	}
	f.message = fmt.Sprintf("%s clean requests prove only less than %s, and %s asks for less than %s",
		number(n), percent(wilsonUpper(n), digits), w.gate.label(), percent(w.bound, digits))
	f.hint = fmt.Sprintf("that takes %s: write min: %s", number(samplesFor(w.bound)), number(w.needs))
	if w.windows > 1 {
		f.hint += fmt.Sprintf(" (for %s has %s windows of samples)", w.gate.For, number(w.windows))
	}
	return f
}

// percent prints a share with some digits that count.
func percent(share float64, digits int) string {
	return number(rounded(share*100, digits)) + " %"
}

func rounded(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(v)))
	return math.Round(v*p) / p
}
