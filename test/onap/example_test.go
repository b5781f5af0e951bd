package onap

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the timeline anew")

func TestTheExampleIsValid(t *testing.T) {
	t.Parallel()
	if out := changeover(t, 0, "validate", "--strict", example); !strings.Contains(out, "1 plan checked: no problems") {
		t.Error(out)
	}
}

func TestTheGateTestsHold(t *testing.T) {
	t.Parallel()
	if out := changeover(t, 0, "test", example); !strings.Contains(out, "11 tests: 11 ok") {
		t.Error(out)
	}
}

func TestTheTimelineIsSixteenWeeks(t *testing.T) {
	t.Parallel()
	got := changeover(t, 0, "simulate", "onap-so", file, "--assume", "pass", "--approved", "--start", "2027-01-12T08:00:00Z", "--for", "20w", "--step", "15m")
	golden := filepath.Join(example, "timeline.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, golden); got != want {
		t.Errorf("the timeline is\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(got, "In the end: complete at decommissioned after 16w.") {
		t.Error("it does not take 16 weeks")
	}
}

func TestTheRehearsalFindsNothing(t *testing.T) {
	t.Parallel()
	out := changeover(t, 0, "rehearse", "onap-so", example)
	for _, want := range []string{
		"10 stops, forward and back. Nothing was changed.",
		"breach     back to shadow, 1 commit reverted",
		"breach     back to gradual@75, 1 commit reverted",
		"+ Job onap/archive-legacy-onap-so",
		"~ Deployment onap/legacy-onap-so: spec.replicas 3 -> 0",
		"1/10 back to setup",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the rehearsal does not say %q:\n%s", want, out)
		}
	}
}

func TestTheRunbookNamesEveryStop(t *testing.T) {
	t.Parallel()
	out := changeover(t, 0, "runbook", "onap-so", example)
	for _, stop := range decoded(t).Itinerary() {
		if !strings.Contains(out, stop.String()) {
			t.Errorf("the runbook does not name %s", stop)
		}
	}
}

func TestTheRulesHold(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules-unittest.yaml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = example
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestTheReceiversAreThere: a plan that names a receiver which the daemon does not
// have tells nobody.
func TestTheReceiversAreThere(t *testing.T) {
	t.Parallel()
	var have struct {
		Receivers []struct {
			Name string `yaml:"name"`
		} `yaml:"receivers"`
	}
	if err := yaml.Unmarshal([]byte(read(t, example+"/receivers.yaml")), &have); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range have.Receivers {
		names[r.Name] = true
	}
	wanted := decoded(t).Spec.Notifications
	for _, n := range wanted {
		if !names[n.Receiver] {
			t.Errorf("receivers.yaml has no %q", n.Receiver)
		}
	}
	if len(wanted) == 0 || len(names) != len(wanted) {
		t.Errorf("the plan names %d receivers, the file %d", len(wanted), len(names))
	}
}

func TestHeatTemplatesBecomeTemplates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	changeover(t, 0, "transform", "--files", example+"/templates/*.yaml", "--with", example+"/heat.yaml", "-o", dir)
	made, err := filepath.Glob(dir + "/*")
	if err != nil || len(made) != 2 {
		t.Errorf("%v were made (%v), want one for each Heat template", made, err)
	}
}

func TestTheAPIsAreTranslatedAsInTheAppendix(t *testing.T) {
	t.Parallel()
	const legacy = `{"requestDetails": {"modelInfo": {"modelType": "service", "modelName": "vFW-service"},
		"cloudConfiguration": {"lcpCloudRegionId": "RegionOne", "tenantId": "tenant-123"}}}`
	for _, c := range []struct{ translation, request, response, want string }{
		{"create", `{"method": "POST", "path": "/ecomp/mso/infra/serviceInstances/v2", "body": ` + legacy + `}`, `{"status": 201, "body": {"id": "12345"}}`,
			`request: {method: POST, path: /deployments, body: {name: vFW-service-instance-1, template: vFW-service, cloud_region: RegionOne, parameters: {}}}
response: {status: 202, body: {requestReferences: {instanceId: "12345", requestId: "12345"}}}`},
		{"instance", `{"method": "GET", "path": "/ecomp/mso/infra/serviceInstances/v2/12345"}`, `{"status": 200, "body": {"id": "12345", "name": "my-service", "status": "COMPLETED"}}`,
			`request: {method: GET, path: /deployments/12345}
response: {status: 200, body: {service-instance-id: "12345", service-instance-name: my-service, orchestration-status: Active}}`},
		{"request", `{"method": "GET", "path": "/ecomp/mso/infra/orchestrationRequests/v2/12345"}`, `{"status": 200, "body": {"id": "12345", "status": "COMPLETED"}}`,
			`request: {method: GET, path: /deployments/12345}
response: {status: 200, body: {request: {requestId: "12345", instanceReferences: {serviceInstanceId: "12345"}, requestStatus: {requestState: COMPLETE}}}}`},
	} {
		t.Run(c.translation, func(t *testing.T) {
			t.Parallel()
			out := piped(t, 0, `{"request": `+c.request+`, "response": `+c.response+`}`, "translate", file, "--translation", c.translation)
			checkContains(t, out, c.want)
		})
	}
}

// checkContains wants that all which the YAML of want has is in the JSON of got.
func checkContains(t *testing.T, got, want string) {
	t.Helper()
	var have, wanted any
	for text, into := range map[string]*any{got: &have, want: &wanted} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	contains(t, "", have, wanted)
}

func contains(t *testing.T, at string, have, wanted any) {
	t.Helper()
	w, ok := wanted.(map[string]any)
	if !ok {
		if have != wanted {
			t.Errorf("%s is %v, want %v", at, have, wanted)
		}
		return
	}
	h, ok := have.(map[string]any)
	if !ok {
		t.Errorf("%s is %v, want %v", at, have, wanted)
		return
	}
	for k := range w {
		contains(t, at+"."+k, h[k], w[k])
	}
}
