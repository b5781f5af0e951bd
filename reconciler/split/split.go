package split

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Bins is how many parts the buckets are counted by: one for each percent.
const Bins = 100

const perBin = plan.Buckets / Bins

// Bin is the part in which a bucket is counted.
func Bin(bucket int) int { return bucket / perBin }

// Pair is a number of requests of either side.
type Pair struct {
	Legacy int64 `json:"legacy"`
	Modern int64 `json:"modern"`
}

// Total is both sides together.
func (p Pair) Total() int64 { return p.Legacy + p.Modern }

func (p Pair) minus(o Pair) Pair { return Pair{p.Legacy - o.Legacy, p.Modern - o.Modern} }
func (p Pair) plus(o Pair) Pair  { return Pair{p.Legacy + o.Legacy, p.Modern + o.Modern} }

// Counts are the requests of one route that were split.
type Counts struct {
	// Keyed are those of callers with a bucket, by Bin.
	Keyed [Bins]Pair `json:"keyed"`
	// Random are those of callers without a key.
	Random Pair `json:"random"`
	// Mixed are those of which nothing tells whether their callers have a key.
	Mixed Pair `json:"mixed,omitzero"`
}

func (c Counts) minus(o Counts) Counts {
	out := Counts{Random: c.Random.minus(o.Random), Mixed: c.Mixed.minus(o.Mixed)}
	for i := range c.Keyed {
		out.Keyed[i] = c.Keyed[i].minus(o.Keyed[i])
	}
	return out
}

// total is every request.
func (c Counts) total() Pair {
	sum := c.Random.plus(c.Mixed)
	for _, p := range c.Keyed {
		sum = sum.plus(p)
	}
	return sum
}

// Reading is what one source has counted of one route since a time.
type Reading struct {
	// Source is who counted: a bridge's address, or that it was signals.
	Source string
	// Route is the route's name for people, such as routes[2].
	Route string
	// Percent of the callers that belong on modern.
	Percent plan.Percent
	// Since is when the counting began. Two readings with the same one go on.
	Since time.Time
	Counts
}

// Off says what is wrong with the counts, and how many requests contradict;
// empty where nothing is. enough is false where there were too few random
// requests to tell, and the counting should go on.
func off(percent plan.Percent, c Counts) (why string, contradicting int64, enough bool) {
	cut := int(math.Round(float64(percent) * plan.Buckets / 100))
	var keyed Pair
	for i, p := range c.Keyed {
		keyed = keyed.plus(p)
		if (i+1)*perBin <= cut {
			contradicting += p.Legacy
		}
		if i*perBin >= cut {
			contradicting += p.Modern
		}
	}
	var parts []string
	if contradicting > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d requests went to the side where their callers' buckets are not", contradicting, keyed.Total()))
	}
	chance := c.Random
	if percent == 0 || percent == 100 {
		chance = chance.plus(c.Mixed)
	}
	far, enough := beyondChance(percent, chance)
	if far {
		parts = append(parts, fmt.Sprintf("%s of %d requests went to modern, which chance does not explain", share(chance), chance.Total()))
	}
	return strings.Join(parts, "; "), contradicting, enough
}

// beyondChance reports a share that is more than three standard deviations from
// the declared one. With a variance below nine, chance has not the form of which
// that can be said: there are too few requests to tell.
func beyondChance(percent plan.Percent, p Pair) (far, enough bool) {
	n, want := float64(p.Total()), float64(percent)/100
	if want <= 0 || want >= 1 {
		return want <= 0 && p.Modern > 0 || want >= 1 && p.Legacy > 0, true
	}
	variance := n * want * (1 - want)
	if variance < 9 {
		return false, false
	}
	return math.Abs(float64(p.Modern)-n*want) > 3*math.Sqrt(variance), true
}

// share is modern's, in percent, for people.
func share(p Pair) string {
	return fmt.Sprintf("%.4g %%", 100*float64(p.Modern)/float64(p.Total()))
}
