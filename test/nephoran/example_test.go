package nephoran

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

var update = flag.Bool("update", false, "write the timeline of the example anew")

func TestTheExampleIsValid(t *testing.T) {
	t.Parallel()
	if out := changeover(t, 0, "validate", "--strict", example); !strings.Contains(out, "8 plans checked: no problems") {
		t.Errorf("validate says:\n%s", out)
	}
}

func TestTheGateTestsPass(t *testing.T) {
	t.Parallel()
	out := changeover(t, 0, "test", example)
	if m := regexp.MustCompile(`(\d+) tests: (\d+) ok, 0 failed`).FindStringSubmatch(out); m == nil || m[1] != m[2] || len(m[1]) < 2 {
		t.Errorf("want at least ten tests, all of them ok:\n%s", out)
	}
}

// TestTheTimelineIsTheDocuments: simulated from the first day, the whole takes 16 weeks
// (112 days), and each step has its 15 days.
func TestTheTimelineIsTheDocuments(t *testing.T) {
	t.Parallel()
	got := changeover(t, 0, "simulate", "nephoran", example, "--assume", "pass", "--to", "full@100", "--start", "2027-01-11T00:00:00Z", "--for", "17w", "--step", "1h")
	golden := filepath.Join(example, "timeline.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, golden); got != want {
		t.Errorf("the timeline is another: go test ./test/nephoran -run TestTheTimeline -args -update\n%s", got)
	}
	days := 0
	for _, m := range regexp.MustCompile(`It depends on nephoran-system/(\w+): complete after (\w+)\.`).FindAllStringSubmatch(got, -1) {
		if m[1] == "intents" {
			continue
		}
		d, err := plan.ParseDuration(m[2])
		if err != nil {
			t.Fatal(err)
		}
		took := int(time.Duration(d).Hours())/24 - days
		if days += took; took != 15 && m[1] != "llm" || m[1] == "llm" && took != 29 {
			t.Errorf("%s takes %d days", m[1], took)
		}
	}
	last := regexp.MustCompile(`(?m)^(\d+)d +\S+ +full@100 +Advance`).FindStringSubmatch(got)
	if last == nil {
		t.Fatal("it does not come to full@100")
	}
	// The last stop bakes for four days more.
	if n, err := strconv.Atoi(last[1]); err != nil || n+4 < 15*7 || n+4 > 112 {
		t.Errorf("the whole takes %d days, want 105 to 112", n+4)
	}
}

func TestTheRulesHoldTheirUnitTests(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules-unittest.yaml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = filepath.Join(example, "monitoring")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestEveryMetricOfTheDocumentIsThere: recorded, or counted by the bridge controller as
// the rules' head says.
func TestEveryMetricOfTheDocumentIsThere(t *testing.T) {
	t.Parallel()
	rules := read(t, filepath.Join(example, "monitoring", "rules.yaml"))
	head, recorded, _ := strings.Cut(rules, "groups:")
	names := strings.Fields(`nephoran_migration_current_phase nephoran_migration_intents_total nephoran_migration_success_rate
		nephoran_migration_duration_seconds nephoran_legacy_processing_duration_seconds nephoran_microservice_processing_duration_seconds
		nephoran_latency_improvement_percentage nephoran_throughput_improvement_factor nephoran_consistency_checks_total
		nephoran_consistency_violations_total nephoran_data_integrity_score nephoran_feature_flag_evaluations_total
		nephoran_flag_rollout_progress nephoran_flag_safeguard_triggers_total nephoran_migration_errors_total
		nephoran_rollback_triggers_total nephoran_system_availability nephoran_recovery_time_seconds`)
	if b, err := os.ReadFile(document); err == nil {
		for _, m := range regexp.MustCompile(`Name:\s+"(nephoran_\w+)"`).FindAllStringSubmatch(string(b), -1) {
			if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+m[1]+" ") {
				t.Errorf("the document has the metric %s, and the test does not", m[1])
			}
		}
	}
	for _, name := range names {
		if !regexp.MustCompile(`record: "?`+name+`(_bucket)?\b`).MatchString(recorded) && !strings.Contains(head, name+"{") {
			t.Errorf("nothing counts or records %s", name)
		}
	}
}

// TestEveryStopRenders: gateway, flags and cluster of each stop of each plan, where
// migration-config has the values of the position.
func TestEveryStopRenders(t *testing.T) {
	t.Parallel()
	for _, name := range append([]string{"nephoran"}, steps...) {
		p := decoded(t, name)
		for _, stop := range p.Itinerary() {
			objects, err := kustomize.Build(os.DirFS(example), p, name+".yaml", stop, "0123456789abcdef0123456789abcdef01234567")
			if err != nil {
				t.Fatalf("%s at %s: %v", name, stop, err)
			}
			config := find(objects, "ConfigMap", name+"-migration-config")
			position := find(objects, "ConfigMap", name+"-migration-position")
			if config == nil || position == nil {
				t.Fatalf("%s at %s has no migration-config or migration-position of its own", name, stop)
			}
			data, _ := config["data"].(map[string]any)
			if data["migration-phase"] != stop.Phase || data["migration-percent"] != stop.Percent.String() || data["rollback-enabled"] != "true" {
				t.Errorf("%s at %s has the migration-config %v", name, stop, data)
			}
			on := !strings.Contains("monolith foundation", stop.Phase)
			if d := find(objects, "Deployment", controllerOf(name)); d == nil || (replicas(d) > 0) != on {
				t.Errorf("%s at %s has %d replicas of its controller", name, stop, replicas(d))
			}
		}
	}
}

func controllerOf(name string) string {
	return map[string]string{
		"llm": "intent-processing-controller", "resource": "resource-planning-controller", "manifest": "manifest-generation-controller",
		"gitops": "gitops-deployment-controller", "verification": "deployment-verification-controller", "nephoran": "intent-orchestrator",
	}[name]
}

func find(objects []render.Object, kind, name string) map[string]any {
	for _, o := range objects {
		meta, _ := o["metadata"].(map[string]any)
		if o["kind"] == kind && meta["name"] == name {
			return o
		}
	}
	return nil
}

func replicas(deployment map[string]any) int {
	spec, _ := deployment["spec"].(map[string]any)
	switch n := spec["replicas"].(type) {
	case int64:
		return int(n)
	case int:
		return n
	case float64:
		return int(n)
	}
	return -1
}

// TestTheScheduleIsTheDocuments: 5, 15, 35, 75 and 100 %, for one day and three times two;
// at 100 % it bakes for four days before the next step begins.
func TestTheScheduleIsTheDocuments(t *testing.T) {
	t.Parallel()
	want := "5=1d 15=2d 35=2d 75=2d 100=4d"
	for _, name := range append([]string{"nephoran"}, steps...) {
		p := decoded(t, name)
		var got []string
		for _, stop := range p.Itinerary() {
			if ph := p.Phase(stop.Phase); len(ph.Percents) > 0 {
				got = append(got, stop.Percent.String()+"="+ph.Bake.At(stop.Percent).String())
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s has the stops %s, want %s", name, s, want)
		}
	}
}
