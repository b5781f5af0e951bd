package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/gates/prom/engine"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func parse(t *testing.T, selector, values string) engine.Series {
	t.Helper()
	s, err := engine.Parse(selector, values, start, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, series ...engine.Series) *engine.Engine {
	t.Helper()
	e, err := engine.New(series)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestQueries(t *testing.T) {
	e := open(t,
		parse(t, `requests{code="200"}`, "0+60x30"), parse(t, `requests{code="500"}`, "0x10 10+10x19"),
		parse(t, "gap", "1 _x20 2 stale 3"),
	)
	for _, c := range []struct {
		query string
		after time.Duration
		want  string
	}{
		{"1 + 1", 0, "scalar: 2"},
		{"sum(rate(requests[5m10s]))", 10 * time.Minute, "{} => 1 @"},
		{`requests{code="500"}`, 12 * time.Minute, `requests{code="500"} => 20 @`},
		{`requests{code!~"2.."}`, 12 * time.Minute, `requests{code="500"} => 20 @`},
		{"requests offset 5m", 2 * time.Minute, ""},
		{"gap", 0, "gap => 1 @"},
		{"gap", 5 * time.Minute, ""}, // Prometheus looks back five minutes, and not to their beginning
		{"gap", 21 * time.Minute, "gap => 2 @"},
		{"gap", 22 * time.Minute, ""}, // stale
		{"gap", 23 * time.Minute, "gap => 3 @"},
		{"time()", time.Minute, "scalar: 1767603660"},
		{"count_over_time(requests{code=\"200\"}[10m:])", 20 * time.Minute, "{code=\"200\"} => 10 @"},
	} {
		v, err := e.Query(t.Context(), c.query, start.Add(c.after))
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if got := v.String(); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s after %s: got %q, want %q", c.query, c.after, got, c.want)
		}
	}
}

func TestARange(t *testing.T) {
	e := open(t, parse(t, "up", "1 1 0 0 1"))
	v, err := e.QueryRange(t.Context(), "up == 0", start, start.Add(4*time.Minute), time.Minute)
	m, ok := v.(model.Matrix)
	if err != nil || !ok || len(m) != 1 || len(m[0].Values) != 2 || m[0].Values[0].Timestamp.Time().Sub(start) != 2*time.Minute {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ selector, values, want string }{
		{"up{", "1", "unexpected"},
		{"up", "1xa", "unexpected"},
		{"up", "NaNx2", "unexpected"},
	} {
		if _, err := engine.Parse(c.selector, c.values, start, time.Minute); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.selector, c.values, err)
		}
	}
	if _, err := engine.Parse("up", "1", start, 0); err == nil {
		t.Error("an interval of zero is taken")
	}
	if _, err := engine.New([]engine.Series{parse(t, `up{a="1"}`, "1"), parse(t, `up{a="1"}`, "2")}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same series twice: %v", err)
	}
}

func TestAQueryThatFailsSaysSo(t *testing.T) {
	e := open(t, parse(t, `a{x="1"}`, "1x5"), parse(t, `a{x="2"}`, "1x5"))
	for _, q := range []string{"a * on(y) a", "sum("} {
		if v, err := e.Query(t.Context(), q, start); err == nil {
			t.Errorf("%s: %v", q, v)
		}
	}
}
