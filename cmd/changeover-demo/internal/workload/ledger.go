package workload

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Answer is what became of one request.
type Answer struct {
	Caller int // from 0
	Method string
	Begun  time.Time
	Side   plan.Side // from X-Changeover-Side; empty where there was none
	Code   int
	Err    error // transport error or timeout; Code and Side are zero then
}

// fault: the broken modern backend's own answer, which the gateway passed on
// as it should.
func (a Answer) fault() bool {
	return a.Err == nil && a.Side == plan.Modern && a.Code == http.StatusInternalServerError
}

// failure says what is wrong with the answer; empty where nothing is.
func (a Answer) failure() string {
	switch {
	case a.Err != nil:
		return fmt.Sprintf("%s by %s: %v", a.Method, Name(a.Caller), a.Err)
	case a.Code/100 != 2:
		return fmt.Sprintf("%s by %s: status %d from side %q", a.Method, Name(a.Caller), a.Code, a.Side)
	case a.Side != plan.Legacy && a.Side != plan.Modern:
		return fmt.Sprintf("%s by %s: no side in the answer, got %q", a.Method, Name(a.Caller), a.Side)
	}
	return ""
}

// Totals since the start.
type Totals struct {
	Requests, Legacy, Modern int
	Faults                   int      // 500s of the modern backend itself
	Failed                   int      // everything else that went wrong
	Failures                 []string // the first of them
	Returned                 int      // callers that ever went from modern back to legacy
}

// Split is who was on modern in one round.
type Split struct {
	Callers int
	Modern  []int // callers, ascending
}

// Share on modern, in percent.
func (s Split) Share() float64 { return 100 * float64(len(s.Modern)) / float64(s.Callers) }

// Tolerance is how far the measured share may be from the declared one, in
// points: buckets are spread evenly over all callers, not over any 400.
const Tolerance = 3

// Without lists the callers on modern in s that are not in other.
func (s Split) Without(other Split) []int {
	var gone []int
	for _, c := range s.Modern {
		if _, in := slices.BinarySearch(other.Modern, c); !in {
			gone = append(gone, c)
		}
	}
	return gone
}

// Ledger counts answers. It may be used from several goroutines.
type Ledger struct {
	mu      sync.Mutex
	callers []caller
	totals  Totals
}

type caller struct {
	side       plan.Side
	begun      time.Time // of the request whose answer side is
	lastModern time.Time // when the last request began that modern answered
	returned   bool
}

const failuresKept = 5

// NewLedger counts for that many callers.
func NewLedger(callers int) *Ledger { return &Ledger{callers: make([]caller, callers)} }

// Add books one answer.
func (l *Ledger) Add(a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.totals
	t.Requests++
	switch a.Side {
	case plan.Legacy:
		t.Legacy++
	case plan.Modern:
		t.Modern++
	}
	if a.fault() {
		t.Faults++
	} else if why := a.failure(); why != "" {
		t.Failed++
		if len(t.Failures) < failuresKept {
			t.Failures = append(t.Failures, why)
		}
	}
	c := &l.callers[a.Caller]
	if a.Side == plan.Modern && a.Begun.After(c.lastModern) {
		c.lastModern = a.Begun
	}
	if a.Begun.Before(c.begun) {
		return // overtaken by a later request of the same caller
	}
	if c.side == plan.Modern && a.Side == plan.Legacy && !c.returned {
		c.returned = true
		t.Returned++
	}
	if a.Err == nil {
		c.side = a.Side
	}
	c.begun = a.Begun
}

// Totals so far.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Failures = slices.Clone(t.Failures)
	return t
}

// Since tells the split by requests begun at or after t; ok is false until
// every caller had an answer to one.
func (l *Ledger) Since(t time.Time) (s Split, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Callers = len(l.callers)
	for i, c := range l.callers {
		if c.begun.Before(t) {
			return Split{}, false
		}
		if c.side == plan.Modern {
			s.Modern = append(s.Modern, i)
		}
	}
	return s, true
}

// LastModern is when the last request of any of these callers began that
// modern answered; zero where there was none.
func (l *Ledger) LastModern(callers []int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last time.Time
	for _, i := range callers {
		if t := l.callers[i].lastModern; t.After(last) {
			last = t
		}
	}
	return last
}
