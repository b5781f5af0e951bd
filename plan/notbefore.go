package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"go.yaml.in/yaml/v4"
)

// NotBefore is the earliest time at which the stops of a phase are entered: one
// for all, or one for each percentage.
type NotBefore struct {
	All time.Time
	// ByPercent is set where the file gives a map; stops that it does not
	// name may be entered at any time.
	ByPercent map[Percent]time.Time
}

// At is the earliest time for the stop with that percentage; zero: any.
func (n NotBefore) At(p Percent) time.Time {
	if t, ok := n.ByPercent[p]; ok {
		return t
	}
	return n.All
}

// IsZero reports whether no time is set.
func (n NotBefore) IsZero() bool { return n.All.IsZero() && len(n.ByPercent) == 0 }

// MarshalJSON writes one time or the map, whichever is set.
func (n NotBefore) MarshalJSON() ([]byte, error) {
	if n.ByPercent == nil {
		return json.Marshal(n.All)
	}
	m := make(map[string]time.Time, len(n.ByPercent))
	for p, t := range n.ByPercent {
		m[p.String()] = t
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads one time or a map from percentages to times.
func (n *NotBefore) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return json.Unmarshal(data, &n.All)
	}
	var m map[string]time.Time
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	n.ByPercent = make(map[Percent]time.Time, len(m))
	for k, t := range m {
		p, err := ParsePosition("x@" + k)
		if err != nil {
			return fmt.Errorf("parse notBefore: key %q must be a percentage", k)
		}
		n.ByPercent[p.Percent] = t
	}
	return nil
}

// instant is a time as files give it.
type instant struct{ time.Time }

const instantHint = "write it with date, time and zone: 2026-12-01T09:00:00Z or 2026-12-01T09:00:00+01:00"

// instant reads a time as of RFC 3339. It is kept in UTC, so that two ways to
// write one time are no change.
func (w *walker) instant(path string, n *yaml.Node) bool {
	if !w.expect(path, n, yaml.ScalarNode, "a time") {
		return false
	}
	if n.Tag != "!!str" && n.Tag != "!!timestamp" {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a time, got %s", got(n)), instantHint)
	}
	t, err := time.Parse(time.RFC3339, n.Value)
	if err != nil {
		return w.refuse(path, n, "time", fmt.Sprintf("%s is not a time", shorten(n.Value)), instantHint)
	}
	w.quote(t.UTC().Format(time.RFC3339Nano))
	return true
}

// notBefore reads one time, or a map from percentages to times.
func (w *walker) notBefore(path string, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return w.instant(path, n)
	}
	return w.byPercent(path, n, "notBefore", "{50: 2026-12-01T09:00:00Z, 100: 2027-01-11T09:00:00Z}", reflect.TypeFor[instant]())
}
