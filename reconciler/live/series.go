package live

import (
	"math"
	"time"

	"github.com/changeover-dev/changeover/gates"
)

// Bounds of what is kept, told in the package's documentation.
const (
	maxPoints = 128
	maxRuns   = 32
	maxValues = 64
	maxGates  = 128
	maxClient = 64
)

// window is how far back points reach at most.
const window = 6 * time.Hour

// Point is a value at a time. NaN: it was not known then.
type Point struct {
	At    int64 // Unix time in milliseconds
	Value float64
}

// Series are the points of one value, oldest first.
type Series []Point

// add appends a point. A full series loses every other of its points, so that it
// reaches back twice as far, until it reaches back for the whole window; then it
// loses the oldest.
func (s Series) add(p Point) Series {
	if n := len(s); n > 0 && p.At <= s[n-1].At {
		return s
	}
	for len(s) > 0 && p.At-s[0].At > window.Milliseconds() {
		s = append(s[:0], s[1:]...)
	}
	if n := len(s); n > 1 && math.IsNaN(p.Value) && math.IsNaN(s[n-1].Value) && math.IsNaN(s[n-2].Value) {
		s[n-1].At = p.At // a gap has two ends
		return s
	}
	if len(s) < maxPoints {
		return append(s, p)
	}
	kept := s[:0]
	for i, old := range s {
		if i%2 == 0 {
			kept = append(kept, old)
		}
	}
	return append(kept, p)
}

// Run is a verdict and since when a gate has it.
type Run struct {
	At      int64 // Unix time in milliseconds
	Verdict gates.Verdict
}

// runs are the verdicts of one gate, oldest first; no two neighbours are equal.
type runs []Run

func (r runs) add(at int64, v gates.Verdict) runs {
	if n := len(r); n > 0 && r[n-1].Verdict == v {
		return r
	}
	if len(r) == maxRuns {
		r = append(r[:0], r[1:]...)
	}
	return append(r, Run{at, v})
}
