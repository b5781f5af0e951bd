package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestAnAnswerIsTranslatedOrDoesNotPass(t *testing.T) {
	zipped := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, s)
		_ = w.Close()
		return b.String()
	}
	const secret = "hunter2"
	for _, c := range []struct {
		name        string
		method      string
		status      int
		header      []string
		body        string
		wantStatus  int
		want        string // the body, or part of it where the status is 502
		wantHeaders map[string]string
	}{
		{"translated", "GET", 200, []string{"Content-Type", "application/json", "Etag", `"1"`, "Accept-Ranges", "bytes"}, `{"id": 7}`, 203, `{"was":7}`,
			map[string]string{"Content-Type": "application/json", "Content-Length": "9", "Etag": "", "Accept-Ranges": "", "X-Was": "200", "X-Gone": ""}},
		{"problem+json", "GET", 404, []string{"Content-Type", "application/problem+json", "X-Gone", "1"}, `{"id": null}`, 404, `{"was":null}`, map[string]string{"X-Was": "404", "X-Gone": ""}},
		{"an error page", "GET", 502, []string{"Content-Type", "text/html"}, "<h1>bad</h1>", 502, "<h1>bad</h1>", map[string]string{"X-Was": "", "Content-Length": "12"}},
		{"no body", "GET", 204, nil, "", 204, "", map[string]string{"X-Was": "204", "Content-Length": ""}},
		{"HEAD", "HEAD", 200, []string{"Content-Type", "application/json", "Content-Length", "500", "Etag", `"1"`}, "", 203, "", map[string]string{"X-Was": "200", "Content-Length": "", "Etag": ""}},
		{"not modified", "GET", 304, []string{"Etag", `"1"`}, "", 304, "", map[string]string{"X-Was": "304"}},
		{"a field is missing", "GET", 200, []string{"Content-Type", "application/json"}, `{"other": "hunter2"}`, 502, "response.body of translation x failed: a field or key that it reads is not there", nil},
		{"no JSON", "GET", 200, []string{"Content-Type", "application/json"}, `{"id": hunter2`, 502, "response.body of translation x failed: the body is no JSON", nil},
		{"deep", "GET", 200, []string{"Content-Type", "application/json"}, strings.Repeat("[", 500), 502, "nested more than 100 deep", nil},
		{"too large", "GET", 200, []string{"Content-Type", "application/json"}, `{"id": "` + strings.Repeat("x", 1000) + `"}`, 502, "larger than maxBody", nil},
		{"encoded", "GET", 200, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, zipped(`{"id": 7}`), 502, "modern encoded it, although it was asked not to", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var encoding, ranged string
			modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
				encoding, ranged = r.Header.Get("Accept-Encoding"), r.Header.Get("Range")
				for i := 0; i+1 < len(c.header); i += 2 {
					w.Header().Set(c.header[i], c.header[i+1])
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{"x": {MaxBody: 1000, Response: &plan.ResponseMapping{
				Status: "response.status == 200 ? 203 : response.status", Headers: map[string]string{"X-Was": "response.status", "X-Gone": "null"},
				Body: "response.body == null ? dyn(null) : dyn({'was': response.body.id})",
			}}}, bridge.Rule{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern, Translate: "x"})
			req, err := http.NewRequest(c.method, f.url+"/x", nil)
			req.Header.Set("Accept-Encoding", "gzip")
			req.Header.Set("Range", "bytes=0-1")
			res, body := send(t, req, err)
			if encoding != "identity" || ranged != "" {
				t.Errorf("modern was asked for encoding %q and range %q", encoding, ranged)
			}
			switch {
			case res.StatusCode != c.wantStatus || strings.Contains(body, secret):
				t.Errorf("got %d %q, want %d", res.StatusCode, body, c.wantStatus)
			case c.wantHeaders == nil && !strings.Contains(body, c.want), c.wantHeaders != nil && body != c.want:
				t.Errorf("got %q, want %q", body, c.want)
			}
			for name, want := range c.wantHeaders {
				if got := res.Header.Get(name); got != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestMethodsAndStatusesWithoutABodyStayWhole(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Method", r.Method)
		_, _ = io.WriteString(w, `{"id": 7}`)
	})
	f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{
		"get":  {Request: &plan.RequestMapping{Method: "'GET'"}},
		"head": {Request: &plan.RequestMapping{Method: "'HEAD'"}},
		"none": {Response: &plan.ResponseMapping{Status: "204"}},
	}, bridge.Rule{Match: &plan.Match{Path: "/get"}, To: plan.ToModern, Translate: "get"},
		bridge.Rule{Match: &plan.Match{Path: "/head"}, To: plan.ToModern, Translate: "head"},
		bridge.Rule{Match: &plan.Match{Path: "/none"}, To: plan.ToModern, Translate: "none"})
	for _, c := range []struct {
		method, path, want string
	}{
		{"HEAD", "/get", "200 GET "}, {"GET", "/head", "200 HEAD "}, {"GET", "/none", "204 GET "}, {"GET", "/get", `200 GET {"id": 7}`},
	} {
		req, err := http.NewRequest(c.method, f.url+c.path, nil)
		res, body := send(t, req, err)
		if got := fmt.Sprintf("%d %s %s", res.StatusCode, res.Header.Get("X-Method"), body); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

func TestACopyIsTranslatedToo(t *testing.T) {
	legacy, modern := &seen{}, &seen{}
	f := translating(t, legacy.backend(t, "legacy"), modern.backend(t, "modern"), map[string]plan.Translation{
		"x":    {Request: &plan.RequestMapping{Path: "['m', request.segments[1]]", Query: map[string]string{"q": "request.body.id"}, Body: "[request.body.id]", Headers: map[string]string{"X-Tenant": "'t'"}}},
		"post": {Request: &plan.RequestMapping{Method: "'POST'"}},
	},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToLegacy, Mirror: &bridge.Mirror{Percent: 100, Unsafe: true}, Translate: "x"},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/safe/"}, To: plan.ToLegacy, Mirror: &bridge.Mirror{Percent: 100}, Translate: "post"})
	for _, c := range []struct{ method, path, body string }{{"POST", "/x/1?a=b&q=old", `{"id": 7}`}, {"POST", "/x/2", `{"di": 7}`}, {"POST", "/x/3", "no JSON"}, {"GET", "/safe/1", ""}} {
		if code, body := call(t, c.method, f.url+c.path, c.body, "Content-Type", "application/json", "X-Changeover-Side", "modern"); code != 200 || body != "legacy" {
			t.Errorf("%s: got %d %s, want legacy's answer", c.path, code, body)
		}
	}
	f.metric(1, copies, "outcome=answered", "route=0")
	f.metric(2, copies, "outcome=untranslated", "route=0")
	f.metric(1, copies, "outcome=untranslated", "route=1") // not safe any more
	if d := cmp.Diff([]string{`POST shop.example.com /m/1?a=b&q=7 side=modern tenant=t "[7]"`}, modern.all()); d != "" {
		t.Errorf("modern got (-want +got):\n%s", d)
	}
	if got := legacy.all(); len(got) != 4 || got[0] != `POST shop.example.com /x/1?a=b&q=old side=legacy tenant= "{\"id\": 7}"` {
		t.Errorf("legacy got %q", got)
	}
}

func TestABodyThatNobodyReadsStreamsThrough(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		_ = ctl.EnableFullDuplex()
		_ = ctl.Flush()
		part := make([]byte, 5)
		for range 2 {
			if _, err := io.ReadFull(r.Body, part); err != nil {
				return
			}
			_, _ = w.Write(part)
			_ = ctl.Flush()
		}
	})
	f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{"x": {MaxBody: 1, Request: &plan.RequestMapping{Path: "'/y'"}, Response: &plan.ResponseMapping{Headers: map[string]string{"X-A": "'b'"}}}},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern, Translate: "x"})
	r, w := io.Pipe()
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/x", r)
	if err != nil {
		t.Fatal(err)
	}
	res, err := plainTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("X-A") != "b" {
		t.Error("the answer's header is not set")
	}
	buf := make([]byte, 5)
	for _, part := range []string{"first", "other"} { // the second is written when the first has come back
		go func() { _, _ = io.WriteString(w, part) }()
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != part {
			t.Fatalf("got %q, %v, want %q", buf, err, part)
		}
	}
	_ = w.Close()
}
