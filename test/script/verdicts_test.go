package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// story is one file of testdata/verdicts: series, and one expression in PromQL
// that is compared with a number.
type story struct {
	Why      string `json:"why"`
	Interval string `json:"interval"`
	Input    []struct {
		Series string `json:"series"`
		Values string `json:"values"`
	} `json:"input_series"`
	Query string `json:"query"` // signal.value
	Is    string `json:"is"`    // > 0.03
	For   string `json:"for"`
	// Evaluate and End: every so often up to then.
	Evaluate string `json:"evaluate"`
	End      string `json:"end"`
	// Fires at least this often, and as often does not: a story in which
	// nothing changes compares nothing.
	Changes int `json:"changes"`
}

// TestVerdictsAreThoseOfPromtool asks both real programs the same at every
// evaluation of ten stories without gaps: changeover about a rollback gate, and
// promtool about the alert with the same expression. With
// `for: 5m` both want the expression true at 0m, 1m, ... and 5m.
func TestVerdictsAreThoseOfPromtool(t *testing.T) {
	files, err := filepath.Glob("testdata/verdicts/*.yaml")
	if err != nil || len(files) != 10 {
		t.Fatalf("found %d stories, want 10: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s story
			if err := yaml.UnmarshalStrict(b, &s); err != nil {
				t.Fatal(err)
			}
			s.compare(t)
		})
	}
}

func span(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s story) compare(t *testing.T) {
	step, end, hold := span(t, s.Evaluate), span(t, s.End), time.Duration(0)
	if s.For != "" {
		hold = span(t, s.For)
	}
	fires := s.promtool(t, hold, step, end)
	passes := s.changeover(t, hold, step, end)
	changes := 0
	for i := range fires {
		if fires[i] != passes[i] {
			t.Errorf("%s: at %s promtool's alert with for: %s fires: %t; the gate passes: %t", s.Why, time.Duration(i)*step, hold, fires[i], passes[i])
		}
		if i > 0 && fires[i] != fires[i-1] {
			changes++
		}
	}
	if changes != s.Changes {
		t.Errorf("%s: %d changes, want %d: %v", s.Why, changes, s.Changes, fires)
	}
}

func write(t *testing.T, dir, name string, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type object = map[string]any

// promtool says at every evaluation whether the alert fires: it is asked to
// expect none, and what it then got instead is read.
func (s story) promtool(t *testing.T, hold, step, end time.Duration) []bool {
	dir := t.TempDir()
	write(t, dir, "rules.yml", object{"groups": []object{{"name": "story", "rules": []object{{
		"alert": "Gate", "expr": "(" + s.Query + ") " + s.Is, "for": hold.String(),
	}}}}})
	var asks []object
	for at := time.Duration(0); at <= end; at += step {
		asks = append(asks, object{"eval_time": at.String(), "alertname": "Gate", "exp_alerts": []object{}})
	}
	path := write(t, dir, "test.yml", object{
		"rule_files": []string{"rules.yml"}, "evaluation_interval": step.String(),
		"tests": []object{{"interval": s.Interval, "input_series": s.Input, "alert_rule_test": asks}},
	})
	out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", path).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	fires := make([]bool, end/step+1)
	found := regexp.MustCompile(`alertname: Gate, time: (\S+?),?\s`).FindAllStringSubmatch(string(out), -1)
	if (err != nil) != (len(found) > 0) {
		t.Fatalf("promtool: %v, %d alerts:\n%s", err, len(found), out)
	}
	for _, m := range found {
		fires[span(t, m[1])/step] = true
	}
	return fires
}

// changeover says at every evaluation whether the gate passes.
func (s story) changeover(t *testing.T, hold, step, end time.Duration) []bool {
	dir := t.TempDir()
	gate := object{"name": "gate", "expr": "signal.value " + s.Is}
	if hold > 0 {
		gate["for"] = hold.String()
	}
	write(t, dir, "plan.yaml", object{
		"apiVersion": "changeover.dev/v1alpha1", "kind": "MigrationPlan", "metadata": object{"name": "story"},
		"spec": object{
			"position": object{"phase": "only"},
			"backends": object{"legacy": object{"url": "http://127.0.0.1:1"}, "modern": object{"url": "http://127.0.0.1:2"}},
			"signals":  object{"value": object{"query": s.Query, "maxAge": "5m"}},
			// It is the only stop, and a breach there changes nothing.
			"phases": []object{{"name": "only", "gates": object{"rollback": []object{gate}}}},
		},
	})
	var asks []object
	for at := time.Duration(0); at <= end; at += step {
		asks = append(asks, object{"at": duration(at), "gates": object{"gate": "Error"}})
	}
	path := write(t, dir, "story_test.yaml", object{
		"plan": "plan.yaml", "evaluation_interval": duration(step),
		"tests": []object{{"effective": "only", "interval": s.Interval, "input_series": s.Input, "expect": asks}},
	})
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "changeover"), "test", "-o", "json", path)
	out, err := cmd.Output()
	var report struct {
		Tests []struct{ Failures []struct{ At, Got string } }
	}
	if jerr := json.Unmarshal(out, &report); jerr != nil || len(report.Tests) != 1 {
		t.Fatalf("changeover: %v, %v:\n%s", err, jerr, out)
	}
	// None is an error, so each has failed and says what it was.
	passes := make([]bool, end/step+1)
	seen := 0
	for _, f := range report.Tests[0].Failures {
		at := slices.IndexFunc(asks, func(o object) bool { return o["at"] == f.At })
		if at < 0 || !strings.HasPrefix(f.Got, "Pass") && !strings.HasPrefix(f.Got, "Fail") {
			t.Fatalf("at %s the gate is %s", f.At, f.Got)
		}
		passes[at] = strings.HasPrefix(f.Got, "Pass")
		seen++
	}
	if seen != len(passes) {
		t.Fatalf("%d of %d verdicts:\n%s", seen, len(passes), out)
	}
	return passes
}

// duration in the notation of Prometheus.
func duration(d time.Duration) string {
	s := fmt.Sprintf("%dh%dm%ds", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	for _, zero := range []string{"0h", "0m", "0s"} {
		s = regexp.MustCompile(`(^|[a-z])`+zero).ReplaceAllString(s, "$1")
	}
	if s == "" {
		return "0s"
	}
	return s
}
