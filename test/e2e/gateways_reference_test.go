package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	render "github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/nginx"
)

// step is a stop, and what is asked there in this order: it is one story.
type step struct {
	stop string
	asks []asked
}

// asked is a request, and what comes of it.
type asked struct {
	method, target, body string
	headers              []string
	status               int
	side                 string   // that the answer names
	backends             []string // what they were asked
}

const service = "/ecomp/mso/infra/serviceInstances/v2"

var forced = []string{tester, "X-Changeover-Force: modern"}

var onapStory = []step{
	{"setup", []asked{
		{"POST", "/deployments", `{"id": "l1"}`, nil, 201, "legacy", []string{"legacy POST /deployments"}},
		{"GET", "/deployments/l1", "", forced, 200, "legacy", []string{"legacy GET /deployments/l1"}},
	}},
	{"shadow", []asked{
		{"GET", "/reports/same", "", nil, 200, "legacy", []string{"legacy GET /reports/same", "modern GET /reports/same"}},
		{"POST", "/deployments", `{"id": "l2"}`, nil, 201, "legacy", []string{"legacy POST /deployments"}},
	}},
	{"new-only", []asked{
		{"POST", "/deployments", `{"id": "m1"}`, nil, 201, "modern", []string{"modern POST /deployments"}},
		{"POST", service, `{"requestDetails": {"name": "m2"}}`, nil, 202, "modern", []string{"modern POST /deployments"}},
		{"POST", service, `{"requestDetails": {}}`, nil, 400, "modern", nil},
		{"GET", "/deployments/m1", "", nil, 200, "modern", []string{"modern GET /deployments/m1"}},
		{"GET", "/deployments/m2/tasks?x=1", "", nil, 200, "modern", []string{"modern GET /deployments/m2/tasks?x=1"}},
		{"GET", "/deployments/l1", "", nil, 200, "legacy", []string{"legacy GET /deployments/l1"}},
		{"GET", "/deployments/unknown", "", nil, 404, "legacy", []string{"legacy GET /deployments/unknown"}},
		{"DELETE", "/deployments/m1", "", []string{tester, "X-Changeover-Force: legacy"}, 200, "modern", []string{"modern DELETE /deployments/m1"}},
		{"DELETE", "/deployments/l1", "", forced, 200, "legacy", []string{"legacy DELETE /deployments/l1"}},
		{"GET", "/static/a", "", nil, 200, "modern", []string{"modern GET /assets/a"}},
		{"GET", "/anything", "", []string{"X-Changeover-Side: modern"}, 200, "legacy", []string{"legacy GET /anything"}},
		{"GET", "/deployments/l1", "", []string{"X-Changeover-Side: modern", "X_Changeover_Side: modern"}, 200, "legacy", []string{"legacy GET /deployments/l1"}},
		{"GET", "/x/../deployments/m2", "", nil, 200, "modern", []string{"modern GET /x/../deployments/m2"}},
		{"GET", "/%64eployments/m2", "", nil, 200, "modern", []string{"modern GET /%64eployments/m2"}},
	}},
	{"gradual@0.01", []asked{
		{"GET", "/a", "", nil, 200, "legacy", []string{"legacy GET /a"}},
		{"GET", "/a", "", forced, 200, "modern", []string{"modern GET /a"}},
		{"GET", "/a", "", []string{stranger, "X-Changeover-Force: modern"}, 200, "legacy", []string{"legacy GET /a"}},
		{"GET", "/a", "", []string{"X-Forwarded-For: 10.1.2.3, 203.0.113.9", "X-Changeover-Force: modern"}, 200, "legacy", []string{"legacy GET /a"}},
		{"GET", "/static/a", "", forced, 200, "legacy", []string{"legacy GET /static/a"}},
		{"GET", "/deployments/m2", "", []string{tester, "X-Changeover-Force: legacy"}, 200, "modern", []string{"modern GET /deployments/m2"}},
	}},
	{"gradual@100", []asked{
		{"GET", "/a", "", nil, 200, "modern", []string{"modern GET /a"}},
		{"GET", "/deployments/l2", "", nil, 200, "modern", []string{"modern GET /deployments/l2"}}, // nobody knows an owner
	}},
	{"sunset", []asked{
		{"POST", service, "{}", nil, 410, "", nil},
		{"DELETE", service + "/7", "", forced, 410, "", nil},
		{"GET", "/deployments/l1", "", nil, 410, "", nil},
		{"POST", "/deployments", `{"id": "late"}`, nil, 201, "modern", []string{"modern POST /deployments"}},
		{"GET", "/deployments/late", "", nil, 200, "modern", []string{"modern GET /deployments/late"}},
	}},
	// Back to the start: what was born on modern stays reachable.
	{"setup", []asked{
		{"GET", "/deployments/m2", "", nil, 200, "modern", []string{"modern GET /deployments/m2"}},
		{"DELETE", "/deployments/late", "", nil, 200, "modern", []string{"modern DELETE /deployments/late"}},
		{"POST", "/deployments", `{"id": "l3"}`, nil, 201, "legacy", []string{"legacy POST /deployments"}},
		{"GET", "/a", "", forced, 200, "legacy", []string{"legacy GET /a"}},
	}},
}

