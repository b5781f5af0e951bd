package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// reference is the way of the ONAP reference document, but for what owners decide.
const reference = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: onap-so}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "LEGACY"}
    modern: {url: "MODERN"}
  gateway: {nginx: {}}
  identity: {header: X-Tenant-ID}
  override: {header: X-Changeover-Force, from: [10.0.0.0/8]}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: shadow
      routes:
        - match: {methods: [GET], pathPrefix: /ecomp/mso/infra/serviceInstances/v2/}
          to: legacy
          mirror: {}
        - to: legacy
    - name: new-only
      routes:
        - match: {methods: [POST], path: /deployments}
          to: modern
        - match: {methods: [POST], path: /ecomp/mso/infra/serviceInstances/v2}
          to: modern
          rewrite: {path: /deployments, host: orchestrator.example.com, headers: {X-Api: v2}}
        - match: {methods: [GET, DELETE], pathPrefix: /deployments/}
          to: modern
        - to: legacy
    - name: gradual
      percents: [0.01, 100]
      bake: 1h
      routes: [{to: split}]
    - name: sunset
      routes:
        - match: {methods: [POST, PUT, PATCH, DELETE], pathPrefix: /ecomp/mso/infra/serviceInstances}
          respond:
            status: 410
            body: "{\"error\": \"Legacy system is read-only. Use new API: POST /deployments\", \"status\": 410}\n"
            headers:
              Content-Type: application/json
              Deprecation: "@1785542400"
              Sunset: Thu, 31 Dec 2026 00:00:00 GMT
              Link: </deployments>; rel="successor-version"
        - match: {methods: [GET, HEAD], pathPrefix: /ecomp/mso/infra/serviceInstances}
          to: legacy
        - to: modern
