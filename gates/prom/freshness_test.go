package prom

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestFreshnessIsDerivedFromTheSelectors(t *testing.T) {
	for _, tc := range []struct {
		query  string
		maxAge time.Duration
		want   string
	}{
		{"vector(1)", time.Minute, ""},
		{"time() - 5", time.Minute, ""},
		{`sum(rate(a{b="c"}[5m]))`, 2 * time.Minute,
			`time() - (max(timestamp(a{b="c"})) or max(max_over_time(timestamp(a{b="c"})[2m:2s])))`},
		{"a / a", 5 * time.Second, "time() - (max(timestamp(a)) or max(max_over_time(timestamp(a)[5s:1s])))"},
		{"a offset 1h + a @ 12 + rate(a[5m] offset -1m)", 30 * 24 * time.Hour,
			"time() - (max(timestamp(a)) or max(max_over_time(timestamp(a)[30d:4m])))"},
		{`max_over_time(rate(a[5m])[1h:1m]) / on() {__name__=~"b.*"}`, time.Hour,
			`time() - max(label_replace(max(timestamp(a)) or max(max_over_time(timestamp(a)[1h:1m])), "changeover_selector", "0", "", "")` +
				` or label_replace(max(timestamp({__name__=~"b.*"})) or max(max_over_time(timestamp({__name__=~"b.*"})[1h:1m])), "changeover_selector", "1", "", ""))`},
	} {
		got, _, err := freshness(tc.query, tc.maxAge)
		if err != nil || got != tc.want {
			t.Errorf("%s:\n got %s, error %v\nwant %s", tc.query, got, err, tc.want)
		}
	}
}

func TestQuickFreshnessWantsEverySelector(t *testing.T) {
	for query, want := range map[string]string{
		"vector(1)":       "",
		"rate(a[5m]) / a": "time() - max(timestamp(a))",
		`{__name__="a"} + a{b=~"c|d"}`: `time() - max((label_replace(max(timestamp({__name__="a"})), "changeover_selector", "0", "", "") or label_replace(max(timestamp(a{b=~"c|d"})), "changeover_selector", "1", "", "")))` +
			` and on() count((label_replace(max(timestamp({__name__="a"})), "changeover_selector", "0", "", "") or label_replace(max(timestamp(a{b=~"c|d"})), "changeover_selector", "1", "", ""))) == 2`,
		`a + {__name__=~"a|b"}`: "",
		"a / b": `time() - max((label_replace(max(timestamp(a)), "changeover_selector", "0", "", "") or label_replace(max(timestamp(b)), "changeover_selector", "1", "", "")))` +
			` and on() count((label_replace(max(timestamp(a)), "changeover_selector", "0", "", "") or label_replace(max(timestamp(b)), "changeover_selector", "1", "", ""))) == 2`,
	} {
		if _, got, err := freshness(query, time.Minute); err != nil || got != want {
			t.Errorf("%s:\n got %s, error %v\nwant %s", query, got, err, want)
		}
	}
}

// FuzzFreshness derives queries from any query: they parse, and are one number.
func FuzzFreshness(f *testing.F) {
	f.Add(`sum(rate(a{b="c"}[5m])) / on() group_left() b offset 5m`)
	f.Add(`{__name__="größe", x!~"\"|\\d"}`)
	f.Add("max_over_time(rate(a[5m] @ 5)[1h:1m])")
	f.Add(`{"a.b", c="d"}`)
	f.Fuzz(func(t *testing.T, query string) {
		full, quick, err := freshness(query, time.Minute)
		if err != nil || full == "" {
			return
		}
		for _, derived := range []string{full, quick} {
			if derived == "" {
				continue
			}
			e, err := parser.NewParser(parser.Options{}).ParseExpr(derived)
			if err != nil {
				t.Fatalf("%q gives %q: %v", query, derived, err)
			}
			if e.Type() != parser.ValueTypeVector {
				t.Errorf("%q gives a %s", query, e.Type())
			}
		}
	})
}
