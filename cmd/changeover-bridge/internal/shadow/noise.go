package shadow

import (
	"encoding/binary"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
)

const (
	// enough samples of an endpoint, and of requests in which modern differed at
	// a place, before a difference is held against modern.
	enough, enoughHere = 20, 5
	// noisyTimes is how often legacy must have differed from itself.
	noisyTimes = 2
	// noisyShare is how often that must be, as a share of how often modern
	// differs.
	noisyShare = 0.2
	// halfLife in samples.
	halfLife = 1000
	// maxTokens is how often legacy may be asked twice in a row.
	maxTokens = 20
)

// again decides whether legacy is asked a second time: for what is not decided yet
// as soon as the plan's percent allows it, for everything else when there is some to
// spare.
func (r *Recorder) again(j *Job, e *endpoint, ds []compare.Difference) bool {
	if r.baseline == nil || j.Again == nil {
		return false
	}
	e.tokens = min(e.tokens+float64(*r.comparison.Baseline)/100, maxTokens)
	need := 1.0
	if e.settled(e.indexes(ds)) && e.samples >= enough {
		need = maxTokens / 2
	}
	if e.tokens < min(need, maxTokens) {
		return false
	}
	e.tokens--
	j.differing = e.indexes(ds)
	return true
}

// settled reports whether it is known of all places whether they are noise.
func (e *endpoint) settled(fields []int) bool {
	for _, i := range fields {
		if f := e.fields[i]; !e.isNoise(f) && e.isPending(f) {
			return false
		}
	}
	return true
}

// isNoise reports whether legacy differs from itself as modern does from it.
func (e *endpoint) isNoise(f *field) bool {
	return f.noisy >= noisyTimes && f.noisy/e.samples >= noisyShare*float64(f.differed)/float64(max(e.compared, 1))
}

// isPending reports whether too little is known of a place that is no noise.
func (e *endpoint) isPending(f *field) bool { return e.samples < enough || f.checked < enoughHere }

// JudgeBaseline takes up the second answer of legacy.
func (r *Recorder) JudgeBaseline(j *Job, now time.Time) {
	result := r.baseline.Compare(compare.Request{Method: j.Method}, &j.Legacy, j.second, now)
	if result.Verdict == compare.Errored || result.Verdict == compare.NotComparable {
		return // legacy did not answer again, which says nothing
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e, _ := r.at(j.Method, j.Path)
	e.samples++
	for _, i := range e.indexes(result.Differences) {
		e.fields[i].noisy++
	}
	for _, i := range j.differing {
		e.fields[i].checked++
	}
	if e.samples >= 2*halfLife {
		e.samples /= 2
		for _, f := range e.fields {
			f.noisy /= 2
		}
	}
}

// sum is the endpoint's counts by what is known of noise now.
func (e *endpoint) sum(baseline bool) counts {
	out := e.counts
	for group, n := range e.groups {
		switch {
		case !baseline:
			out.mismatched += n
		default:
			e.judge(group, n, &out)
		}
	}
	return out
}

// judge adds the comparisons of a group: one place that is surely no noise makes them
// mismatches.
func (e *endpoint) judge(group string, n int64, out *counts) {
	noise, pending := true, true
	for b := []byte(group); len(b) > 0; b = b[2:] {
		f := e.fields[binary.BigEndian.Uint16(b)]
		if e.isNoise(f) {
			continue
		}
		noise = false
		pending = pending && e.isPending(f)
	}
	switch {
	case noise:
		out.ignored += n
		out.noise += n
	case pending:
		out.pending += n
	default:
		out.mismatched += n
	}
}
