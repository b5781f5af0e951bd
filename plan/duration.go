package plan

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Duration is written in Prometheus syntax (30d, 1h30m, 500ms); a bare number
// is refused.
type Duration time.Duration

// String is the Prometheus form.
func (d Duration) String() string { return model.Duration(d).String() }

// MarshalJSON writes the Prometheus form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the Prometheus form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("parse duration %s: want text such as 30s, 5m, 1h30m or 30d", b)
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// ParseDuration reads the Prometheus form.
func ParseDuration(s string) (Duration, error) {
	v, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("parse duration %q: want text such as 30s, 5m, 1h30m or 30d", s)
	}
	return Duration(v), nil
}

// Bake is the least time at the stops of a phase: one duration for all, or one
// for each percentage.
type Bake struct {
	All Duration
	// ByPercent is set where the file gives a map; stops that it does not
	// name bake for zero time.
	ByPercent map[Percent]Duration
}

// At is the least time at the stop with that percentage.
func (b Bake) At(p Percent) Duration {
	if d, ok := b.ByPercent[p]; ok {
		return d
	}
	return b.All
}

// IsZero reports whether no bake is set.
func (b Bake) IsZero() bool { return b.All == 0 && len(b.ByPercent) == 0 }

// MarshalJSON writes one duration or the map, whichever is set.
func (b Bake) MarshalJSON() ([]byte, error) {
	if b.ByPercent == nil {
		return json.Marshal(b.All)
	}
	m := make(map[string]Duration, len(b.ByPercent))
	for p, d := range b.ByPercent {
		m[p.String()] = d
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads one duration or a map from percentages to durations.
func (b *Bake) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return json.Unmarshal(data, &b.All)
	}
	var m map[string]Duration
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	b.ByPercent = make(map[Percent]Duration, len(m))
	for k, d := range m {
		p, err := ParsePosition("x@" + k)
		if err != nil {
			return fmt.Errorf("parse bake: key %q must be a percentage", k)
		}
		b.ByPercent[p.Percent] = d
	}
	return nil
}
