package gates

import (
	"math"
	"slices"
)

var nan = math.NaN()

// wilsonUpper is the upper bound of the Wilson score interval for a share of
// which bad of total were seen: with z = 1.96 the true share lies below it with
// a probability of 97.5 %. NaN where there is no total, or a number is negative.
// Counts that a rate made up may be fractions, and bad a little above total.
func wilsonUpper(bad, total, z float64) float64 {
	if !(total > 0) || !(bad >= 0) || !(z >= 0) {
		return nan
	}
	p, zz := min(bad/total, 1), z*z
	return min((p+zz/(2*total)+z*math.Sqrt(p*(1-p)/total+zz/(4*total*total)))/(1+zz/total), 1)
}

// quantile is that of Prometheus: linear between the two values around the
// rank. NaN of no values, and for a q that is not from 0 to 1.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 || !(q >= 0 && q <= 1) {
		return nan
	}
	xs := slices.Sorted(slices.Values(values))
	rank := q * float64(len(xs)-1)
	low := int(math.Floor(rank))
	high := min(low+1, len(xs)-1)
	weight := rank - float64(low)
	return xs[low]*(1-weight) + xs[high]*weight
}

const (
	// leastRanked is the fewest values of one side that are compared: of three
	// and three even the most different have a p-value of 0.1, so that a gate
	// which asks for less could not tell.
	leastRanked = 4
	// mostExact is the most values of one side for which all orders are
	// counted.
	mostExact = 20
)

// mannWhitney is the two-sided p-value of the Mann-Whitney U test: how likely
// lists that differ as much as these are where both come from one
// distribution. Where both have at most mostExact values and no value occurs
// twice all orders are counted, else it is the normal approximation with the
// corrections for ties and for continuity. NaN where a list has less than
// leastRanked values.
func mannWhitney(a, b []float64) float64 {
	if len(a) < leastRanked || len(b) < leastRanked {
		return nan
	}
	u, ties := rank(a, b)
	n, m := float64(len(a)), float64(len(b))
	u = max(u, n*m-u)
	if ties == 0 && len(a) <= mostExact && len(b) <= mostExact {
		return exactly(len(a), len(b), int(u))
	}
	return approximately(n, m, u, ties)
}

// approximately is the two-sided p-value of u, the larger of the two, by the
// normal distribution.
func approximately(n, m, u, ties float64) float64 {
	all := n + m
	deviation := math.Sqrt(n * m / 12 * (all + 1 - ties/(all*(all-1))))
	z := u - n*m/2 - 0.5
	if deviation == 0 || z <= 0 {
		return 1 // all values are one, or nothing differs
	}
	return min(math.Erfc(z/deviation/math.Sqrt2), 1)
}

// rank returns how many pairs have the value of a above that of b, a tie being
// half of one, and the sum of t^3-t over the runs of t equal values.
func rank(a, b []float64) (u, ties float64) {
	type value struct {
		x   float64
		ofA bool
	}
	all := make([]value, 0, len(a)+len(b))
	for _, x := range a {
		all = append(all, value{x, true})
	}
	for _, x := range b {
		all = append(all, value{x, false})
	}
	slices.SortFunc(all, func(v, w value) int {
		switch {
		case v.x < w.x:
			return -1
		case v.x > w.x:
			return 1
		}
		return 0
	})
	for i := 0; i < len(all); {
		j, ofA := i, 0
		for ; j < len(all) && all[j].x == all[i].x; j++ {
			if all[j].ofA {
				ofA++
			}
		}
		t := float64(j - i)
		ties += t*t*t - t
		u += float64(ofA) * float64(i+1+j) / 2 // the mean rank of the run
		i = j
	}
	n := float64(len(a))
	return u - n*(n+1)/2, ties
}

// exactly is the two-sided p-value of u, the larger of the two, by counting the
// orders of n and m values. The counts are the coefficients of the Gaussian
// binomial: whole numbers, of which the largest sum here is 40 over 20.
func exactly(n, m, u int) float64 {
	counts := make([]int64, n*m+1)
	counts[0] = 1
	for i := 1; i <= n; i++ {
		// times 1-q^(m+i), then divided by 1-q^i
		for k := n * m; k >= m+i; k-- {
			counts[k] -= counts[k-m-i]
		}
		for k := i; k <= n*m; k++ {
			counts[k] += counts[k-i]
		}
	}
	var extreme, all int64
	for k, c := range counts {
		all += c
		if k >= u {
			extreme += c
		}
	}
	return min(2*float64(extreme)/float64(all), 1)
}
