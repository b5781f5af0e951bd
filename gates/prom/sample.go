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
	window  *trio  // nil without one
	derived bool   // the query for the age is made from the value's
	quick   string // asks for the age too, with less work, and not always with an answer
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
		if age, q.quick, q.err = freshness(n.Query, n.MaxAge); q.err != nil {
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
	var asks []ask
	for _, t := range q.trios() {
		asks = append(asks, t.all()...)
	}
	return asks
}

// trios are the queries in the order in which their errors count.
func (q questions) trios() []trio {
	switch {
	case q.err != nil:
		return nil
	case q.window != nil:
		return []trio{q.instant, *q.window}
	}
	return []trio{q.instant}
}

// sample puts the answers together.
func (q questions) sample(n gates.Need, answers map[ask]answer) gates.Sample {
	s := gates.Sample{Last: gates.Point{Time: millis(q.at), Unknown: "error"}}
	if s.Err = q.err; s.Err != nil {
		return s
	}
	for _, t := range q.trios() {
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
	for i, a := range []ask{t.value, t.samples, t.age} {
		if err := answers[a].err; err != nil {
			return failure(i, err)
		}
	}
	return nil
}

// failure says which of the queries of a trio failed.
func failure(i int, err error) error {
	switch i {
	case 1:
		return fmt.Errorf("count samples: %w", err)
	case 2:
		return fmt.Errorf("find the age of the newest sample: %w", err)
	}
	return err
}

// point is the value at one time, or why it is unknown.
func (q questions) point(n gates.Need, t trio, at int64, answers map[ask]answer) gates.Point {
	find := func(a ask) found {
		v, ok := answers[a].values[at]
		return found{asked: a != (ask{}), ok: ok, value: v}
	}
	return judge(n, q.derived, at, find(t.value), find(t.samples), find(t.age))
}

// found is what was answered for one time.
type found struct {
	asked, ok bool
	value     float64
}

// judge makes a point of what the queries of a need answered for one time.
func judge(n gates.Need, derived bool, at int64, value, samples, age found) gates.Point {
	p := gates.Point{Time: millis(at)}
	switch {
	case !value.ok:
		p.Unknown = "no series"
	case math.IsNaN(value.value):
		p.Unknown = "NaN"
	case math.IsInf(value.value, 0):
		p.Unknown = "infinite"
	}
	if p.Unknown == "" && age.asked {
		p.Unknown = stale(n, derived, age)
	}
	if p.Unknown == "" && samples.asked {
		// No series: nothing was counted. increase() makes up fractions.
		if count := samples.value; !(count >= n.SamplesMin) {
			p.Unknown = fmt.Sprintf("%s samples, need %s", whole(math.Floor(count)), whole(math.Ceil(n.SamplesMin)))
		}
	}
	if p.Unknown == "" {
		p.Value = value.value
	}
	return p
}

// stale says why the newest sample is too old, or nothing.
func stale(n gates.Need, derived bool, age found) string {
	switch {
	case !age.ok && !derived:
		return "the freshness query answers with no series"
	case !age.ok || age.value > n.MaxAge.Seconds():
		return fmt.Sprintf("newest sample is older than %s", model.Duration(n.MaxAge))
	case math.IsNaN(age.value):
		return "the age of the newest sample is NaN"
	}
	return ""
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
