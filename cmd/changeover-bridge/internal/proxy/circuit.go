package proxy

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/changeover-dev/changeover/plan"
)

// opensAfter is how many requests in a row must get no answer from a side until
// its circuit is called open.
const opensAfter = 5

// circuit reports a side that does not answer. It moves no traffic: where requests
// go is Git's to say, and gates see the same failures. Every request is tried.
type circuit struct {
	inRow atomic.Int64
	// open changes under mu, so that metric and log tell the last change last.
	open atomic.Bool
	mu   sync.Mutex
}

// failed takes in a request without an answer.
func (c *circuit) failed(s *side, log *slog.Logger) {
	if c.inRow.Add(1) < opensAfter || c.open.Load() {
		return
	}
	c.turn(true, s, log)
}

// answered takes in an answer, whatever it says.
func (c *circuit) answered(s *side, log *slog.Logger) {
	if c.inRow.Load() == 0 {
		return // the common case costs one load
	}
	c.inRow.Store(0)
	if c.open.Load() {
		c.turn(false, s, log)
	}
}

func (c *circuit) turn(open bool, s *side, log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Load() == open {
		return
	}
	c.open.Store(open)
	s.show()
	if open {
		log.Warn("the circuit is open: a side does not answer; no traffic is moved by that", "side", string(s.side), "requests", c.inRow.Load())
	} else {
		log.Info("the circuit is closed: the side answers again", "side", string(s.side))
	}
}

// show sets the metric of the side to what its backend is.
func (s *side) show() {
	s.circuitOpen.Set(0)
	if s.circuit.open.Load() {
		s.circuitOpen.Set(1)
	}
}

// Failing are the sides of the config that is served which do not answer.
func (h *Handler) Failing() (out []plan.Side) {
	s := h.serving.Load()
	if s == nil {
		return nil
	}
	for _, name := range []plan.Side{plan.Legacy, plan.Modern} {
		if s.sides[name].circuit.open.Load() {
			out = append(out, name)
		}
	}
	return out
}
