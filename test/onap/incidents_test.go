package onap

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/test/promtest"
)

// incidentStart is a Tuesday in a window of the plan.
var incidentStart = time.Date(2025, 3, 4, 8, 0, 0, 0, time.UTC)

// outcome is a row of the README's table, written before it was run.
type outcome struct {
	name   string
	minute int
	how    string // RolledBack or NoData
	gate   string
}

func outcomes(t *testing.T) (out []outcome) {
	t.Helper()
	form := regexp.MustCompile(`(?m)^\| ([\w-]+) \| [^|]+ \| (\d+) \| (RolledBack|NoData) ([\w-]+) \|$`)
	for _, m := range form.FindAllStringSubmatch(read(t, example+"/README.md"), -1) {
		minute, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, outcome{m[1], minute, m[3], m[4]})
	}
	files, err := filepath.Glob(example + "/incidents/*.yaml")
	if err != nil || len(files) != len(out) || len(out) != 5 {
		t.Fatalf("the README tells of %d incidents, and there are %d files, want 5 (%v)", len(out), len(files), err)
	}
	return out
}

// TestIncidents plays each incident by simulate, and by backtest over what a real
// Prometheus recorded of it: both stop at the minute that the README says.
func TestIncidents(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes(t) {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			series := filepath.Join(example, "incidents", o.name+".yaml")
			simulated(t, o, series)
			server := promtest.Start(t, "global: {scrape_interval: 1m}\n", recorded(t, series))
			backtested(t, o, server.URL)
		})
	}
}

// simulated plays it as a plan at 25 % on its way to 50 %.
func simulated(t *testing.T, o outcome, series string) {
	t.Helper()
	out := changeover(t, 0, "simulate", "onap-so", file, "--approved", "--from", "gradual@25", "--to", "gradual@50",
		"--start", incidentStart.Format(time.RFC3339), "--for", "3h", "--series", series, "-o", "json")
	var r struct {
		Events []struct {
			At                    time.Time
			Verb, Reason, Message string
			Position, Declared    struct{ Percent float64 }
			Reverted              int
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	first := -1
	for i, e := range r.Events {
		if e.Verb == "Advance" {
			t.Errorf("it went on at %s", e.At)
		}
		if e.Verb == "Rollback" && first < 0 {
			first = i
		}
	}
	switch {
	case o.how == "NoData" && first >= 0:
		t.Errorf("it rolled back at %s without data", r.Events[first].At)
	case o.how == "RolledBack" && first < 0:
		t.Error("it did not roll back")
	case o.how == "RolledBack":
		e := r.Events[first]
		if m := int(e.At.Sub(incidentStart).Minutes()); m != o.minute || e.Position.Percent != 10 || e.Declared.Percent != 10 || !strings.Contains(e.Message, "gate "+o.gate+" ") {
			t.Errorf("simulate: rolled back at minute %d to %v (declared %v): %s; want minute %d by %s", m, e.Position.Percent, e.Declared.Percent, e.Message, o.minute, o.gate)
		}
	}
}

// backtested asks when each gate of 25 % would have been true, or unknown.
func backtested(t *testing.T, o outcome, prometheus string) {
	t.Helper()
	out := changeover(t, 0, "backtest", "onap-so", file, "--at", "gradual@25", "--prometheus", prometheus,
		"--until", incidentStart.Add(3*time.Hour).Format(time.RFC3339), "--since", "2h30m", "-o", "json")
	var r struct {
		Gates []struct {
			Name, Effect string
			Intervals    []struct {
				From    time.Time
				Verdict string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	effect, verdict := "rollback", "Pass"
	if o.how == "NoData" {
		effect, verdict = "advance", "NoData"
	}
	at := map[string]int{} // gates with that effect, and the minute from which they were so
	for _, g := range r.Gates {
		for _, iv := range g.Intervals {
			m := int(iv.From.Sub(incidentStart).Minutes())
			if _, ok := at[g.Name]; g.Effect == effect && iv.Verdict == verdict && m > 30 && !ok {
				at[g.Name] = m
			}
		}
	}
	first := 1 << 30
	for _, m := range at {
		first = min(first, m)
	}
	if at[o.gate] != o.minute || first != o.minute {
		t.Errorf("backtest: %s gates were %s at the minutes %v, want %s at %d, the first", effect, verdict, at, o.gate, o.minute)
	}
	if t.Failed() {
		t.Logf("backtest says:\n%s", out)
	}
}

// recorded is a file of series as OpenMetrics.
func recorded(t *testing.T, name string) string {
	t.Helper()
	var f struct {
		Series []struct{ Series, Values string } `yaml:"input_series"`
	}
	if err := yaml.Unmarshal([]byte(read(t, name)), &f); err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{} // by metric
	for _, s := range f.Series {
		_, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			t.Fatal(err)
		}
		metric, _, _ := strings.Cut(s.Series, "{")
		for i, v := range values {
			if !v.Omitted {
				at := incidentStart.Add(time.Duration(i) * time.Minute)
				lines[metric] = append(lines[metric], fmt.Sprintf("%s %v %d\n", s.Series, v.Value, at.Unix()))
			}
		}
	}
	var out strings.Builder
	for _, metric := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&out, "# TYPE %s unknown\n%s", metric, strings.Join(lines[metric], ""))
	}
	return out.String() + "# EOF\n"
}
