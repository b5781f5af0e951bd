package lint

import (
	"math"
	"testing"
)

// TestTheNumbersOfWilson are those of the design: 100 clean requests prove less
// than 3.7 %, and less than 1 % takes 381.
func TestTheNumbersOfWilson(t *testing.T) {
	if got := percent(wilsonUpper(100), 2); got != "3.7 %" {
		t.Errorf("100 clean requests prove less than %s, want 3.7 %%", got)
	}
	for bound, want := range map[float64]float64{0.01: 381, 0.02: 189, 0.037: 100, 0.05: 73, 0.001: 3838, 0.5: 4} {
		n := samplesFor(bound)
		if n != want || wilsonUpper(n) >= bound || wilsonUpper(n-1) < bound {
			t.Errorf("less than %v takes %v requests, want %v", bound, n, want)
		}
	}
}

// TestWilsonSolvesItsEquation: at the upper end u the observed share, 0, lies
// 1.96 standard deviations of u itself below.
func TestWilsonSolvesItsEquation(t *testing.T) {
	for _, n := range []float64{1, 30, 100, 381, 1e6} {
		u := wilsonUpper(n)
		if z := u / math.Sqrt(u*(1-u)/n); math.Abs(z-1.959964) > 1e-5 {
			t.Errorf("after %v requests u is %v, which is %v deviations off", n, u, z)
		}
	}
}
