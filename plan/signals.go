package plan

// MaxPoints bounds the values of a signal's series.
const MaxPoints = 1000

// Signal is a named PromQL query.
type Signal struct {
	// Query answers with exactly one series (or a scalar).
	Query string `json:"query"`
	// Samples says how much evidence stands behind the query.
	Samples *Samples `json:"samples,omitempty"`
	// MaxAge: an older sample is NoData. Zero in a file means the default, 5m.
	MaxAge Duration `json:"maxAge,omitempty"`
	// Freshness overrides the derived query for the age of the newest
	// sample, in seconds.
	Freshness string `json:"freshness,omitempty"`
	// Range is how far back gates read the signal as series.NAME, with a value
	// at every Step; a signal without both has no series.
	Range Duration `json:"range,omitempty"`
	Step  Duration `json:"step,omitempty"`
}

// ObservedSplit names two of the plan's signals: the requests of the split routes
// that went to legacy and to modern within the last minutes, such as
// sum(increase(requests_total{side="modern"}[5m])).
type ObservedSplit struct {
	Legacy string `json:"legacy"`
	Modern string `json:"modern"`
}

// Baseline is a value of a signal to compare with. Exactly one of At and Offset
// is set.
type Baseline struct {
	// Signal names one of the plan's signals.
	Signal string `json:"signal"`
	// At is the stop, as PHASE or PHASE@PERCENT: the signal's value is
	// remembered when that stop is left forward.
	At string `json:"at,omitempty"`
	// Offset is how long ago: the signal's query is asked as of then.
	Offset Duration `json:"offset,omitempty"`
}

// Stop is the stop at whose end the value is remembered; none for a baseline by
// offset, and where At is no stop.
func (b Baseline) Stop() Position {
	stop, err := ParsePosition(b.At)
	if err != nil {
		return Position{}
	}
	return stop
}

// Samples: when Query answers less than Min, the signal is NoData.
type Samples struct {
	Query string  `json:"query"`
	Min   float64 `json:"min"`
}

// Points is how many values the signal's series has: one now, and one at every
// step before it that is less than the range back. Zero without a series.
func (s Signal) Points() int {
	if s.Range <= 0 || s.Step <= 0 {
		return 0
	}
	return int((s.Range-1)/s.Step) + 1
}
