package fakes

import (
	"context"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
)

// Sampler is a reconciler.Sampler whose queries have the values that a test
// gives; a query without one has no series. It is safe for use by several
// goroutines.
type Sampler struct {
	mu     sync.Mutex
	values map[string]float64
	errs   map[string]error
}

var _ reconciler.Sampler = (*Sampler)(nil)

// Set gives a query its value from here on.
func (s *Sampler) Set(query string, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values, s.errs = map[string]float64{}, map[string]error{}
	}
	s.values[query] = v
	delete(s.errs, query)
}

// Fail gives a query an error from here on.
func (s *Sampler) Fail(query string, err error) {
	s.Set(query, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs[query] = err
}

// Sample implements reconciler.Sampler.
func (s *Sampler) Sample(_ context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[gates.Need]gates.Sample, len(needs))
	for _, n := range needs {
		p := gates.Point{Time: now, Unknown: "no series"}
		if v, ok := s.values[n.Query]; ok {
			p = gates.Point{Time: now, Value: v}
		}
		sample := gates.Sample{Last: p, Err: s.errs[n.Query]}
		if n.Window > 0 {
			for t := now.Add(-n.Window + n.Step); !t.After(now); t = t.Add(n.Step) {
				p.Time = t
				sample.Points = append(sample.Points, p)
			}
		}
		out[n] = sample
	}
	return out
}
