package prom

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/gates"
)

// Sample answers every need as of now, rounded down to the tick. What could
// not be asked before ctx ends has an error in its sample. A query that occurs
// in several needs, or in needs of another call within the same tick, is asked
// once.
func (c *Client) Sample(ctx context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	at := now.Truncate(c.tick).UnixMilli()
	plans := make(map[gates.Need]questions, len(needs))
	asks := map[ask]struct{}{}
	for _, n := range needs {
		q := newQuestions(n, at)
		plans[n] = q
		for _, a := range q.all() {
			asks[a] = struct{}{}
		}
	}
	answers := c.askAll(ctx, asks)
	out := make(map[gates.Need]gates.Sample, len(plans))
	for n, q := range plans {
		out[n] = q.sample(n, answers)
	}
	return out
}

func (c *Client) askAll(ctx context.Context, asks map[ask]struct{}) map[ask]answer {
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := make(map[ask]answer, len(asks))
	for a := range asks {
		wg.Go(func() {
			got := c.shared.ask(ctx, a)
			mu.Lock()
			defer mu.Unlock()
			answers[a] = got
		})
	}
	wg.Wait()
	return answers
}

// questions are what one need asks.
type questions struct {
	at      int64
	err     error // the queries cannot be made
	instant trio
	window  *trio // nil without one
	derived bool  // the query for the age is made from the value's
}

// trio is the three queries behind one value. Samples and age are the zero ask
// where the need has none.
type trio struct{ value, samples, age ask }

func (t trio) all() []ask {
	asks := []ask{t.value}
	for _, a := range []ask{t.samples, t.age} {
		if a != (ask{}) {
			asks = append(asks, a)
		}
	}
	return asks
}

func newQuestions(n gates.Need, at int64) questions {
	q := questions{at: at}
	age := n.Freshness
	if age == "" && n.MaxAge > 0 {
		q.derived = true
		if age, q.err = freshness(n.Query, n.MaxAge); q.err != nil {
			return q
		}
	}
	make3 := func(start, step int64) trio {
		t := trio{value: ask{n.Query, start, at, step}}
		if n.SamplesQuery != "" {
			t.samples = ask{n.SamplesQuery, start, at, step}
		}
		if age != "" {
			t.age = ask{age, start, at, step}
		}
		return t
	}
	q.instant = make3(at, 0)
	if points := n.Points(); points > 0 {
		step := n.Step.Milliseconds()
		w := make3(at-int64(points-1)*step, step)
		q.window = &w
	}
	return q
}

func (q questions) all() []ask {
	if q.err != nil {
		return nil
	}
	asks := q.instant.all()
	if q.window != nil {
		asks = append(asks, q.window.all()...)
	}
	return asks
}

// sample puts the answers together.
func (q questions) sample(n gates.Need, answers map[ask]answer) gates.Sample {
	s := gates.Sample{Last: gates.Point{Time: time.UnixMilli(q.at).UTC(), Unknown: "error"}}
	if s.Err = q.err; s.Err != nil {
		return s
	}
	asks := []trio{q.instant}
	if q.window != nil {
		asks = append(asks, *q.window)
	}
	for _, t := range asks {
		if s.Err = t.failed(answers); s.Err != nil {
			return s
		}
	}
	s.Last = q.point(n, q.instant, q.at, answers)
	if q.window != nil {
		for t := q.window.value.start; t <= q.at; t += q.window.value.step {
			s.Points = append(s.Points, q.point(n, *q.window, t, answers))
		}
	}
	return s
}

func (t trio) failed(answers map[ask]answer) error {
	if err := answers[t.value].err; err != nil {
		return err
	}
	if err := answers[t.samples].err; err != nil {
		return fmt.Errorf("count samples: %w", err)
	}
	if err := answers[t.age].err; err != nil {
		return fmt.Errorf("find the age of the newest sample: %w", err)
	}
	return nil
}

// point is the value at one time, or why it is unknown.
func (q questions) point(n gates.Need, t trio, at int64, answers map[ask]answer) gates.Point {
	p := gates.Point{Time: time.UnixMilli(at).UTC()}
	value, ok := answers[t.value].values[at]
	switch {
	case !ok:
		p.Unknown = "no series"
	case math.IsNaN(value):
		p.Unknown = "NaN"
	case math.IsInf(value, 0):
		p.Unknown = "infinite"
	}
	if p.Unknown == "" && t.age != (ask{}) {
		p.Unknown = q.stale(n, answers[t.age].values, at)
	}
	if p.Unknown == "" && t.samples != (ask{}) {
		// No series: nothing was counted. increase() makes up fractions.
		if count := answers[t.samples].values[at]; !(count >= n.SamplesMin) {
			p.Unknown = fmt.Sprintf("%s samples, need %s", whole(math.Floor(count)), whole(math.Ceil(n.SamplesMin)))
		}
	}
	if p.Unknown == "" {
		p.Value = value
	}
	return p
}

// stale says why the newest sample is too old, or nothing.
func (q questions) stale(n gates.Need, ages map[int64]float64, at int64) string {
	age, ok := ages[at]
	switch {
	case !ok && !q.derived:
		return "the freshness query answers with no series"
	case !ok || age > n.MaxAge.Seconds():
		return fmt.Sprintf("newest sample is older than %s", model.Duration(n.MaxAge))
	case math.IsNaN(age):
		return "the age of the newest sample is NaN"
	}
	return ""
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
