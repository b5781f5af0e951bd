package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

const instances = "/ecomp/mso/infra/serviceInstances/v2"

// onap is the plan of the reference document.
func onap(t testing.TB) *plan.Plan {
	t.Helper()
	src, err := os.ReadFile("../../../../render/bridge/testdata/translate.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := new(plan.Plan)
	if err := yaml.UnmarshalStrict(src, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// translating is a fixture with translations.
func translating(t testing.TB, legacy, modern string, translations map[string]plan.Translation, rules ...bridge.Rule) *fixture {
	t.Helper()
	f := newFixture(t, legacy, modern, proxy.Options{})
	c := configOf(t, legacy, modern, rules...)
	c.Translations, c.Hash = translations, ""
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	f.serve(c)
	return f
}

// store is what both backends of the reference keep: legacy and modern are two
// APIs over one.
type store struct {
	mu    sync.Mutex
	names map[string]string
	asked []string
}

func (s *store) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.RequestURI)
}

func (s *store) create(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = strconv.Itoa(12345 + len(s.names))
	s.names[id] = name
	return id
}

func (s *store) name(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ok := s.names[id]
	return name, ok
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

type object = map[string]any

// legacyAPI is ONAP SO's, as far as the document shows it.
func (s *store) legacyAPI(w http.ResponseWriter, r *http.Request) {
	s.note(r)
	id, one := strings.CutPrefix(r.URL.Path, instances+"/")
	switch {
	case r.Method == "POST" && r.URL.Path == instances:
		var body struct {
			RequestDetails struct{ ModelInfo struct{ ModelName string } }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(400)
			return
		}
		id := s.create(body.RequestDetails.ModelInfo.ModelName + "-instance-1")
		w.Header().Set("X-Request-Id", id)
		answer(w, 202, object{"requestReferences": object{"instanceId": id, "requestId": id}})
	case one && r.Method == "GET":
		if name, ok := s.name(id); ok {
			answer(w, 200, object{
				"service-instance-id": id, "service-instance-name": name, "orchestration-status": "Active",
				"vnfs": []object{{"vnf-id": "vnf-1"}}, "networks": []object{{"network-id": "net-1"}},
			})
			return
		}
		answer(w, 404, object{"detail": "not found"})
	case one && r.Method == "DELETE":
		answer(w, 202, object{"detail": "deleting"})
	default:
		w.WriteHeader(405)
	}
}

// modernAPI is the orchestrator's. It knows nothing of legacy's.
func (s *store) modernAPI(w http.ResponseWriter, r *http.Request) {
	s.note(r)
	id, one := strings.CutPrefix(r.URL.Path, "/deployments/")
	switch {
	case r.Method == "POST" && r.URL.Path == "/deployments":
		var body struct {
			Name, Template string
			CloudRegion    string `json:"cloud_region"`
		}
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		var raw object
		if err := dec.Decode(&raw); err != nil || r.Header.Get("Content-Type") != "application/json" || r.ContentLength <= 0 {
			answer(w, 422, object{"detail": "no JSON of known length"})
			return
		}
		b, _ := json.Marshal(raw)
		_ = json.Unmarshal(b, &body)
		if body.CloudRegion != "RegionOne" {
			answer(w, 422, object{"detail": "no such region"})
			return
		}
		answer(w, 201, object{"id": s.create(body.Name), "status": "PENDING"})
	case one && r.Method == "GET":
		if name, ok := s.name(id); ok {
			answer(w, 200, object{"id": id, "name": name, "status": "COMPLETED", "resources": object{"network_id": "net-1", "vm_ids": []string{"vnf-1"}}})
			return
		}
		answer(w, 404, object{"detail": "not found"})
	case one && r.Method == "DELETE":
		if b, _ := io.ReadAll(r.Body); len(b) > 0 {
			answer(w, 422, object{"detail": "a DELETE has no body"})
			return
		}
		answer(w, 202, object{"detail": "deleting"})
	default:
		w.WriteHeader(405)
	}
}

const createBody = `{"requestDetails": {"modelInfo": {"modelType": "service", "modelName": "vFW-service"},
	"cloudConfiguration": {"lcpCloudRegionId": "RegionOne", "tenantId": "tenant-123"}}}`

func TestACallerOfLegacysAPISeesItsFormWhicheverSideAnswers(t *testing.T) {
	type exchange struct{ method, path, body, contentType string }
	requests := []exchange{
		{"POST", instances, createBody, "application/json"},
		{"POST", "/%65comp/mso/infra/serviceInstances/v2", createBody, "application/json; charset=UTF-8"},
		{"GET", instances + "/12345?format=json", "", ""},
		{"GET", instances + "/99?x=1&format=json&y", "", ""},
		{"DELETE", instances + "/12345", `{"requestDetails": {}}`, "application/json"},
	}
	answers := map[plan.Dest][]string{}
	asked := map[plan.Dest][]string{}
	for _, to := range []plan.Dest{plan.ToLegacy, plan.ToModern} {
		legacy, modern := &store{names: map[string]string{}}, &store{names: map[string]string{}}
		p := onap(t)
		p.Spec.Backends = plan.Backends{Legacy: plan.Backend{URL: backend(t, legacy.legacyAPI).URL}, Modern: plan.Backend{URL: backend(t, modern.modernAPI).URL}}
		percent := plan.Percent(0)
		if to == plan.ToModern {
			percent = 100
		}
		for i := range p.Spec.Phases[0].Routes[:2] {
			p.Spec.Phases[0].Routes[i].To, p.Spec.Phases[0].Routes[i].Percent = plan.ToSplit, &percent
		}
		c, err := bridge.Render(p, p.Spec.Position)
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, p.Spec.Backends.Legacy.URL, p.Spec.Backends.Modern.URL, proxy.Options{})
		f.serve(c)
		for _, e := range requests {
			req, err := http.NewRequest(e.method, f.url+e.path, strings.NewReader(e.body))
			if e.contentType != "" {
				req.Header.Set("Content-Type", e.contentType)
			}
			res, body := send(t, req, err)
			if want := string(to); res.Header.Get(bridge.HeaderSide) != want {
				t.Fatalf("%s %s was answered by %s, want %s: %s", e.method, e.path, res.Header.Get(bridge.HeaderSide), want, body)
			}
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatalf("%s: %v: %s", to, err, body)
			}
			answers[to] = append(answers[to], fmt.Sprintf("%s %s: %d id=%s %v", e.method, e.path, res.StatusCode, res.Header.Get("X-Request-Id"), v))
		}
		asked[to] = append(legacy.asked, modern.asked...)
	}
	if d := cmp.Diff(answers[plan.ToLegacy], answers[plan.ToModern]); d != "" {
		t.Errorf("answers (-legacy +modern):\n%s", d)
	}
	want := []string{"POST /deployments", "POST /deployments", "GET /deployments/12345", "GET /deployments/99?x=1&y", "DELETE /deployments/12345"}
	if d := cmp.Diff(want, asked[plan.ToModern]); d != "" {
		t.Errorf("modern was asked (-want +got):\n%s", d)
	}
}

