package shadow

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Bounds of what is kept.
const (
	maxEndpoints = 500 // of all routes
	maxFields    = 100 // of an endpoint
	maxGroups    = 200 // of an endpoint
	maxSamples   = 3   // of a field
	maxName      = 200 // of a field, in bytes
	maxNotes     = 20  // of an endpoint
)

// Recorder compares the answers to the requests of one route, and keeps what came of
// it. It is safe for use by several goroutines.
type Recorder struct {
	comparison plan.Comparison
	percent    float64
	compare    *compare.Comparer
	baseline   *compare.Comparer // nil: legacy is not asked twice
	templates  templates
	since      time.Time
	most       int // endpoints

	mu        sync.Mutex
	endpoints map[name]*endpoint
	order     []*endpoint
	hits      []int64 // by rule
	told      counts  // what metrics have told, which never falls
}

// name of an endpoint.
type name struct{ method, path string }

// New makes the Recorder of one of so many routes. The key goes into the hashes of
// values.
func New(m bridge.Mirror, routes int, key []byte, now time.Time) (*Recorder, error) {
	c := *m.Compare
	r := &Recorder{
		comparison: c, percent: float64(m.Percent), templates: newTemplates(c.Endpoints), since: now,
		most: max(2, maxEndpoints/max(routes, 1)), endpoints: map[name]*endpoint{}, hits: make([]int64, len(c.Rules)),
	}
	var err error
	if r.compare, err = compare.New(&c, key); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if c.Baseline != nil {
		if r.baseline, err = compare.NewBaseline(&c, key); err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
	}
	return r, nil
}

// Baseline reports whether legacy is asked twice at times.
func (r *Recorder) Baseline() bool { return r.baseline != nil }

// Headers are the headers of answers that must be kept.
func (r *Recorder) Headers() []string { return r.comparison.Headers }

// endpoint of one method and template.
type endpoint struct {
	name
	drawn, dropped int64
	counts         counts
	notes          map[string]int64
	fields         []*field
	byPath         map[string]int
	// groups are comparisons that differ, by the places that do: two bytes for
	// the index of each.
	groups         map[string]int64
	compared       int64 // comparisons with a verdict, pending ones included
	samples        float64
	tokens         float64 // how often legacy may be asked twice
	legacy, modern bridge.Latency
	delta          bridge.Moments
}

// counts are comparisons by verdict.
type counts struct{ matched, mismatched, ignored, noise, pending, errored, notComparable int64 }

// field is a place in the answers of an endpoint.
type field struct {
	path              string
	differed, excused int64
	kinds             map[string]int64
	samples           []bridge.ShadowSample
	// noisy are the baseline's samples in which legacy differs from itself here,
	// checked those of requests in which modern differed here.
	noisy, checked float64
}

// at finds an endpoint, or makes it; r.mu is held.
func (r *Recorder) at(method, path string) (e *endpoint, oneThing bool) {
	template, oneThing := r.templates.of(path)
	n := name{method, template}
	if e = r.endpoints[n]; e != nil {
		return e, oneThing
	}
	if len(r.order) >= r.most {
		n = name{"", elsewhere}
		if e = r.endpoints[n]; e != nil {
			return e, oneThing
		}
	}
	e = &endpoint{name: n, notes: map[string]int64{}, byPath: map[string]int{}, groups: map[string]int64{}}
	r.endpoints[n] = e
	r.order = append(r.order, e)
	return e, oneThing
}

// Dropped counts a request that was drawn and is not compared, and why.
func (r *Recorder) Dropped(method, path, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, _ := r.at(method, path)
	e.drawn++
	e.dropped++
	e.note(why)
}

func (e *endpoint) note(why string) {
	if _, known := e.notes[why]; !known && len(e.notes) >= maxNotes {
		why = elsewhere
	}
	e.notes[why]++
}

// Judge compares the answers to one request. Again reports whether legacy should be
// asked a second time.
func (r *Recorder) Judge(j *Job, now time.Time) (again bool) {
	r.mu.Lock()
	_, oneThing := r.at(j.Method, j.Path)
	r.mu.Unlock()
	// Outside of the lock: requests that are dropped wait for nothing.
	result := r.compare.Compare(compare.Request{Method: j.Method, OneThing: oneThing}, &j.Legacy, &j.Modern, now)

	r.mu.Lock()
	defer r.mu.Unlock()
	e, _ := r.at(j.Method, j.Path)
	e.drawn++
	e.latencies(j)
	for _, d := range result.Excused {
		if r.hits[d.Rule]++; result.Verdict == compare.Ignored || result.Verdict == compare.Mismatched {
			e.fields[e.field(d.Path)].excused++
		}
	}
	switch result.Verdict {
	case compare.Errored:
		e.counts.errored++
		e.note(result.Note)
		return false
	case compare.NotComparable:
		e.counts.notComparable++
		e.note(result.Note)
		return false
	case compare.Matched:
		e.counts.matched++
	case compare.Ignored:
		e.counts.ignored++
	case compare.Mismatched:
		e.differs(result.Differences, now)
	}
	e.compared++
	return r.again(j, e, result.Differences)
}

func (e *endpoint) latencies(j *Job) {
	if j.Legacy.Took <= 0 || j.Modern.Took <= 0 {
		return
	}
	e.legacy.Observe(j.Legacy.Took)
	e.modern.Observe(j.Modern.Took)
	e.delta.Observe((j.Modern.Took - j.Legacy.Took).Seconds())
}

// field is the index of a place.
func (e *endpoint) field(path string) int {
	if len(path) > maxName {
		path = elsewhere
	}
	if i, ok := e.byPath[path]; ok {
		return i
	}
	if len(e.fields) >= maxFields {
		path = elsewhere
		if i, ok := e.byPath[path]; ok {
			return i
		}
	}
	e.byPath[path] = len(e.fields)
	e.fields = append(e.fields, &field{path: path, kinds: map[string]int64{}})
	return len(e.fields) - 1
}

// differs counts a comparison by the places that differ.
func (e *endpoint) differs(ds []compare.Difference, now time.Time) {
	var group []byte
	for _, i := range e.indexes(ds) {
		group = binary.BigEndian.AppendUint16(group, uint16(i))
		e.fields[i].differed++
	}
	for _, d := range ds {
		f := e.fields[e.field(d.Path)]
		f.kinds[string(d.Kind)]++
		if len(f.samples) < maxSamples {
			f.samples = append(f.samples, bridge.ShadowSample{At: now, Kind: string(d.Kind), Legacy: bridge.ShadowValue(d.Legacy), Modern: bridge.ShadowValue(d.Modern)})
		}
	}
	if _, known := e.groups[string(group)]; !known && len(e.groups) >= maxGroups {
		group = binary.BigEndian.AppendUint16(nil, uint16(e.field(elsewhere)))
	}
	e.groups[string(group)]++
}

// indexes are those of the places of differences, each once, in the order of the
// differences, which is that of the keys.
func (e *endpoint) indexes(ds []compare.Difference) (out []int) {
	seen := map[int]bool{}
	for _, d := range ds {
		if i := e.field(d.Path); !seen[i] {
			seen[i] = true
			out = append(out, i)
		}
	}
	return out
}
