package gates

import (
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// window is what a gate's expression was over the points of its `for`.
//
// The points of a window of length d are now and every step before it, back to
// the first that is at least d before now: the first of a stretch of d and its
// last count both, as for an alert of Prometheus, which fires d after it became
// pending. `for` is true where the expression is true at every known point and
// at least 90 % of the points are known. A point that does not count (before
// the entry of an advance gate's stop, or not fresh) is neither true nor false.
type window struct {
	points int // in the whole window
	counts int // of them, those that count
	stale  int // of them, those of before a way back
	pass   int
	fail   int
	errs   int
	err    error // the newest
	// entered is set where the window reaches back before the stop's entry.
	entered bool
	// unknown is why the newest unknown point is unknown.
	unknown string
}

// window evaluates the expression at every point that counts.
func (e *evaluation) window() window {
	g := e.gate
	now := e.now()
	n := int(g.span/g.step) + 1
	w := window{points: n}
	after, bounded := e.freshAfter()
	var since time.Time
	if e.effect == plan.Advance {
		since = e.request.Since
		w.entered = now.Sub(since) < g.span
	}
	slots := e.slots(now, n)
	// The newest point is last, so that its reason is the one that stays.
	for k := n - 1; k >= 0; k-- {
		t := now.Add(-time.Duration(k) * g.step)
		if bounded && !t.After(after) {
			w.stale++
			continue
		}
		if t.Before(since) {
			continue
		}
		w.counts++
		w.add(e, slots, k)
	}
	return w
}

func (w *window) add(e *evaluation, slots []Point, k int) {
	i := -1
	v, err := e.at(func(*reading) Point {
		i++
		return slots[k*len(e.readings)+i]
	})
	switch v {
	case Pass:
		w.pass++
	case Fail:
		w.fail++
	case Error:
		w.errs++
		w.err = err
	case NoData:
		for i := range e.readings {
			if u := slots[k*len(e.readings)+i].Unknown; u != "" && e.readings[i].sample.Err == nil {
				w.unknown = fmt.Sprintf("%s: %s", e.readings[i].label(), u)
			}
		}
	}
}

// slots lays the points of all signals on the window's steps: those of step k
// before now stand from k*len(readings). A point belongs to the nearest step.
func (e *evaluation) slots(now time.Time, n int) []Point {
	width := len(e.readings)
	slots := make([]Point, n*width)
	for i := range slots {
		slots[i].Unknown = "no point"
	}
	for i := range e.readings {
		r := &e.readings[i]
		if r.sample.Err != nil {
			continue
		}
		for _, p := range r.sample.Points {
			back := now.Sub(p.Time) + e.gate.step/2
			if back < 0 || back/e.gate.step >= time.Duration(n) {
				continue
			}
			slots[int(back/e.gate.step)*width+i] = known(p)
		}
	}
	return slots
}

// knownEnough reports whether at least 90 % of n points are known.
func (w *window) knownEnough(n int) bool { return n > 0 && (w.pass+w.fail)*10 >= n*9 }

func (w *window) verdict(e *evaluation) Verdict {
	switch {
	case w.fail > 0:
		return Fail
	case w.entered && !e.failed() && (w.counts == 0 || w.knownEnough(w.counts)):
		return Fail
	case !w.entered && w.knownEnough(w.points):
		return Pass
	case w.errs > 0 || e.failed():
		return Error
	}
	return NoData
}

// failed reports whether a signal could not be asked at all.
func (e *evaluation) failed() bool {
	for i := range e.readings {
		if e.readings[i].sample.Err != nil {
			return true
		}
	}
	return false
}

func (w *window) detail(e *evaluation, v Verdict) string {
	d := e.gate.For
	known := w.pass + w.fail
	switch {
	case w.fail > 0:
		return fmt.Sprintf("false at %d of %d known points of the last %s", w.fail, known, d)
	case v == Pass:
		return fmt.Sprintf("true at all of %d known points of the last %s", known, d)
	case v == Fail:
		return fmt.Sprintf("true since the stop was entered; needs %s", d)
	case w.errs > 0 && w.err != nil:
		return fmt.Sprintf("could not be evaluated at %d of %d points of the last %s: %v", w.errs, w.points, d, w.err)
	case w.unknown != "":
		return fmt.Sprintf("%d of %d points of the last %s are known (%s)", known, w.points, d, w.unknown)
	}
	return fmt.Sprintf("%d of %d points of the last %s are known", known, w.points, d)
}