`

const old = "/ecomp/mso/infra/serviceInstances/v2"

// inspected are two backends that keep what they are asked.
type inspected struct {
	mu  sync.Mutex
	got []string
}

// side answers as one of them: deployments that it has not with 404. What reads as
// a header of Changeover's is kept, in whatever spelling.
func (i *inspected) side(t *testing.T, name string) string {
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := fmt.Sprintf("%s %s %s body=%d", name, r.Method, r.RequestURI, len(body))
		var headers []string
		for h, values := range r.Header {
			if plain := strings.ToLower(strings.ReplaceAll(h, "_", "-")); strings.HasPrefix(plain, "x-changeover-") || plain == "x-api" {
				headers = append(headers, plain+"="+strings.Join(values, "|"))
			}
		}
		slices.Sort(headers)
		line += " " + strings.Join(headers, " ")
		if strings.HasSuffix(r.Host, "example.com") && r.Host != "a.example.com" {
			line += " at " + r.Host
		}
		i.mu.Lock()
		i.got = append(i.got, line)
		i.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/unknown") {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(b.Close)
	return b.URL
}

// take returns what was asked since the last time, sorted, once it is n requests.
func (i *inspected) take(n int) []string {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		i.mu.Lock()
		if len(i.got) >= n || time.Now().After(deadline) {
			got := i.got
			i.got = nil
			i.mu.Unlock()
			slices.Sort(got)
			return got
		}
		i.mu.Unlock()
	}
}

// shown is a request, and what comes of it on every gateway.
type shown struct {
	method, target string
	headers        []string
	status         int
	asked          []string // what the backends were asked, with $ for the side's header
}

const tester, stranger = "X-Forwarded-For: 10.1.2.3", "X-Forwarded-For: 203.0.113.9"

var referenceShows = map[string][]shown{
	"setup": {
		{"POST", old, nil, 200, []string{"legacy POST " + old + " body=2 $"}},
		{"GET", "/deployments/7", []string{tester, "X-Changeover-Force: modern"}, 200, []string{"legacy GET /deployments/7 body=0 $"}},
	},
	"shadow": {
		{"GET", old + "/7?x", nil, 200, []string{"legacy GET " + old + "/7?x body=0 $", "modern GET " + old + "/7?x body=0 $"}},
		{"GET", old + "/unknown", nil, 404, []string{"legacy GET " + old + "/unknown body=0 $", "modern GET " + old + "/unknown body=0 $"}},
		{"POST", old, nil, 200, []string{"legacy POST " + old + " body=2 $"}},
		{"DELETE", old + "/7", nil, 200, []string{"legacy DELETE " + old + "/7 body=0 $"}},
	},
	"new-only": {
		{"POST", "/deployments", nil, 200, []string{"modern POST /deployments body=2 $"}},
		{"POST", old, nil, 200, []string{"modern POST /deployments body=2 x-api=v2 $ at orchestrator.example.com"}},
		{"GET", "/deployments/7", nil, 200, []string{"modern GET /deployments/7 body=0 $"}},
		{"GET", "/deployments/unknown", nil, 404, []string{"modern GET /deployments/unknown body=0 $"}},
		{"DELETE", "/deployments/7", nil, 200, []string{"modern DELETE /deployments/7 body=0 $"}},
		{"GET", old + "/7", nil, 200, []string{"legacy GET " + old + "/7 body=0 $"}},
		{"DELETE", old + "/7", []string{tester, "X-Changeover-Force: modern"}, 200, []string{"legacy DELETE " + old + "/7 body=0 $"}},
		// Other spellings of a path are no way to another rule.
		{"GET", "/x/../deployments/7", nil, 200, []string{"modern GET /x/../deployments/7 body=0 $"}},
		{"GET", "//deployments//7", nil, 200, []string{"modern GET //deployments//7 body=0 $"}},
		{"GET", "/%64eployments/7", nil, 200, []string{"modern GET /%64eployments/7 body=0 $"}},
		{"GET", "/deployments/%2e%2e/" + old[1:] + "/7", nil, 200, []string{"legacy GET /deployments/%2e%2e/" + old[1:] + "/7 body=0 $"}},
		{"GET", "/deployments;v=1/7", nil, 400, nil},
		{"GET", "/x/..;/deployments/7", nil, 400, nil},
		{"GET", "/x/.%2e%3bv=1/deployments/7", nil, 400, nil},
		{"GET", "/deployments/7%3Bv=1?a;b", nil, 200, []string{"modern GET /deployments/7%3Bv=1?a;b body=0 $"}},
		{"GET", "/deployments/..%2fx", nil, 400, nil},
		{"GET", "/deployments/%2e%2e%2fx", nil, 400, nil},
		{"GET", "/../deployments/7", nil, 400, nil},
		{"GET", "/deployments/7%00", nil, 400, nil},
		{"TRACE", "/deployments/7", nil, 405, nil},
		{"post", "/deployments", nil, 400, nil},
	},
	"gradual@0.01": {
		{"GET", "/a", []string{tester, "X-Changeover-Force: modern"}, 200, []string{"modern GET /a body=0 $"}},
		{"GET", "/a", []string{tester, "X-Changeover-Force: newest"}, 200, []string{"legacy GET /a body=0 $"}},
		// From outside, no header counts, and none passes.
		{"GET", "/a", []string{stranger, "X-Changeover-Force: modern"}, 200, []string{"legacy GET /a body=0 $"}},
		{"GET", "/a", []string{stranger, "X-Changeover-Side: modern", "x-changeover-side: modern"}, 200, []string{"legacy GET /a body=0 $"}},
		{"GET", "/a", []string{stranger, "Connection: X-Changeover-Side, X-Changeover-Force", "X-Changeover-Force: modern"}, 200, []string{"legacy GET /a body=0 $"}},
		{"GET", "/a", []string{stranger, "X_Changeover_Side: modern", "X-Changeover_Force: modern"}, 200, []string{"legacy GET /a body=0 $"}},
		{"GET", "/a", []string{"X-Forwarded-For: 10.1.2.3, 203.0.113.9", "X-Changeover-Force: modern"}, 200, []string{"legacy GET /a body=0 $"}},
	},
	"gradual@100": {
		{"GET", "/a", []string{tester, "X-Changeover-Force: legacy"}, 200, []string{"legacy GET /a body=0 $"}},
		{"GET", "/a", []string{stranger, "X-Changeover-Force: legacy"}, 200, []string{"modern GET /a body=0 $"}},
	},
	"sunset": {
		{"POST", old, nil, 410, nil},
		{"DELETE", old + "/7", []string{tester, "X-Changeover-Force: legacy"}, 410, nil},
		{"GET", old + "/7", nil, 200, []string{"legacy GET " + old + "/7 body=0 $"}},
		{"POST", "/deployments", nil, 200, []string{"modern POST /deployments body=2 $"}},
	},
}

// TestTheRoutesOfTheReferenceDocument on a real nginx and the real bridge, and what
// people try who want to be elsewhere than the plan says.
func TestTheRoutesOfTheReferenceDocument(t *testing.T) {
	t.Parallel()
	w, backends := startPair(t), &inspected{}
	src := strings.NewReplacer("LEGACY", backends.side(t, "legacy"), "MODERN", backends.side(t, "modern")).Replace(reference)
	doc, problems := plan.Decode("onap-so.yaml", []byte(src))
	if plan.HasErrors(problems) {
		t.Fatal(problems)
	}
	for _, stop := range doc.Plan.Itinerary() {
		w.apply(t, doc.Plan, stop)
		if len(referenceShows[stop.String()]) == 0 {
			t.Fatalf("nothing is asked at %s", stop)
		}
		for _, s := range referenceShows[stop.String()] {
			r := request{method: s.method, target: s.target, headers: append([]string{"Host: a.example.com", "X-Tenant-ID: t1"}, s.headers...)}
			if s.method == "POST" || s.method == "post" {
				r.body = "{}"
			}
			for name, gateway := range map[string]*wire{"nginx": w.nginx, "bridge": w.bridge} {
				a := gateway.ask(t, r)
				var want []string
				for _, line := range s.asked {
					side, _, _ := strings.Cut(line, " ")
					want = append(want, strings.Replace(line, "$", "x-changeover-side="+side, 1))
				}
				if got := backends.take(len(want)); a.status != s.status || !slices.Equal(got, want) {
					t.Errorf("%s at %s, %.200q: answered %d, want %d\n  asked: %q\n  want:  %q", name, stop, r.raw(), a.status, s.status, got, want)
				}
				if s.status == http.StatusGone {
					checkGone(t, name, a)
				}
			}
		}
	}
}

// checkGone checks a real 410, with what tells clients where to go.
func checkGone(t *testing.T, gateway string, a answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Deprecation": "@1785542400", "Sunset": "Thu, 31 Dec 2026 00:00:00 GMT", "Link": `</deployments>; rel="successor-version"`,
	} {
		if a.headers[name] != want {
			t.Errorf("%s: header %s of the 410 is %q, want %q", gateway, name, a.headers[name], want)
		}
	}
	if !strings.HasPrefix(a.body, `{"error": "Legacy system is read-only.`) || a.side != "" {
		t.Errorf("%s: the 410 says %q, by side %q", gateway, a.body, a.side)
	}
}
