package plan

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"
)

// Comparison judges modern's answers to copies by those that legacy gave. Status
// and body always count.
type Comparison struct {
	// Headers of answers that count too.
	Headers []string `json:"headers,omitempty"`
	// Baseline is for how many of the requests, in percent, legacy may be asked
	// a second time: where its own two answers differ is noise, which is not
	// held against modern. Only safe methods without a body are repeated.
	Baseline *Percent `json:"baseline,omitempty"`
	// Endpoints say which segments of paths are ids, as in /orders/{id}; of
	// other paths the segments that look like one are.
	Endpoints []string `json:"endpoints,omitempty"`
	// Absent is what 404 and 410 of modern mean for a read of one thing that
	// legacy has: notComparable where the file does not say.
	Absent Absent `json:"absent,omitempty"`
	// Rules excuse differences. Of several for one place the first counts.
	Rules []CompareRule `json:"rules,omitempty"`
}

// Absent is how an answer counts by which modern says that it has no such thing.
type Absent string

// The meanings of an absent thing.
const (
	AbsentNotComparable Absent = "notComparable"
	AbsentMismatched    Absent = "mismatched"
)

// CompareRule excuses differences at a place in answers: exactly one of ignore,
// unordered, tolerance, within, values and ids is given. An ignore needs an owner
// and the date on which it expires.
type CompareRule struct {
	// Path names the place: $.a.b, $.list[*].name, $["any name"], $.map.*,
	// status, header.NAME or body.
	Path string `json:"path"`
	// Ignore everything at and below the path.
	Ignore bool `json:"ignore,omitempty"`
	// Unordered: the elements of the array may stand in any order.
	Unordered bool `json:"unordered,omitempty"`
	// Tolerance is how far apart numbers may be.
	Tolerance *float64 `json:"tolerance,omitempty"`
	// Within is how far apart times may be, in the form of RFC 3339.
	Within Duration `json:"within,omitempty"`
	// Values that legacy has, and what modern has in their place.
	Values map[string]string `json:"values,omitempty"`
	// IDs: the sides have ids of their own, one of modern for each of legacy.
	IDs    bool   `json:"ids,omitempty"`
	Owner  string `json:"owner,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Expires is the last day, in UTC, on which the rule applies.
	Expires Date `json:"expires,omitempty"`
}

// AppliesAt reports whether the rule has not expired.
func (r *CompareRule) AppliesAt(now time.Time) bool {
	end, ok := r.Expires.End()
	return !ok || now.Before(end)
}

// Date is a day: 2027-01-31.
type Date string

// End is the first instant, in UTC, after the day; ok is false for no date.
func (d Date) End() (end time.Time, ok bool) {
	t, err := time.Parse(time.DateOnly, string(d))
	return t.AddDate(0, 0, 1), err == nil
}

const dateHint = "write it as YEAR-MONTH-DAY: 2027-01-31"

// date reads a day, which YAML takes for a time.
func (w *walker) date(path string, n *yaml.Node) bool {
	if !w.expect(path, n, yaml.ScalarNode, "a date") {
		return false
	}
	if n.Tag != "!!str" && n.Tag != "!!timestamp" {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a date, got %s", got(n)), dateHint)
	}
	if _, ok := Date(n.Value).End(); !ok {
		return w.refuse(path, n, "date", fmt.Sprintf("%s is not a date", shorten(n.Value)), dateHint)
	}
	w.quote(n.Value)
	return true
}