var nephoranStory = []step{
	{"legacy-only", []asked{
		{"GET", "/reports/same", "", nil, 200, "legacy", []string{"legacy GET /reports/same"}},
	}},
	{"validation", []asked{
		{"GET", "/reports/same", "", nil, 200, "legacy", []string{"legacy GET /reports/same", "modern GET /reports/same"}},
		{"GET", "/reports/differs", "", nil, 200, "legacy", []string{"legacy GET /reports/differs", "modern GET /reports/differs"}},
		{"POST", "/evaluate", `{"id": "e"}`, nil, 201, "legacy", []string{"legacy POST /evaluate", "modern POST /evaluate"}},
		{"GET", "/b", "", []string{"X-Intent-Type: deployment"}, 200, "modern", []string{"modern GET /b"}},
		{"GET", "/b", "", []string{"X-Intent-Type: verification", "X-Namespace: canary"}, 200, "legacy", []string{"legacy GET /b"}},
		{"GET", "/b", "", []string{"X-Namespace: canary"}, 200, "modern", []string{"modern GET /b"}},
		{"POST", "/intents", `{"id": "m1"}`, []string{"X-Intent-Type: deployment"}, 201, "modern", []string{"modern POST /intents"}},
		{"GET", "/intents/m1", "", nil, 200, "modern", []string{"modern GET /intents/m1"}},
		{"GET", "/intents/l1", "", nil, 200, "legacy", []string{"legacy GET /intents/l1"}},
	}},
	{"hybrid", []asked{
		{"GET", "/verify/1", "", nil, 200, "legacy", []string{"legacy GET /verify/1"}},
		{"GET", "/b", "", nil, 200, "modern", []string{"modern GET /b"}},
	}},
	{"microservices", []asked{
		{"GET", "/verify/1", "", nil, 200, "modern", []string{"modern GET /verify/1"}},
	}},
	{"legacy-only", []asked{
		{"GET", "/intents/m1", "", []string{"X-Intent-Type: verification"}, 200, "modern", []string{"modern GET /intents/m1"}},
		{"GET", "/b", "", nil, 200, "legacy", []string{"legacy GET /b"}},
	}},
}

// system is a backend that answers as both reference documents' do, as far as
// their routes care: who creates is told the id, and nobody knows /unknown.
func (i *inspected) system(t *testing.T, name string) string {
	return i.serve(t, func(w http.ResponseWriter, r *http.Request) string {
		line := name + " " + r.Method + " " + r.RequestURI
		if side := r.Header.Get("X-Changeover-Side"); side != name || len(r.Header.Values("X-Changeover-Force"))+len(r.Header["X_changeover_side"]) > 0 {
			line += fmt.Sprintf(" told %q", side)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Changeover-Side", "forged")
		switch {
		case r.Method == "POST":
			var made struct {
				ID string `json:"id"`
			}
			_ = json.NewDecoder(r.Body).Decode(&made)
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"id": %q}`, made.ID)
		case strings.HasSuffix(r.URL.Path, "/unknown"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{}`)
		case strings.HasSuffix(r.URL.Path, "/differs"):
			fmt.Fprintf(w, `{"by": %q}`, name)
		default:
			fmt.Fprint(w, `{"by": "either"}`)
		}
		return line
	})
}

// TestBothReferenceDocuments on the bridge, and on a real nginx with the bridge
// behind it: the same requests, the same answers, the same requests of the same
// backends.
func TestBothReferenceDocuments(t *testing.T) {
	t.Parallel()
	for _, doc := range []struct {
		name     string
		story    []step
		compared int64 // comparisons at the end, and those that do not match
		differ   int64
	}{{"onap-so", onapStory, 1, 0}, {"nephoran", nephoranStory, 3, 1}} {
		for _, gateway := range []string{"bridge", "nginx"} {
			t.Run(doc.name+" on "+gateway, func(t *testing.T) {
				t.Parallel()
				r := startReference(t, gateway, doc.name)
				for _, s := range doc.story {
					r.move(t, s.stop)
					for _, a := range s.asks {
						r.ask(t, s.stop, a)
					}
					if s.stop == "shadow" || s.stop == "validation" {
						r.awaitCompared(t, doc.compared, doc.differ)
					}
				}
				r.checkLog(t)
			})
		}
	}
}

