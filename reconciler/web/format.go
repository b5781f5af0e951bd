package web

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
)

// Age is how long ago t was, as kubectl prints it: 45s, 12m, 5h10m, 3d4h.
// A dash where t is zero.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Span(now.Sub(t))
}

// Span is a duration in the two largest units that matter. A negative one,
// from clocks that differ, is 0s.
func Span(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	day := 24 * time.Hour
	two := func(a time.Duration, an string, b time.Duration, bn string) string {
		n, m := d/a, d%a/b
		if m == 0 {
			return fmt.Sprintf("%d%s", n, an)
		}
		return fmt.Sprintf("%d%s%d%s", n, an, m, bn)
	}
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 10*time.Minute:
		return two(time.Minute, "m", time.Second, "s")
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return two(time.Hour, "h", time.Minute, "m")
	case d < 10*day:
		return two(day, "d", time.Hour, "h")
	}
	return fmt.Sprintf("%dd", d/day)
}

// FormatValues prints the values of a gate's signals, sorted by name:
// "errors=0.012, p95=0.31".
func FormatValues(values map[string]float64) string {
	parts := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name+"="+strconv.FormatFloat(values[name], 'g', 6, 64))
	}
	return strings.Join(parts, ", ")
}

// stamp is a time for people, in UTC; a dash where it is zero.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// span is a part of a sentence: a command, or words.
type span struct {
	Text string
	Code bool
}

// prose takes a sentence apart at its backticks.
func prose(s string) []span {
	var out []span
	for i, part := range strings.Split(s, "`") {
		if part != "" {
			out = append(out, span{Text: part, Code: i%2 == 1})
		}
	}
	return out
}

// Tone says how good a state or verdict is, for its colour. The word itself
// always stands beside it: no meaning hangs on the colour.
type Tone string

// The tones, best first.
const (
	Good Tone = "good"
	Calm Tone = "calm"
	Warn Tone = "warn"
	Bad  Tone = "bad"
)

// StateTone is the tone of a state.
func StateTone(s reconciler.State) Tone {
	switch s {
	case reconciler.StateSteady, reconciler.StateComplete:
		return Good
	case reconciler.StateProgressing, reconciler.StateWaiting, reconciler.StateSuspended, "":
		return Calm
	case reconciler.StateQuarantined, reconciler.StateOrphaned, reconciler.StateInvalid:
		return Warn
	default:
		return Bad
	}
}

// VerdictTone is the tone of a verdict: for pause and rollback gates true is
// what nobody wants.
func VerdictTone(r gates.Result) Tone {
	switch {
	case r.Verdict != gates.Pass && r.Verdict != gates.Fail:
		return Warn
	case (r.Verdict == gates.Pass) == alarm(r):
		return Bad
	}
	return Good
}
