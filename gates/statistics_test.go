package gates

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// TestWilsonUpperIsThePublishedOne compares with the score intervals of
// Newcombe, Statistics in Medicine 17 (1998), table I.
func TestWilsonUpperIsThePublishedOne(t *testing.T) {
	const z = 1.959964
	for _, tc := range []struct{ bad, total, want float64 }{
		{81, 263, 0.3662}, {15, 148, 0.1605}, {0, 20, 0.1611}, {1, 29, 0.1718},
	} {
		near(t, "wilsonUpper", wilsonUpper(tc.bad, tc.total, z), tc.want, 0.00005)
	}
	// Without a bad one it is zz/(total+zz).
	near(t, "of 100 clean ones", wilsonUpper(0, 100, 1.96), 3.8416/103.8416, 1e-15)
	if a, b := wilsonUpper(0, 380, 1.96), wilsonUpper(0, 381, 1.96); a < 0.01 || b >= 0.01 {
		t.Errorf("380 clean ones prove %v and 381 %v, want 381 to be the first below 0.01", a, b)
	}
	for _, args := range [][3]float64{{0, 0, 1.96}, {1, 0, 1.96}, {-1, 10, 1.96}, {1, -10, 1.96}, {1, 10, -1}, {nan, 10, 1}} {
		if got := wilsonUpper(args[0], args[1], args[2]); !math.IsNaN(got) {
			t.Errorf("wilsonUpper%v = %v, want none", args, got)
		}
	}
}

// TestWilsonUpperSolvesTheScoreEquation: the bound is the greatest share p of
// which what was seen lies no more than z deviations away.
func TestWilsonUpperSolvesTheScoreEquation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := float64(rapid.IntRange(1, 100000).Draw(rt, "total"))
		bad := math.Floor(total * rapid.Float64Range(0, 1).Draw(rt, "share"))
		z := rapid.Float64Range(0.1, 5).Draw(rt, "z")
		got := wilsonUpper(bad, total, z)
		if got < bad/total-1e-12 || got > 1 {
			rt.Fatalf("wilsonUpper(%v, %v, %v) = %v", bad, total, z, got)
		}
		if seen := math.Abs(bad/total-got) - z*math.Sqrt(got*(1-got)/total); math.Abs(seen) > 1e-7 {
			rt.Fatalf("wilsonUpper(%v, %v, %v) = %v, %v off", bad, total, z, got, seen)
		}
		if more := wilsonUpper(bad, total+1, z); bad < total && more > got {
			rt.Fatalf("another clean one raises the bound from %v to %v", got, more)
		}
	})
}

func TestQuantileInterpolates(t *testing.T) {
	for _, tc := range []struct {
		q, want float64
		values  []float64
	}{
		{0.5, 2.5, []float64{4, 1, 3, 2}}, {0.5, 2, []float64{3, 1, 2}}, {0, 1, []float64{3, 1, 2}}, {1, 3, []float64{3, 1, 2}},
		{0.95, 95.05, hundred()}, {0.9, 7, []float64{7}}, {0.25, 1.75, []float64{1, 2, 3, 4}},
	} {
		near(t, "quantile", quantile(tc.values, tc.q), tc.want, 1e-12)
	}
	for _, q := range []float64{-0.1, 1.1, nan} {
		if got := quantile([]float64{1}, q); !math.IsNaN(got) {
			t.Errorf("quantile %v = %v, want none", q, got)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the quantile of nothing is %v", got)
	}
}

func hundred() []float64 {
	out := make([]float64, 100)
	for i := range out {
		out[i] = float64(100 - i)
	}
	return out
}

func TestQuantileLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 50).Draw(rt, "values")
		before := slices.Clone(xs)
		p := rapid.Float64Range(0, 1).Draw(rt, "p")
		q := rapid.Float64Range(p, 1).Draw(rt, "q")
		low, high := quantile(xs, p), quantile(xs, q)
		if low > high+1e-6 || low < slices.Min(xs)-1e-6 || high > slices.Max(xs)+1e-6 {
			rt.Fatalf("quantiles %v and %v of %v are %v and %v", p, q, xs, low, high)
		}
		if !slices.Equal(before, xs) {
			rt.Fatal("the list was changed")
		}
	})
}

