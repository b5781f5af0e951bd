package shadow

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Report adds to a report what a route's Recorder has.
func (r *Recorder) Report(route int, now time.Time, out *bridge.Shadow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.order {
		out.Endpoints = append(out.Endpoints, r.report(e, route))
	}
	for i := range r.comparison.Rules {
		ru := &r.comparison.Rules[i]
		out.Rules = append(out.Rules, bridge.ShadowRule{
			Route: route, Path: ru.Path, Owner: ru.Owner, Expires: ru.Expires, Hits: r.hits[i], Expired: !ru.AppliesAt(now),
		})
	}
}

func (r *Recorder) report(e *endpoint, route int) bridge.ShadowEndpoint {
	out := bridge.ShadowEndpoint{
		Route: route, Method: e.method, Path: e.path, Since: r.since, ShadowCounts: r.countsOf(e), Notes: maps.Clone(e.notes),
		BaselineSamples: int64(e.samples), HasBaseline: r.baseline != nil,
		Legacy: e.legacy.Clone(), Modern: e.modern.Clone(), Delta: e.delta,
	}
	for _, f := range e.fields {
		if f.differed == 0 && f.excused == 0 {
			continue // legacy alone differs from itself
		}
		noise := r.baseline != nil && e.isNoise(f)
		out.Fields = append(out.Fields, bridge.ShadowField{
			Path: f.path, Differed: f.differed, Excused: f.excused, Noise: noise, Noisy: int64(f.noisy),
			Pending: r.baseline != nil && f.differed > 0 && !noise && e.isPending(f), Kinds: maps.Clone(f.kinds), Samples: slices.Clone(f.samples),
		})
	}
	slices.SortStableFunc(out.Fields, func(a, b bridge.ShadowField) int { return cmp.Compare(b.Differed, a.Differed) })
	return out
}

func (r *Recorder) countsOf(e *endpoint) bridge.ShadowCounts {
	c := e.sum(r.baseline != nil)
	return bridge.ShadowCounts{
		Eligible: int64(float64(e.drawn)*100/r.percent + 0.5), Matched: c.matched, Mismatched: c.mismatched, Ignored: c.ignored, Noise: c.noise,
		Pending: c.pending, Errored: c.errored, NotComparable: c.notComparable, Dropped: e.dropped,
	}
}

// Total is the sum over all endpoints, for metrics: none but Pending ever falls.
func (r *Recorder) Total() (out bridge.ShadowCounts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.order {
		out.Add(r.countsOf(e))
	}
	// What was a mismatch may turn out to be noise, and noise a mismatch.
	r.told.mismatched = max(r.told.mismatched, out.Mismatched)
	r.told.ignored = max(r.told.ignored, out.Ignored)
	r.told.noise = max(r.told.noise, out.Noise)
	out.Mismatched, out.Ignored, out.Noise = r.told.mismatched, r.told.ignored, r.told.noise
	return out
}
