package bridge

import (
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// ShadowPath is where a bridge's admin address tells how modern's answers compare
// with legacy's, as Shadow in JSON.
const ShadowPath = "/shadow"

// Shadow is what one bridge has found for one plan, by endpoint.
type Shadow struct {
	Plan plan.Key `json:"plan"`
	// Hash of the config that is served.
	Hash      string           `json:"hash"`
	Endpoints []ShadowEndpoint `json:"endpoints"`
	Rules     []ShadowRule     `json:"rules"`
}

// ShadowCounts are comparisons by what they came to.
type ShadowCounts struct {
	// Eligible requests, those that were not drawn included: they are estimated
	// from those that were and the mirror's percent.
	Eligible   int64 `json:"eligible"`
	Matched    int64 `json:"matched"`
	Mismatched int64 `json:"mismatched"`
	// Ignored: all that differs is excused, by rules or as noise; Noise: the
	// latter alone.
	Ignored int64 `json:"ignored"`
	Noise   int64 `json:"noise"`
	// Pending: the baseline does not know enough yet to tell noise from a
	// mismatch.
	Pending       int64 `json:"pending"`
	Errored       int64 `json:"errored"`
	NotComparable int64 `json:"notComparable"`
	Dropped       int64 `json:"dropped"`
}

// Compared are the comparisons with a verdict for or against modern.
func (c ShadowCounts) Compared() int64 { return c.Matched + c.Ignored + c.Mismatched }

// MatchRate is the share of Compared that is not mismatched; NaN where there is
// none.
func (c ShadowCounts) MatchRate() float64 {
	return float64(c.Matched+c.Ignored) / float64(c.Compared())
}

// Coverage is the share of the eligible requests that were compared; NaN where
// there is none.
func (c ShadowCounts) Coverage() float64 { return float64(c.Compared()) / float64(c.Eligible) }

// Add adds the counts of another.
func (c *ShadowCounts) Add(o ShadowCounts) {
	c.Eligible += o.Eligible
	c.Matched += o.Matched
	c.Mismatched += o.Mismatched
	c.Ignored += o.Ignored
	c.Noise += o.Noise
	c.Pending += o.Pending
	c.Errored += o.Errored
	c.NotComparable += o.NotComparable
	c.Dropped += o.Dropped
}

// ShadowEndpoint is a rule, a method and the template of a path.
type ShadowEndpoint struct {
	// Route is the index of the rule in the config.
	Route  int       `json:"route"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Since  time.Time `json:"since"`
	ShadowCounts
	// Notes say why, of what is errored, not comparable or dropped.
	Notes map[string]int64 `json:"notes,omitempty"`
	// BaselineSamples are how often legacy was asked twice; HasBaseline: it is
	// at all.
	BaselineSamples int64 `json:"baselineSamples"`
	HasBaseline     bool  `json:"hasBaseline"`
	// Fields that differ, the most frequent first.
	Fields []ShadowField `json:"fields,omitempty"`
	// Legacy, Modern: times to the first byte of the answer. Delta is modern's
	// less legacy's for the same request, in seconds.
	Legacy Latency `json:"legacy"`
	Modern Latency `json:"modern"`
	Delta  Moments `json:"delta"`
}

// ShadowField is a place in the answers of an endpoint.
type ShadowField struct {
	Path string `json:"path"`
	// Differed are the comparisons in which nothing excuses the difference,
	// Excused those in which a rule does.
	Differed int64 `json:"differed"`
	Excused  int64 `json:"excused"`
	// Noise: legacy differs from itself as much. Noisy are the baseline's samples
	// in which it does.
	Noise bool  `json:"noise,omitempty"`
	Noisy int64 `json:"noisy,omitempty"`
	// Pending: not known yet whether it is noise.
	Pending bool             `json:"pending,omitempty"`
	Kinds   map[string]int64 `json:"kinds,omitempty"`
	Samples []ShadowSample   `json:"samples,omitempty"`
}

// ShadowSample is one difference without its values.
type ShadowSample struct {
	At     time.Time   `json:"at"`
	Kind   string      `json:"kind"`
	Legacy ShadowValue `json:"legacy"`
	Modern ShadowValue `json:"modern"`
}

// ShadowValue stands for a value. Hash tells equal values of one bridge.
type ShadowValue struct {
	Type   string `json:"type"`
	Length int    `json:"length"`
	Hash   string `json:"hash,omitempty"`
}

// ShadowRule is a rule of the plan and how often it excused something.
type ShadowRule struct {
	Route   int       `json:"route"`
	Path    string    `json:"path"`
	Owner   string    `json:"owner,omitempty"`
	Expires plan.Date `json:"expires,omitempty"`
	Hits    int64     `json:"hits"`
	Expired bool      `json:"expired,omitempty"`
}

// Latency is how many requests took how long, in buckets that LatencyBucket gives.
type Latency struct {
	Buckets []int64 `json:"buckets,omitempty"`
}

const (
	// latencyBuckets reach from 50 microseconds to four minutes, each a quarter
	// wider than the one before.
	latencyBuckets = 70
	leastLatency   = 50 * time.Microsecond
	latencyStep    = 1.25
)

// Observe counts a request.
func (l *Latency) Observe(d time.Duration) {
	i := 0
	if d > leastLatency {
		i = min(1+int(math.Log(float64(d)/float64(leastLatency))/math.Log(latencyStep)), latencyBuckets-1)
	}
	if len(l.Buckets) <= i {
		l.Buckets = append(l.Buckets, make([]int64, i+1-len(l.Buckets))...)
	}
	l.Buckets[i]++
}

// Add adds the counts of another.
func (l *Latency) Add(o Latency) {
	if n := len(o.Buckets); n > len(l.Buckets) {
		l.Buckets = append(l.Buckets, make([]int64, n-len(l.Buckets))...)
	}
	for i, n := range o.Buckets {
		l.Buckets[i] += n
	}
}

// Clone shares no memory with l.
func (l *Latency) Clone() Latency { return Latency{Buckets: slices.Clone(l.Buckets)} }

// Quantile is the upper end of the bucket in which the share q of the requests is
// reached: at most a quarter too much. Zero where nothing was counted.
func (l *Latency) Quantile(q float64) time.Duration {
	total := int64(0)
	for _, n := range l.Buckets {
		total += n
	}
	seen := int64(0)
	for i, n := range l.Buckets {
		if seen += n; n > 0 && float64(seen) >= q*float64(total) {
			return time.Duration(float64(leastLatency) * math.Pow(latencyStep, float64(i)))
		}
	}
	return 0
}

// Moments are the number, mean and squared deviations of a figure.
type Moments struct {
	N    int64   `json:"n"`
	Mean float64 `json:"mean"`
	M2   float64 `json:"m2"`
}

// Observe counts a value, by Welford's method.
func (m *Moments) Observe(x float64) {
	m.N++
	d := x - m.Mean
	m.Mean += d / float64(m.N)
	m.M2 += d * (x - m.Mean)
}

// Add joins another, by Chan's method.
func (m *Moments) Add(o Moments) {
	n := m.N + o.N
	if n == 0 {
		return
	}
	d := o.Mean - m.Mean
	m.M2 += o.M2 + d*d*float64(m.N)*float64(o.N)/float64(n)
	m.Mean += d * float64(o.N) / float64(n)
	m.N = n
}

// Interval is half the width of the 95 % confidence interval of the mean, by the
// normal distribution; ok is false below thirty values.
func (m Moments) Interval() (half float64, ok bool) {
	if m.N < 30 {
		return 0, false
	}
	return 1.96 * math.Sqrt(m.M2/float64(m.N-1)/float64(m.N)), true
}