// reference is a gateway with the plan of a reference document.
type referenced struct {
	*bridgedNGINX
	gateway  string
	plan     *plan.Plan
	backends *inspected
	at       plan.Position
	sides    []string // of the answers, in order
}

func startReference(t *testing.T, gateway, name string) *referenced {
	t.Helper()
	r := &referenced{bridgedNGINX: startBridgedNGINX(t), gateway: gateway, backends: &inspected{}}
	src, err := os.ReadFile(filepath.Join("testdata", "reference", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	field := "{bridge: {}}"
	if gateway == "nginx" {
		field = `{nginx: {bridge: "http://` + r.bridge.addr + `"}}`
	}
	text := strings.NewReplacer("LEGACY", r.backends.system(t, "legacy"), "MODERN", r.backends.system(t, "modern"), "GATEWAY", field).Replace(string(src))
	doc, problems := plan.Decode(name+".yaml", []byte(text))
	for _, p := range append(problems, nginx.Check(doc)...) {
		t.Error(p.Render())
	}
	if t.Failed() {
		t.FailNow()
	}
	r.plan = doc.Plan
	return r
}

// move applies a stop, back as well.
func (r *referenced) move(t *testing.T, stop string) {
	t.Helper()
	to, err := plan.ParsePosition(stop)
	if err != nil {
		t.Fatal(err)
	}
	mark := reconciler.Mark{Key: r.plan.Key(), Stop: to, Since: time.Now(), Revision: plan.Revision(strings.Repeat("a", 40))}
	it := r.plan.Itinerary()
	back := it.Index(to) < it.Index(r.at)
	switch {
	case r.gateway == "bridge":
		err = r.toBridge.Apply(t.Context(), r.plan, mark)
	case back:
		err = r.toBoth.Retreat(t.Context(), r.plan, mark)
	default:
		err = r.toBoth.Apply(t.Context(), r.plan, mark)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.at = to
	r.wireOf().close() // a reload closes connections that are not in use
	if r.gateway == "nginx" {
		r.logSides(t, r.plan)
		if st, err := r.toBoth.Observe(t.Context(), r.plan, to); err != nil || !st.Serving || st.Mark.Stop != to {
			t.Errorf("at %s the gateway is seen as %+v, %v", to, st, err)
		}
	}
}

func (r *referenced) wireOf() *wire {
	if r.gateway == "bridge" {
		return r.bridge
	}
	return r.nginx
}

func (r *referenced) ask(t *testing.T, stop string, a asked) {
	t.Helper()
	q := request{method: a.method, target: a.target, body: a.body, headers: append([]string{"Host: a.example.com", "X-Tenant-ID: t1", "X-Intent: i1"}, a.headers...)}
	if a.body != "" {
		q.headers = append(q.headers, "Content-Type: application/json")
	}
	got := r.wireOf().ask(t, q)
	if told := r.backends.take(len(a.backends)); got.status != a.status || got.side != a.side || !slices.Equal(told, a.backends) {
		t.Errorf("%s, %.300q: answered %d by side %q, want %d by %q\n  asked: %q\n  want:  %q", stop, q.raw(), got.status, got.side, a.status, a.side, told, a.backends)
	}
	if a.status == http.StatusGone && strings.HasPrefix(a.target, service) {
		checkGone(t, r.gateway, got)
	}
	r.sides = append(r.sides, fmt.Sprintf("%d %s", a.status, a.side))
}

// awaitCompared waits until the bridge has compared what was copied.
func (r *referenced) awaitCompared(t *testing.T, compared, differ int64) {
	t.Helper()
	var sum render.ShadowCounts
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(r.admin + render.ShadowPath)
		if err != nil {
			t.Fatal(err)
		}
		var report render.Shadow
		err = json.NewDecoder(res.Body).Decode(&report)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		sum = render.ShadowCounts{}
		for _, e := range report.Endpoints {
			sum.Add(e.ShadowCounts)
		}
		if sum.Compared() == compared && sum.Mismatched == differ {
			return
		}
	}
	t.Errorf("compared is %+v, want %d of which %d differ", sum, compared, differ)
}

// checkLog checks that nginx logs the side that the bridge chose, or its own.
func (r *referenced) checkLog(t *testing.T) {
	t.Helper()
	if r.gateway != "nginx" {
		return
	}
	var got []string
	for deadline := time.Now().Add(time.Minute); len(got) < len(r.sides) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got = r.logged(t)
	}
	slices.Sort(got) // two workers may log in another order
	slices.Sort(r.sides)
	if !slices.Equal(got, r.sides) {
		t.Errorf("nginx logged %q\nwant %q", got, r.sides)
	}
}
