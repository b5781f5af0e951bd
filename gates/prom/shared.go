package prom

import (
	"context"
	"errors"
	"sync"
)

// answer to one question. The values are by time in milliseconds and are not
// changed after the answer was given.
type answer struct {
	values map[int64]float64
	err    error
}

// shared asks every question once for all who have it, and keeps the answers
// for those who come later with a question of the same evaluation time.
type shared struct {
	query func(context.Context, ask) answer
	slots chan struct{}

	mu    sync.Mutex
	at    int64 // the evaluation time of the kept answers
	calls map[ask]*call
}

// call is one question under way or answered.
type call struct {
	done    chan struct{} // closed when answer is set
	answer  answer
	waiters int // guarded by shared.mu
	cancel  context.CancelFunc
}

func newShared(concurrency int, query func(context.Context, ask) answer) *shared {
	return &shared{query: query, slots: make(chan struct{}, concurrency), calls: map[ask]*call{}}
}

// ask returns the answer, or an error when ctx ends before there is one. A
// question that nobody waits for any more is cancelled.
func (s *shared) ask(ctx context.Context, a ask) answer {
	c := s.join(a)
	select {
	case <-c.done:
		s.leave(a, c)
		return c.answer
	default:
	}
	select {
	case <-c.done:
		s.leave(a, c)
		return c.answer
	case <-ctx.Done():
		s.leave(a, c)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return answer{err: errors.New("query Prometheus: no answer before the evaluation's deadline")}
		}
		return answer{err: errors.New("query Prometheus: the evaluation was cut off")}
	}
}

// join finds the call of a question or starts it.
func (s *shared) join(a ask) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(a.end)
	if c, ok := s.calls[a]; ok {
		c.waiters++
		return c
	}
	// Not the context of the first who asks: others may join.
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{done: make(chan struct{}), waiters: 1, cancel: cancel}
	s.calls[a] = c
	go func() {
		defer close(c.done)
		defer cancel()
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			if c.answer.err = ctx.Err(); c.answer.err == nil {
				c.answer = s.query(ctx, a)
			}
		case <-ctx.Done():
			c.answer = answer{err: ctx.Err()}
		}
	}()
	return c
}

// forget drops the answers of another evaluation time.
func (s *shared) forget(at int64) {
	if s.at == at {
		return
	}
	s.at = at
	for a, c := range s.calls {
		if c.waiters == 0 {
			delete(s.calls, a)
		}
	}
}

func (s *shared) leave(a ask, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiters--
	if c.waiters > 0 {
		return
	}
	select {
	case <-c.done:
		if a.end == s.at {
			return
		}
	default:
		c.cancel()
	}
	if s.calls[a] == c {
		delete(s.calls, a)
	}
}
