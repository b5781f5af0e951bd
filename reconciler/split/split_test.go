package split_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/split"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// counted are n requests of callers with keys at serves, as a gateway would
// count them.
func counted(n int, serves plan.Percent) (c split.Counts) {
	for i := range n {
		bucket := plan.Bucket("shop", fmt.Sprint("caller-", i))
		p := &c.Keyed[split.Bin(bucket)]
		if plan.OnModern(bucket, serves) {
			p.Modern++
		} else {
			p.Legacy++
		}
	}
	return c
}

func drawn(rnd *rand.Rand, n int, serves plan.Percent) (p split.Pair) {
	for range n {
		if plan.OnModern(rnd.IntN(plan.Buckets), serves) {
			p.Modern++
		} else {
			p.Legacy++
		}
	}
	return p
}

func reading(percent plan.Percent, c split.Counts) split.Reading {
	return split.Reading{Source: "bridge", Route: "routes[0]", Percent: percent, Since: began, Counts: c}
}

func TestOneInterval(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	odd := counted(1000, 25)
	odd.Keyed[10] = split.Pair{Legacy: 3, Modern: 7} // these buckets belong on modern
	for name, c := range map[string]struct {
		percent plan.Percent
		counts  split.Counts
		off     string // empty: as declared
	}{
		"keyed":                          {25, counted(1000, 25), ""},
		"keyed, between two bins":        {12.5, counted(1000, 12.5), ""},
		"nobody called":                  {25, split.Counts{}, ""},
		"one heavy caller on modern":     {25, split.Counts{Keyed: [split.Bins]split.Pair{3: {Modern: 100_000}}}, ""},
		"keyed, a bridge behind":         {50, counted(1000, 25), "requests went to the side where their callers' buckets are not"},
		"keyed, a bridge ahead":          {25, counted(1000, 50), "where their callers' buckets are not"},
		"three requests astray":          {25, odd, "3 of "},
		"random":                         {25, split.Counts{Random: drawn(rnd, 10_000, 25)}, ""},
		"random, at the old stop":        {25, split.Counts{Random: drawn(rnd, 10_000, 10)}, "which chance does not explain"},
		"random, slightly more":          {25, split.Counts{Random: drawn(rnd, 100_000, 27)}, "which chance does not explain"},
		"too few to tell":                {25, split.Counts{Random: split.Pair{Modern: 3}}, ""},
		"one too many at 0":              {0, split.Counts{Random: split.Pair{Legacy: 1000, Modern: 1}}, "0.0999 % of 1001 requests went to modern"},
		"one too few at 100":             {100, split.Counts{Random: split.Pair{Legacy: 1, Modern: 1000}}, "99.9 % of 1001"},
		"all at 100":                     {100, counted(1000, 100), ""},
		"mixed says nothing":             {25, split.Counts{Mixed: split.Pair{Legacy: 5, Modern: 5000}}, ""},
		"mixed at 100":                   {100, split.Counts{Mixed: split.Pair{Legacy: 5, Modern: 5000}}, "99.9 % of 5005"},
		"mixed at 100, all on modern":    {100, split.Counts{Mixed: split.Pair{Modern: 5000}}, ""},
		"keyed at 0, somebody on legacy": {0, counted(1000, 0), ""},
	} {
		var w split.Watch
		got := w.Next([]split.Reading{reading(c.percent, c.counts)}, "")
		if c.off == "" && got.Off != "" || !strings.Contains(got.Off, c.off) {
			t.Errorf("%s: it says %q, want %q", name, got.Off, c.off)
		}
		if got.Mismatch() != "" {
			t.Errorf("%s: one interval is a mismatch already: %s", name, got.Mismatch())
		}
		if want := 1; c.off != "" && got.Intervals != want {
			t.Errorf("%s: %d intervals are off, want %d", name, got.Intervals, want)
		}
	}
}

func TestTwoIntervalsMakeAMismatch(t *testing.T) {
	var w split.Watch
	var sum split.Counts
	next := func(add split.Counts) *split.Report {
		for i, p := range add.Keyed {
			sum.Keyed[i].Legacy += p.Legacy
			sum.Keyed[i].Modern += p.Modern
		}
		return w.Next([]split.Reading{reading(50, sum)}, "")
	}
	for i, step := range []struct {
		serves   plan.Percent
		n        int
		mismatch bool
	}{
		{50, 500, false}, {25, 500, false}, {50, 500, false}, // one alone is none
		{25, 500, false}, {0, 0, false}, {25, 500, true}, // an interval without requests says nothing
		{0, 0, true}, {25, 500, true}, {50, 500, false},
	} {
		got := next(counted(step.n, step.serves))
		if (got.Mismatch() != "") != step.mismatch {
			t.Errorf("interval %d: mismatch %q, want %v", i, got.Mismatch(), step.mismatch)
		}
		if got.Requests.Total() != int64(step.n) {
			t.Errorf("interval %d: %d requests, want %d", i, got.Requests.Total(), step.n)
		}
	}
	// A bridge that began anew has counted less than before.
	r := reading(50, counted(300, 50))
	r.Since = began.Add(time.Hour)
	if got := w.Next([]split.Reading{r}, ""); got.Off != "" || got.Requests.Total() != 300 {
		t.Errorf("after a restart: %+v", got)
	}
}

// Few random requests add up until chance can be told from a mistake.
func TestRandomRequestsAddUp(t *testing.T) {
	var w split.Watch
	var sum split.Counts
	off := 0
	for range 20 {
		sum.Random.Legacy += 10 // and none to modern, of which half are wanted
		if got := w.Next([]split.Reading{reading(50, sum)}, ""); got.Off != "" {
			off++
		}
	}
	if off == 0 {
		t.Error("200 of 200 on legacy were taken for chance")
	}
}

// Whatever is declared and however few or many call: what a gateway serves as
// declared is never called a mismatch for keyed callers, and rarely for random
// ones; what serves another percentage is found.
func TestLawsOfTheSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := plan.Percent(rapid.IntRange(0, 1000).Draw(t, "permille")) / 10
		n := rapid.IntRange(0, 2000).Draw(t, "n")
		var w split.Watch
		if got := w.Next([]split.Reading{reading(percent, counted(n, percent))}, ""); got.Off != "" {
			t.Fatalf("at %s %%, %d callers: %s", percent, n, got.Off)
		}
		other := plan.Percent(rapid.IntRange(0, 100).Draw(t, "other"))
		if d := float64(other - percent); d > 3 || d < -3 {
			var w split.Watch
			if got := w.Next([]split.Reading{reading(percent, counted(5000, other))}, ""); got.Off == "" || got.Contradicting == 0 {
				t.Fatalf("declared %s %%, served %s %%, and nothing was said", percent, other)
			}
		}
	})
}

func TestChanceIsSeldomTakenForAMistake(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	const tries = 2000
	single, double := 0, 0
	for range tries {
		var w split.Watch
		var sum split.Counts
		for range split.Told {
			p := drawn(rnd, 500, 25)
			sum.Random.Legacy += p.Legacy
			sum.Random.Modern += p.Modern
			got := w.Next([]split.Reading{reading(25, sum)}, "")
			if got.Off != "" {
				single++
			}
			if got.Mismatch() != "" {
				double++
			}
		}
	}
	if single > 2*tries/100 || double > 0 {
		t.Errorf("of %d plans that split as declared, %d intervals and %d plans were called off", tries, single, double)
	}
}