// TestMannWhitneyIsThatOfOthers compares with the examples in the manuals of
// SciPy (mannwhitneyu) and R (wilcox.test, two-sided).
func TestMannWhitneyIsThatOfOthers(t *testing.T) {
	near(t, "SciPy, exact", mannWhitney([]float64{19, 22, 16, 29, 24}, []float64{20, 11, 17, 12}), 0.1111111111111111, 1e-15)
	near(t, "SciPy, asymptotic", approximately(5, 4, 17, 0), 0.11134688653314041, 1e-15)
	near(t, "R, exact", mannWhitney(
		[]float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46},
		[]float64{1.15, 0.88, 0.90, 0.74, 1.21}), 2*0.1272, 0.0001)
	may := []float64{41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37}
	august := []float64{39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85}
	near(t, "R, ties (airquality)", mannWhitney(may, august), 0.0001208, 0.00000005)
	if got := mannWhitney(steadily(30, 5), steadily(30, 5)); got != 1 {
		t.Errorf("lists of one value differ with p = %v", got)
	}
	for n := range leastRanked {
		if got := mannWhitney(hundred()[:n], hundred()); !math.IsNaN(got) {
			t.Errorf("%d values give p = %v", n, got)
		}
	}
}

func steadily(n int, x float64) []float64 { return slices.Repeat([]float64{x}, n) }

// TestMannWhitneyCountsAllOrders counts, for every way to deal n+m different
// values, how many ways are at least as extreme.
func TestMannWhitneyCountsAllOrders(t *testing.T) {
	for n := leastRanked; n <= 7; n++ {
		for m := leastRanked; n+m <= 13; m++ {
			us := map[uint]int{} // by the set of ranks that are a's
			for set := range uint(1) << (n + m) {
				if bits.OnesCount(set) == n {
					us[set] = pairsAbove(set, n+m)
				}
			}
			for set, u := range us {
				extreme := 0
				for _, v := range us {
					if abs(2*v-n*m) >= abs(2*u-n*m) {
						extreme++
					}
				}
				a, b := deal(set, n+m)
				near(t, "mannWhitney", mannWhitney(a, b), float64(extreme)/float64(len(us)), 1e-14)
				if len(us) > 500 && t.Failed() {
					return
				}
				if len(us) > 500 { // one order of each size is enough then
					break
				}
			}
		}
	}
}

func pairsAbove(set uint, all int) (u int) {
	for i := range all {
		for j := range i {
			if set>>i&1 == 1 && set>>j&1 == 0 {
				u++
			}
		}
	}
	return u
}

func deal(set uint, all int) (a, b []float64) {
	for i := range all {
		if set>>i&1 == 1 {
			a = append(a, float64(i))
		} else {
			b = append(b, float64(i))
		}
	}
	return a, b
}

func abs(i int) int { return max(i, -i) }

func TestMannWhitneyLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.Float64Range(-100, 100)
		if rapid.Bool().Draw(rt, "ties") {
			value = rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) })
		}
		a := rapid.SliceOfN(value, leastRanked, 40).Draw(rt, "a")
		b := rapid.SliceOfN(value, leastRanked, 40).Draw(rt, "b")
		p := mannWhitney(a, b)
		if !(p > 0 && p <= 1) {
			rt.Fatalf("p = %v", p)
		}
		if back := mannWhitney(b, a); math.Abs(back-p) > 1e-12 {
			rt.Fatalf("p = %v, and %v the other way round", p, back)
		}
		twice := func(xs []float64) []float64 {
			out := slices.Clone(xs)
			for i := range out {
				out[i] *= 2
			}
			return out
		}
		if scaled := mannWhitney(twice(a), twice(b)); scaled != p {
			rt.Fatalf("p = %v, and %v of the doubled values", p, scaled)
		}
	})
}

// TestMannWhitneyApproximatesWhatItDoesNotCount: at the largest lists that are
// counted the approximation is within a hundredth.
func TestMannWhitneyApproximatesWhatItDoesNotCount(t *testing.T) {
	for shift := range 25 {
		var a, b []float64
		for i := range mostExact {
			a = append(a, float64(2*i))
			b = append(b, float64(2*i+2*shift-21))
		}
		u, ties := rank(a, b)
		if ties != 0 {
			t.Fatal("the lists have ties")
		}
		const n = mostExact
		near(t, "the approximation", approximately(n, n, max(u, n*n-u), ties), mannWhitney(a, b), 0.01)
	}
}
