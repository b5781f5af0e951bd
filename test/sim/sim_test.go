package sim

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	seeds  = flag.String("seeds", "1-40", "the seeds that are played, FROM-TO or one")
	shrink = flag.Bool("shortest", true, "look for the shortest history of a seed that fails")
)

func seedRange(t *testing.T) (from, to uint64) {
	t.Helper()
	a, b, two := strings.Cut(*seeds, "-")
	if !two {
		b = a
	}
	from, err := strconv.ParseUint(a, 10, 64)
	if err == nil {
		to, err = strconv.ParseUint(b, 10, 64)
	}
	if err != nil || to < from {
		t.Fatalf("-seeds=%s: want FROM-TO", *seeds)
	}
	return from, to
}

// TestSeeds plays seeds, and shows the shortest history of the first that breaks a
// law.
func TestSeeds(t *testing.T) {
	from, to := seedRange(t)
	begun, steps, injected := time.Now(), 0, map[string]int{}
	for seed := from; seed <= to; seed++ {
		events := eventsOf(seed)
		w := Play(seed, events)
		steps += w.Steps
		for what, n := range w.Injected {
			injected[what] += n
		}
		if len(w.broken) == 0 {
			continue
		}
		if *shrink {
			events, w = shortest(seed, events, w)
		}
		t.Fatalf("seed %d: %s\n%s\nof the events\n%sthe branch\n%s", seed, w.broken[0], strings.Join(w.history, "\n"), lines(events), w.branch())
	}
	t.Logf("%d seeds, %d steps in %s", to-from+1, steps, time.Since(begun).Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(injected)) {
		t.Logf("%6d x %s", injected[what], what)
	}
}

// branch is the branch's log, newest first.
func (w *World) branch() (out string) {
	for _, l := range w.host.log(w.host.head()) {
		at := "does not decode"
		if p := w.plan(l.hash); p != nil {
			at = p.Spec.Position.String()
		}
		out += fmt.Sprintf("  %.10s %-12s %s %s%s\n", l.hash, at, l.subject, l.rollbackOf, l.unhold)
	}
	return out
}

func lines(events []event) (out string) {
	for _, e := range events {
		out += fmt.Sprintln(" ", e)
	}
	return out
}

// shortest leaves out events, one after the other, as long as the same law is
// broken.
func shortest(seed uint64, events []event, w *World) ([]event, *World) {
	law, _, _ := strings.Cut(w.broken[0], ":")
	for again := true; again; {
		again = false
		for i := len(events) - 1; i >= 0; i-- {
			fewer := slices.Delete(slices.Clone(events), i, i+1)
			if x := Play(seed, fewer); len(x.broken) > 0 && strings.HasPrefix(x.broken[0], law+":") {
				events, w, again = fewer, x, true
			}
		}
	}
	return events, w
}

// TestASeedGivesOneHistory: it is replayed event by event.
func TestASeedGivesOneHistory(t *testing.T) {
	for seed := range uint64(5) {
		a, b := Play(seed, eventsOf(seed)), Play(seed, eventsOf(seed))
		if !slices.Equal(a.history, b.history) {
			t.Fatalf("seed %d:\n%s\n\nand then\n%s", seed, strings.Join(a.history, "\n"), strings.Join(b.history, "\n"))
		}
	}
}
