package prom

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// slowPoints is for how many times a query is asked again in smaller parts
// when it took too long; a gate with `for` asks for as many at once.
const slowPoints = 1000

// agePoints is for how many times the age of samples is asked at once: for each
// of them timestamp() looks through all that a query spans, so that few queries
// would be slower by far.
const agePoints = 500

// streams are what a Span asks, by query. One that is asked at times which do
// not fit each other has several.
type streams map[string][]*stream

// stream is the answers of one query, at every step of a grid that holds all
// times for which some need asks it.
type stream struct {
	query string
	// quick is asked first where it is set; the query then where quick has
	// no answer.
	quick       string
	age         bool
	start, step int64
	values      []float64
	known       []bool

	mu     sync.Mutex
	faults map[int64]fault
}

// want makes the grids hold the times of three queries at every step.
func (ss streams) want(s *Span, t trio, quickAge string) {
	for _, a := range t.all() {
		step := gcd(s.step, a.step)
		st := ss.fitting(a.query, func(st *stream) bool { return step%st.step == 0 || st.step%step == 0 })
		if st == nil {
			st = &stream{query: a.query, start: s.start, step: step}
			ss[a.query] = append(ss[a.query], st)
		}
		st.start, st.step = min(st.start, a.start), min(st.step, step)
		if a == t.age {
			st.quick, st.age = quickAge, true
		}
	}
}

// find is the stream that holds the times of a question; nil where there is
// no question.
func (ss streams) find(s *Span, a ask) *stream {
	step := gcd(s.step, a.step)
	return ss.fitting(a.query, func(st *stream) bool { return step%st.step == 0 && st.start <= a.start })
}

func (ss streams) fitting(query string, fits func(*stream) bool) *stream {
	for _, st := range ss[query] {
		if fits(st) {
			return st
		}
	}
	return nil
}

func (ss streams) all() iter.Seq[*stream] {
	return func(yield func(*stream) bool) {
		for _, sts := range ss {
			for _, st := range sts {
				if !yield(st) {
					return
				}
			}
		}
	}
}

func (st *stream) at(t int64) found {
	if st == nil {
		return found{}
	}
	i := (t - st.start) / st.step
	return found{asked: true, ok: st.known[i], value: st.values[i]}
}

func (st *stream) failed() map[int64]fault {
	if st == nil {
		return nil
	}
	return st.faults
}

// part of a stream: the points from one up to another.
type part struct {
	*stream
	from, to int
}

// fetch asks everything, in parts that Prometheus takes, and as many at once as
// the client may.
func (ss streams) fetch(ctx context.Context, c *Client, s *Span) error {
	var parts []part
	end := s.start + int64(s.steps-1)*s.step
	for st := range ss.all() {
		n := (end-st.start)/st.step + 1
		if n > maxStream {
			return fmt.Errorf("sample a time range: the steps of windows and of the range fit each other only every %s, which is %d points for one query; take a shorter range or a step of whole minutes",
				time.Duration(st.step)*time.Millisecond, n)
		}
		st.values, st.known = make([]float64, n), make([]bool, n)
		most := MaxPoints
		if st.age {
			most = agePoints
		}
		for from := 0; from < int(n); from += most {
			parts = append(parts, part{st, from, min(from+most, int(n))})
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() {
			if err := p.fetch(ctx, c); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("sample a time range: %w", err)
	}
	return nil
}

// fetch asks for the points of a part.
func (p part) fetch(ctx context.Context, c *Client) error {
	if p.quick == "" {
		return p.fetchAll(ctx, c)
	}
	m, err := c.matrixInTurn(ctx, ask{p.quick, p.time(p.from), p.time(p.to - 1), p.step})
	switch {
	case errors.Is(err, ErrEvaluation), errors.Is(err, ErrRefused), errors.Is(err, errSlow):
		return p.fetchAll(ctx, c)
	case err != nil:
		return err
	}
	if len(walk(m, p.set)) > 0 {
		return p.fetchAll(ctx, c)
	}
	for _, missing := range p.missing() {
		if err := missing.fetchAll(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// fewPoints are asked again rather than in two queries.
const fewPoints = 200

// missing are the parts that have no answer yet.
func (p part) missing() (out []part) {
	for i := p.from; i < p.to; i++ {
		if p.known[i] {
			continue
		}
		if n := len(out); n > 0 && i-out[n-1].to < fewPoints {
			out[n-1].to = i + 1
			continue
		}
		out = append(out, part{p.stream, i, i + 1})
	}
	return out
}

// fetchAll asks the query itself. Where its evaluation fails it asks for the
// halves, until it knows at which times it fails.
func (p part) fetchAll(ctx context.Context, c *Client) error {
	m, err := c.matrixInTurn(ctx, ask{p.query, p.time(p.from), p.time(p.to - 1), p.step})
	n := p.to - p.from
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrEvaluation) && n > 1, errors.Is(err, errSlow) && n > slowPoints:
		middle := p.from + n/2
		if err := (part{p.stream, p.from, middle}).fetchAll(ctx, c); err != nil {
			return err
		}
		return part{p.stream, middle, p.to}.fetchAll(ctx, c)
	case errors.Is(err, ErrEvaluation), errors.Is(err, ErrRefused):
		for i := p.from; i < p.to; i++ {
			p.fail(fault{at: p.time(i), err: err})
		}
		return nil
	case err != nil:
		return err
	}
	for _, f := range walk(m, p.set) {
		f.err = fmt.Errorf("query Prometheus: %w", f.err)
		p.fail(f)
	}
	return nil
}

func (st *stream) time(i int) int64 { return st.start + int64(i)*st.step }

// set keeps one value. Parts that are fetched at once have other points.
func (p part) set(t int64, v float64) {
	if i := int((t - p.start) / p.stream.step); i >= p.from && i < p.to {
		p.values[i], p.known[i] = v, true
	}
}

func (st *stream) fail(f fault) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.faults == nil {
		st.faults = map[int64]fault{}
	}
	st.faults[f.at] = f
}
