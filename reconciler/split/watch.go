package split

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Told is after how many intervals in a row that are off a person is told.
const Told = 2

// Report is how requests were split in the newest interval.
type Report struct {
	// Declared are the percentages of the split routes, each once.
	Declared []plan.Percent `json:"declared,omitempty"`
	// Requests of the interval.
	Requests Pair `json:"requests"`
	// Contradicting is how many requests were on the side where their callers'
	// buckets are not.
	Contradicting int64 `json:"contradicting,omitempty"`
	// Off says what is not as declared; empty where all is.
	Off string `json:"off,omitempty"`
	// Intervals that were off in a row.
	Intervals int `json:"intervals,omitempty"`
	// Last is what the last of these said, which an interval without requests
	// does not refute.
	Last string `json:"last,omitempty"`
	// Unread says why a source could not be read; empty where all were.
	Unread string `json:"unread,omitempty"`
}

// Mismatch says what is wrong with the split, once it was so for Told intervals
// in a row and until one is judged as declared; empty where it is not.
func (r *Report) Mismatch() string {
	if r == nil || r.Intervals < Told {
		return ""
	}
	return r.Last
}

// String is one line for people.
func (r *Report) String() string {
	if r == nil {
		return ""
	}
	var declared []string
	for _, p := range r.Declared {
		declared = append(declared, p.String()+" %")
	}
	text := "declared " + strings.Join(declared, ", ")
	if r.Requests.Total() == 0 {
		text += ", no requests"
	} else {
		text += fmt.Sprintf(", observed %s of %d requests", share(r.Requests), r.Requests.Total())
	}
	if r.Off != "" {
		text += "; " + r.Off
	}
	if r.Unread != "" {
		text += "; " + r.Unread
	}
	return text
}

type source struct{ source, route string }

// base is what a source had counted when an interval began. What came by chance
// has an interval of its own, which goes on until it is long enough to tell.
type base struct {
	since         time.Time
	whole, chance Counts
}

// Watch keeps intervals: each is what was counted between two calls of Next. The
// zero Watch is ready. It is for one goroutine.
type Watch struct {
	bases     map[source]base
	intervals int
	last      string
}

// Next ends an interval. Sources that could not be read are named in unread. An
// interval in which nothing could be judged neither adds to those that were off
// nor ends them.
func (w *Watch) Next(readings []Reading, unread string) *Report {
	out := &Report{Unread: unread}
	if w.bases == nil {
		w.bases = map[source]base{}
	}
	judged := false
	var parts []string
	for _, r := range readings {
		if !slices.Contains(out.Declared, r.Percent) {
			out.Declared = append(out.Declared, r.Percent)
		}
		id := source{r.Source, r.Route}
		b, ok := w.bases[id]
		if !ok || !b.since.Equal(r.Since) {
			b = base{since: r.Since}
		}
		newest := r.minus(b.whole)
		out.Requests = out.Requests.plus(newest.total())
		newest.Random = r.Random.minus(b.chance.Random)
		why, contradicting, enough := off(r.Percent, newest)
		out.Contradicting += contradicting
		judged = judged || why != "" || newest.Random.Total() > 0 && enough || newest.total().Total() > newest.Random.Total()
		if why != "" {
			parts = append(parts, fmt.Sprintf("%s by %s: %s", r.Route, r.Source, why))
		}
		b.whole = r.Counts
		if enough {
			b.chance = r.Counts
		}
		w.bases[id] = b
	}
	if len(w.bases) > 64+4*len(readings) { // of sources that are gone
		maps.DeleteFunc(w.bases, func(id source, _ base) bool {
			return !slices.ContainsFunc(readings, func(r Reading) bool { return id == source{r.Source, r.Route} })
		})
	}
	slices.Sort(out.Declared)
	out.Off = strings.Join(parts, "; ")
	switch {
	case out.Off != "":
		w.intervals, w.last = w.intervals+1, out.Off
	case judged:
		w.intervals, w.last = 0, ""
	}
	out.Intervals, out.Last = w.intervals, w.last
	return out
}
