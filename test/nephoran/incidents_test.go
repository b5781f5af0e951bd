package nephoran

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

// incidentStart is minute 0 of the series. In Prometheus each sample is half a minute
// before its minute, at which backtest looks: so no window begins or ends at one, and
// it does not matter whether a version counts those at its edge.
var incidentStart = time.Date(2025, 3, 3, 8, 0, 0, 0, time.UTC)

const (
	incidentStop = "gradual@35"
	// settled is when all windows have data, in minutes.
	settled = 30
	lasts   = 150
)

// expected is a cell of the table: which gate, with what effect or NoData, and when.
type expected struct {
	effect, gate string
	minute       int
}

// incident is a row of incidents/README.md.
type incident struct {
	name   string
	first  expected
	undone *expected // nil: nothing is taken back
}

func incidents(t *testing.T) (out []incident) {
	t.Helper()
	form := regexp.MustCompile(`(?m)^\| ([\w-]+) \| (\w+) ([\w-]+) \| (\d+) \| (?:rollback ([\w-]+)|-) \| (?:(\d+)|-) \| .* \|$`)
	for _, m := range form.FindAllStringSubmatch(read(t, example+"/incidents/README.md"), -1) {
		minute, _ := strconv.Atoi(m[4]) // the form has digits alone
		i := incident{name: m[1], first: expected{m[2], m[3], minute}}
		if m[5] != "" {
			minute, _ := strconv.Atoi(m[6])
			i.undone = &expected{"rollback", m[5], minute}
		}
		out = append(out, i)
	}
	files, err := filepath.Glob(example + "/incidents/*.yaml")
	if err != nil || len(files) != len(out) || len(out) != 5 {
		t.Fatalf("the table has %d incidents, and there are %d files, want 5 (%v)", len(out), len(files), err)
	}
	return out
}

// TestIncidentsStopAtTheMinuteThatIsWritten plays each into a real Prometheus and asks
// backtest over it, and plays it by simulate.
func TestIncidentsStopAtTheMinuteThatIsWritten(t *testing.T) {
	t.Parallel()
	for _, i := range incidents(t) {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			series := filepath.Join(example, "incidents", i.name+".yaml")
			server := promtest.Start(t, "global: {scrape_interval: 1m}\n", recorded(t, series))
			backtested(t, i, server.URL)
			simulated(t, i, series)
		})
	}
}

// backtested asks when a gate first had something against going on, and when one took
// it back.
func backtested(t *testing.T, i incident, prometheus string) {
	t.Helper()
	out := changeover(t, 0, "backtest", "llm", example, "--at", incidentStop, "--prometheus", prometheus,
		"--until", incidentStart.Add(lasts*time.Minute).Format(time.RFC3339), "--since", "150m", "-o", "json")
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
	at := map[expected]bool{}
	first, undone := lasts, lasts
	for _, g := range r.Gates {
		for _, in := range g.Intervals {
			m := int(in.From.Sub(incidentStart).Minutes())
			switch {
			case m < settled || g.Effect != "pause" && g.Effect != "rollback":
			case in.Verdict == "Pass":
				at[expected{g.Effect, g.Name, m}] = true
				first = min(first, m)
				if g.Effect == "rollback" {
					undone = min(undone, m)
				}
			case in.Verdict == "NoData" || in.Verdict == "Error":
				at[expected{"nodata", g.Name, m}] = true
				first = min(first, m)
			}
		}
	}
	if !at[i.first] || first != i.first.minute {
		t.Errorf("backtest: first stopped at minute %d by one of %v, want %v", first, at, i.first)
	}
	switch {
	case i.undone == nil && undone < lasts:
		t.Errorf("backtest: taken back at minute %d, want never", undone)
	case i.undone != nil && (!at[*i.undone] || undone != i.undone.minute):
		t.Errorf("backtest: taken back at minute %d of %v, want %v", undone, at, *i.undone)
	}
}

// simulated plays it as a plan that stands at the stop.
func simulated(t *testing.T, i incident, series string) {
	t.Helper()
	out := changeover(t, 0, "simulate", "llm", example, "--from", incidentStop, "--start", incidentStart.Format(time.RFC3339),
		"--for", "150m", "--series", series, "-o", "json")
	var r struct {
		Events []struct {
			At            time.Time
			Verb, Message string
			Reverted      int
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Events {
		switch e.Verb {
		case "Advance":
			t.Errorf("simulate: it went on at %s", e.At)
		case "Rollback":
			m := int(e.At.Sub(incidentStart).Minutes())
			if i.undone == nil || m != i.undone.minute || e.Reverted == 0 || !strings.Contains(e.Message, "gate "+i.undone.gate+" ") {
				t.Errorf("simulate: taken back at minute %d: %s; want %v", m, e.Message, i.undone)
			}
			return
		}
	}
	if i.undone != nil {
		t.Errorf("simulate: it was not taken back, want %v", *i.undone)
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
				lines[metric] = append(lines[metric], fmt.Sprintf("%s %v %d\n", s.Series, v.Value, incidentStart.Add(time.Duration(i)*time.Minute-30*time.Second).Unix()))
			}
		}
	}
	var out strings.Builder
	for _, metric := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&out, "# TYPE %s unknown\n%s", metric, strings.Join(lines[metric], ""))
	}
	return out.String() + "# EOF\n"
}