func TestARequestThatCannotBeTranslatedIsRefusedAndNotSent(t *testing.T) {
	var got seen
	modern := got.backend(t, "modern")
	const secret = "hunter2"
	f := translating(t, modern, modern, map[string]plan.Translation{"x": {MaxBody: 1000, Request: &plan.RequestMapping{Body: "request.body.id", Headers: map[string]string{"X-Tenant": "request.body.tenant"}}}},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern, Translate: "x"})
	long := `{"id": 1, "tenant": "` + strings.Repeat("x", 1000) + `"}`
	for _, c := range []struct {
		name, body, contentType, encoding string
		chunked                           bool
		code                              int
		want                              string
	}{
		{"no content type", `{"id": 1}`, "", "", false, 415, "translation x takes JSON alone: want Content-Type application/json in UTF-8"},
		{"XML", `<id/>`, "application/xml", "", true, 415, "want Content-Type application/json"},
		{"another charset", `{"id": 1}`, "application/json; charset=iso-8859-1", "", false, 415, "in UTF-8"},
		{"gzip", `{"id": 1}`, "application/json", "gzip", false, 415, "without Content-Encoding"},
		{"too large", long, "application/json", "", false, 413, "larger than the 1000 bytes that translation x takes"},
		{"too large, chunked", long, "application/json", "", true, 413, "larger than the 1000 bytes"},
		{"no JSON", `{"id": hunter2}`, "application/json", "", false, 400, "the body is no JSON"},
		{"two values", `{"id": 1}{"id": 2}`, "application/json", "", false, 400, "the body is no JSON"},
		{"deep", strings.Repeat("[", 400), "application/json", "", false, 400, "nested more than 100 deep"},
		{"a field is missing", `{"other": "hunter2"}`, "application/json", "", true, 400, "request.headers.X-Tenant of translation x failed: a field or key that it reads is not there"},
		{"no body", "", "", "", false, 400, "request.headers.X-Tenant of translation x failed"},
		{"header smuggling", `{"id": 1, "tenant": "a\r\nX-Admin: hunter2"}`, "application/json", "", false, 400, "a value holds a control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(c.body)
			if c.chunked {
				body = io.MultiReader(body)
			}
			req, err := http.NewRequest("POST", f.url+"/x", body)
			if c.contentType != "" {
				req.Header.Set("Content-Type", c.contentType)
			}
			if c.encoding != "" {
				req.Header.Set("Content-Encoding", c.encoding)
			}
			res, text := send(t, req, err)
			if res.StatusCode != c.code || !strings.Contains(text, c.want) || strings.Contains(text, secret) {
				t.Errorf("got %d %q, want %d and %q", res.StatusCode, text, c.code, c.want)
			}
		})
	}
	if all := got.all(); len(all) > 0 {
		t.Errorf("modern was asked: %q", all)
	}
	f.metric(12, "changeover_bridge_upstream_failures_total", "side=modern", "reason=translation")
	f.metric(4, "changeover_bridge_requests_total", "side=modern", "code=415", "route=0")
}
