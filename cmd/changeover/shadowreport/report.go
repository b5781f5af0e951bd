package shadowreport

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// maxSamples of a field are kept.
const maxSamples = 3

// Report is what all bridges together have found for one plan.
type Report struct {
	Plan    plan.Key  `json:"plan"`
	At      time.Time `json:"at"`
	Bridges int       `json:"bridges"`
	// Hashes of the configs that they serve: more than one while they follow.
	Hashes    []string            `json:"hashes"`
	Total     Counts              `json:"total"`
	Endpoints []Endpoint          `json:"endpoints"`
	Rules     []bridge.ShadowRule `json:"rules"`
}

// Counts are those of an endpoint or of all, with their rates.
type Counts struct {
	bridge.ShadowCounts
	// MatchRate and Coverage are from 0 to 1; nil where nothing was compared.
	MatchRate *float64 `json:"matchRate"`
	Coverage  *float64 `json:"coverage"`
}

func countsOf(c bridge.ShadowCounts) Counts {
	out := Counts{ShadowCounts: c}
	if r := c.MatchRate(); !math.IsNaN(r) {
		out.MatchRate = &r
	}
	if r := c.Coverage(); !math.IsNaN(r) {
		out.Coverage = &r
	}
	return out
}

// Endpoint is a route, a method and the template of a path.
type Endpoint struct {
	Route  int       `json:"route"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Since  time.Time `json:"since"`
	Counts
	Notes           map[string]int64     `json:"notes,omitempty"`
	BaselineSamples int64                `json:"baselineSamples"`
	HasBaseline     bool                 `json:"hasBaseline"`
	Fields          []bridge.ShadowField `json:"fields,omitempty"`
	Latency         Latency              `json:"latency"`
}

// Latency is in seconds to the first byte. Quantiles are at most a quarter too much.
type Latency struct {
	LegacyP50 float64 `json:"legacyP50"`
	LegacyP99 float64 `json:"legacyP99"`
	ModernP50 float64 `json:"modernP50"`
	ModernP99 float64 `json:"modernP99"`
	// Delta is the mean of modern's time less legacy's for the same request; Low
	// and High are its 95 % confidence interval, nil below thirty requests.
	Delta    float64  `json:"delta"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
	Requests int64    `json:"requests"`
}

type key struct {
	route        int
	method, path string
}

// joined is an endpoint while bridges are added up.
type joined struct {
	Endpoint
	counts         bridge.ShadowCounts
	legacy, modern bridge.Latency
	delta          bridge.Moments
}

// Join adds up what bridges say of one plan at a time. Endpoints with most
// mismatches come first.
func Join(all []bridge.Shadow, at time.Time) Report {
	out := Report{At: at, Bridges: len(all), Endpoints: []Endpoint{}, Rules: []bridge.ShadowRule{}}
	sums := map[key]*joined{}
	var total bridge.ShadowCounts
	for _, s := range all {
		out.Plan = s.Plan
		if !slices.Contains(out.Hashes, s.Hash) {
			out.Hashes = append(out.Hashes, s.Hash)
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			k := key{e.Route, e.Method, e.Path}
			if sums[k] == nil {
				sums[k] = &joined{Endpoint: Endpoint{Route: e.Route, Method: e.Method, Path: e.Path, Since: e.Since, Notes: map[string]int64{}}}
			}
			sums[k].add(e)
			total.Add(e.ShadowCounts)
		}
		out.rules(s.Rules)
	}
	for _, j := range sums {
		out.Endpoints = append(out.Endpoints, j.done())
	}
	slices.SortFunc(out.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(b.Mismatched, a.Mismatched), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	out.Total = countsOf(total)
	return out
}

func (j *joined) add(e *bridge.ShadowEndpoint) {
	j.counts.Add(e.ShadowCounts)
	j.legacy.Add(e.Legacy)
	j.modern.Add(e.Modern)
	j.delta.Add(e.Delta)
	j.BaselineSamples += e.BaselineSamples
	j.HasBaseline = j.HasBaseline || e.HasBaseline
	if e.Since.Before(j.Since) {
		j.Since = e.Since
	}
	for why, n := range e.Notes {
		j.Notes[why] += n
	}
	for _, f := range e.Fields {
		i := slices.IndexFunc(j.Fields, func(o bridge.ShadowField) bool { return o.Path == f.Path })
		if i < 0 {
			f.Kinds, f.Samples = maps.Clone(f.Kinds), slices.Clone(f.Samples)
			j.Fields = append(j.Fields, f)
			continue
		}
		join(&j.Fields[i], f)
	}
}

func join(f *bridge.ShadowField, o bridge.ShadowField) {
	f.Differed += o.Differed
	f.Excused += o.Excused
	f.Noisy += o.Noisy
	f.Noise = f.Noise || o.Noise
	f.Pending = f.Pending || o.Pending
	for kind, n := range o.Kinds {
		if f.Kinds == nil {
			f.Kinds = map[string]int64{}
		}
		f.Kinds[kind] += n
	}
	f.Samples = append(f.Samples, o.Samples...)
	f.Samples = f.Samples[:min(len(f.Samples), maxSamples)]
}

func (j *joined) done() Endpoint {
	e := j.Endpoint
	e.Counts = countsOf(j.counts)
	e.Latency = Latency{
		LegacyP50: j.legacy.Quantile(0.5).Seconds(), LegacyP99: j.legacy.Quantile(0.99).Seconds(),
		ModernP50: j.modern.Quantile(0.5).Seconds(), ModernP99: j.modern.Quantile(0.99).Seconds(),
		Delta: j.delta.Mean, Requests: j.delta.N,
	}
	if half, ok := j.delta.Interval(); ok {
		low, high := j.delta.Mean-half, j.delta.Mean+half
		e.Latency.Low, e.Latency.High = &low, &high
	}
	slices.SortStableFunc(e.Fields, func(a, b bridge.ShadowField) int {
		if a.Noise != b.Noise { // what is no noise first
			if a.Noise {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.Differed, a.Differed), cmp.Compare(a.Path, b.Path))
	})
	return e
}

// rules adds up hits. One bridge's rules of a route are those of the others, in the
// same order, as long as they serve one config.
func (r *Report) rules(rules []bridge.ShadowRule) {
	used := make([]bool, len(r.Rules))
	for _, o := range rules {
		at := -1
		for i := range used {
			if at < 0 && !used[i] && r.Rules[i].Route == o.Route && r.Rules[i].Path == o.Path && r.Rules[i].Expires == o.Expires {
				at, used[i] = i, true
			}
		}
		if at < 0 {
			r.Rules = append(r.Rules, o)
			continue
		}
		r.Rules[at].Hits += o.Hits
	}
}
