package prom

import (
	"context"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/gates"
)

// maxStream bounds for how many times a Span asks one query.
const maxStream = 20_000_000

// Span is the answers to needs at every step of a time range. It is safe for
// concurrent use. What it gives is shared and must not be changed.
type Span struct {
	start, step int64 // milliseconds
	steps       int
	tick        time.Duration
	needs       []spanned
}

// Span asks what Sample would be asked at start, and at every step after it up
// to end, with as few queries as possible. The start is rounded down to the
// tick, of which step must be a multiple. An error of one query at some time is
// in the samples of that time; the error of Span says that Prometheus could not
// be asked.
func (c *Client) Span(ctx context.Context, needs []gates.Need, start, end time.Time, step time.Duration) (*Span, error) {
	if step <= 0 || step%c.tick != 0 || step%time.Millisecond != 0 {
		return nil, fmt.Errorf("sample a time range: the step %s is not a multiple of %s", step, c.tick)
	}
	if end.Before(start) {
		return nil, fmt.Errorf("sample a time range: it ends at %s, before it begins at %s", end.Format(time.RFC3339), start.Format(time.RFC3339))
	}
	s := &Span{start: start.Truncate(c.tick).UnixMilli(), step: step.Milliseconds(), tick: c.tick}
	s.steps = int(end.Sub(start)/step) + 1
	streams := streams{}
	for _, n := range needs {
		q := newQuestions(n, s.start)
		for _, t := range q.trios() {
			streams.want(s, t, q.quick)
		}
	}
	if err := streams.fetch(ctx, c, s); err != nil {
		return nil, err
	}
	for _, n := range needs {
		s.needs = append(s.needs, newSpanned(s, n, streams))
	}
	return s, nil
}

// At gives what Sample gives at that time. It is nil at a time that is not one
// of the steps.
func (s *Span) At(t time.Time) map[gates.Need]gates.Sample {
	out := make(map[gates.Need]gates.Sample, len(s.needs))
	if !s.Into(out, t) {
		return nil
	}
	return out
}

// Into is At without a new map: it sets the samples of the needs in out, and
// reports whether the time is one of the steps.
func (s *Span) Into(out map[gates.Need]gates.Sample, t time.Time) bool {
	ms := t.Truncate(s.tick).UnixMilli() - s.start
	if ms < 0 || ms%s.step != 0 || ms/s.step >= int64(s.steps) {
		return false
	}
	for i := range s.needs {
		out[s.needs[i].need] = s.needs[i].sample(int(ms / s.step))
	}
	return true
}

// spanned is the answers to one need.
type spanned struct {
	need gates.Need
	err  error // the queries cannot be made
	// rows hold the points, every period-th of them one row: each window is
	// a piece of a row. The points of the first step's window come first, of
	// which the newest is first-th; from step to step it is stride further.
	rows                  [][]gates.Point
	period, first, stride int
	window                int // points; 0: without
	// times of the points, and faults of the three queries; without faults
	// of any query both are zero.
	start, step int64
	faults      *[3]map[int64]fault
}

func newSpanned(s *Span, n gates.Need, all streams) spanned {
	q := newQuestions(n, s.start)
	out := spanned{need: n, err: q.err, start: s.start, step: s.step, period: 1, stride: 1}
	if q.err != nil {
		return out
	}
	t := q.instant
	if q.window != nil {
		// Its newest point is that of the instant queries.
		t = *q.window
		out.window = n.Points()
		out.step = gcd(s.step, t.value.step)
		out.period = int(t.value.step / out.step)
		out.stride = int(s.step / out.step)
		out.first = (out.window - 1) * out.period
		out.start = s.start - int64(out.first)*out.step
	}
	value, samples, age := all.find(s, t.value), all.find(s, t.samples), all.find(s, t.age)
	count := out.first + (s.steps-1)*out.stride + 1
	out.rows = make([][]gates.Point, out.period)
	for i := range out.rows {
		out.rows[i] = make([]gates.Point, 0, (count+out.period-1)/out.period)
	}
	for i := range count {
		at := out.start + int64(i)*out.step
		p := judge(n, q.derived, at, value.at(at), samples.at(at), age.at(at))
		out.rows[i%out.period] = append(out.rows[i%out.period], p)
	}
	faults := [3]map[int64]fault{value.failed(), samples.failed(), age.failed()}
	if len(faults[0])+len(faults[1])+len(faults[2]) > 0 {
		out.faults = &faults
	}
	return out
}

// sample is the answer at a step.
func (n *spanned) sample(step int) gates.Sample {
	i := n.first + step*n.stride
	err := n.err
	if err == nil && n.faults != nil {
		err = n.failed(i)
	}
	if err != nil {
		return gates.Sample{Last: gates.Point{Time: millis(n.start + int64(i)*n.step), Unknown: "error"}, Err: err}
	}
	row, at := n.rows[i%n.period], i/n.period
	s := gates.Sample{Last: row[at]}
	if n.window > 0 {
		s.Points = row[at-n.window+1 : at+1 : at+1]
	}
	return s
}

// failed is the error that Sample finds first at the i-th point: of the
// instant queries, then of those over the window.
func (n *spanned) failed(i int) error {
	now := n.start + int64(i)*n.step
	for q, faults := range n.faults {
		if f, ok := faults[now]; ok {
			return failure(q, f.err)
		}
	}
	for q, faults := range n.faults {
		first, found := fault{}, false
		for k := 1; k < n.window && len(faults) > 0; k++ {
			f, ok := faults[now-int64(k*n.period)*n.step]
			if ok && (!found || f.before(first)) {
				first, found = f, true
			}
		}
		if found {
			return failure(q, first.err)
		}
	}
	return nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
