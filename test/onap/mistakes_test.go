package onap

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheMistakesOfTheDocument: what is wrong in the written plan is refused with a
// message, or there is no way to write it. What only traffic shows is in test/e2e:
// TestBothReferenceDocuments (a rollback strands nothing that was born on modern, 410 is
// a status, an unknown id is no 500) and TestEntitiesAreHandedOverUnderLoad (a rollback
// does not stop at what was born on modern).
func TestTheMistakesOfTheDocument(t *testing.T) {
	t.Parallel()
	whole := read(t, file)
	for _, c := range []struct {
		name, old, new string
		code           int
		says           string
	}{
		{"shadow copies creates as they are", "            allowUnsafe: modern's /deployments/validate changes nothing\n", "", 1,
			"nothing is mirrored: POST may change something"},
		{"a 410 is sent as 200", "            status: 410\n", "", 1, "status"},
		{"the sunset is no date of HTTP", "Sunset: Tue, 06 Apr 2027 08:00:00 GMT", "Sunset: \"2027-04-06\"", 1, "is not an HTTP date"},
		// "go below 2 %" beside "pause from 1 %", and "back above 5 %" beside 3 %.
		{"go below 2 %, pause from 1 %", "measured-now, expr: signal.errors < 0.01", "measured-now, expr: signal.errors < 0.02", 1, "contradictory-bands"},
		{"back above 3 % and above 5 % for an hour", "          - {name: data-corrupted", "          - {name: very-high-errors, expr: signal.errors > 0.05, for: 1h}\n          - {name: data-corrupted", 1, "shadowed-gate"},
		{"a probe of modern, which holds copies", "    match:\n", "    probe: /deployments/{id}\n    match:\n", 1, "so that it has one does not say that it owns it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(whole, c.old, c.new, 1)
			if changed == whole {
				t.Fatalf("the plan has no %q", c.old)
			}
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "overlays"), os.DirFS(example+"/overlays")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "onap-so.yaml"), []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if out := changeover(t, c.code, "validate", "--strict", dir); !strings.Contains(out, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, out)
			}
		})
	}
}

// TestTheGatewayOfTheDocumentDoesNotLoad: nginx refuses the document's routing. With
// nginx in front of the bridge, the plan's own renders to what nginx takes, at every
// stop, and asks nobody for the owner by auth_request.
func TestTheGatewayOfTheDocumentDoesNotLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	text := "pid " + dir + "/pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; server { listen 127.0.0.1:1; " + read(t, "testdata/gateway.conf") + "} }\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("nginx", "-t", "-c", conf, "-p", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `"auth_request" directive is not allowed here`) {
		t.Errorf("nginx takes the document's routing: %v\n%s", err, out)
	}

	behind := strings.Replace(read(t, file), "gateway: {bridge: {}}", `gateway: {nginx: {bridge: "http://127.0.0.1:8088"}}`, 1)
	// Behind nginx the bridge counts no clients.
	behind = strings.Replace(behind, "          - {name: nobody-on-legacy, expr: 'clients.legacy == 0'}\n", "", 1)
	// nginx here resolves no names of a cluster.
	behind = strings.NewReplacer("http://legacy-onap-so.onap.svc:8080\"}", "http://127.0.0.1:8080\"}", "http://modern-orchestrator.onap.svc:8000\"}", "http://127.0.0.1:8000\"}").Replace(behind)
	if err := os.CopyFS(filepath.Join(dir, "plans", "overlays"), os.DirFS(example+"/overlays")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plans", "onap-so.yaml"), []byte(behind), 0o600); err != nil {
		t.Fatal(err)
	}
	rehearsed := changeover(t, 0, "rehearse", "onap-so", filepath.Join(dir, "plans")) // has nginx test each stop
	if !strings.Contains(rehearsed, "10 stops, forward and back") {
		t.Error(rehearsed)
	}
	for _, stop := range decoded(t).Itinerary() {
		if out := changeover(t, 0, "render", "onap-so", filepath.Join(dir, "plans"), "--at", stop.String()); strings.Contains(out, "auth_request") {
			t.Errorf("at %s nginx asks by auth_request", stop)
		}
	}
}
