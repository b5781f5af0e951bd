package fakes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

const historyBound = 500

// Recorder is a reconciler.Recorder in memory; its zero value is empty. It is
// safe for use by several goroutines.
type Recorder struct {
	mu       sync.Mutex
	records  map[plan.Key]decide.Record
	statuses map[plan.Key]reconciler.Status
	history  map[plan.Key][]reconciler.Entry
	// fail, when set, is asked before each method with its name.
	fail func(method string) error
}

var _ reconciler.Recorder = (*Recorder)(nil)

// FailWith makes every later call ask f first, with the method's name; an error
// is returned in place of the call. A nil f ends that.
func (r *Recorder) FailWith(f func(method string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// enter locks, and asks whether the method shall fail.
func (r *Recorder) enter(method string) (leave func(), err error) {
	r.mu.Lock()
	if r.fail != nil {
		if err := r.fail(method); err != nil {
			r.mu.Unlock()
			return nil, err
		}
	}
	return r.mu.Unlock, nil
}

// Keys implements reconciler.Recorder.
func (r *Recorder) Keys(context.Context) ([]plan.Key, error) {
	leave, err := r.enter("Keys")
	if err != nil {
		return nil, err
	}
	defer leave()
	return slices.SortedFunc(maps.Keys(r.records), func(a, b plan.Key) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	}), nil
}

// Load implements reconciler.Recorder.
func (r *Recorder) Load(_ context.Context, key plan.Key) (rec decide.Record, ok bool, err error) {
	leave, err := r.enter("Load")
	if err != nil {
		return rec, false, err
	}
	defer leave()
	rec, ok = r.records[key]
	return clone(rec), ok, nil
}

// Save implements reconciler.Recorder.
func (r *Recorder) Save(_ context.Context, key plan.Key, rec decide.Record) error {
	leave, err := r.enter("Save")
	if err != nil {
		return err
	}
	defer leave()
	rec.Holds = slices.Clone(rec.Holds)
	for i := range rec.Holds {
		rec.Holds[i].Evidence = finite(rec.Holds[i].Evidence)
	}
	if rec.Pending != nil {
		p := *rec.Pending
		p.Evidence = finite(p.Evidence)
		rec.Pending = &p
	}
	put(&r.records, key, rec)
	return nil
}

// Append implements reconciler.Recorder.
func (r *Recorder) Append(_ context.Context, key plan.Key, e reconciler.Entry) error {
	leave, err := r.enter("Append")
	if err != nil {
		return err
	}
	defer leave()
	e.Evidence = finite(e.Evidence)
	h := append(r.history[key], clone(e))
	if r.history == nil {
		r.history = map[plan.Key][]reconciler.Entry{}
	}
	r.history[key] = h[max(0, len(h)-historyBound):]
	return nil
}

// History implements reconciler.Recorder.
func (r *Recorder) History(_ context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	leave, err := r.enter("History")
	if err != nil {
		return nil, err
	}
	defer leave()
	h := r.history[key]
	return clone(h[max(0, len(h)-max(0, n)):]), nil
}

// SaveStatus implements reconciler.Recorder.
func (r *Recorder) SaveStatus(_ context.Context, s reconciler.Status) error {
	leave, err := r.enter("SaveStatus")
	if err != nil {
		return err
	}
	defer leave()
	s.Gates, s.Decision.Evidence = finite(s.Gates), finite(s.Decision.Evidence)
	s.Holds, s.Pending = slices.Clone(s.Holds), clone(s.Pending)
	put(&r.statuses, s.Key, s)
	return nil
}

// LoadStatus implements reconciler.Recorder.
func (r *Recorder) LoadStatus(_ context.Context, key plan.Key) (s reconciler.Status, ok bool, err error) {
	leave, err := r.enter("LoadStatus")
	if err != nil {
		return s, false, err
	}
	defer leave()
	s, ok = r.statuses[key]
	return clone(s), ok, nil
}

func put[V any](m *map[plan.Key]V, key plan.Key, v V) {
	if *m == nil {
		*m = map[plan.Key]V{}
	}
	(*m)[key] = clone(v)
}

// clone copies by way of JSON, so that what has no place there is seen in
// tests on the fake already.
func clone[T any](v T) T {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	var c T
	if err := json.Unmarshal(b, &c); err != nil {
		panic(fmt.Sprintf("decode %T: %v", v, err))
	}
	return c
}

// finite leaves out the values that JSON cannot hold, as the real one does.
func finite(rs gates.Results) gates.Results {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Values = maps.Clone(rs[i].Values)
		maps.DeleteFunc(rs[i].Values, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	}
	return rs
}
