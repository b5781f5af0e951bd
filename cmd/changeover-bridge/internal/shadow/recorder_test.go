package shadow

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

func TestTemplates(t *testing.T) {
	ts := newTemplates([]string{"/users/{name}", "/users/{name}/orders/{order}", "/users/me"})
	for path, want := range map[string]string{
		"/":                             "/",
		"/deployments":                  "/deployments",
		"/v2/deployments/4711":          "/v2/deployments/{id}",
		"/deployments/4711/tasks":       "/deployments/{id}/tasks",
		"/users/ada":                    "/users/{name}",
		"/users/":                       "/users/",
		"/users/me":                     "/users/{name}", // the first that fits
		"/users/ada/orders/x":           "/users/{name}/orders/{order}",
		"/users/ada/carts":              "/users/ada/carts",
		"/files/ada@example.com":        "/files/{id}",
		"/" + strings.Repeat("a/", 300): elsewhere,
		"/" + strings.Repeat("a", 600):  elsewhere,
	} {
		got, one := ts.of(path)
		if got != want || one != strings.Contains(want, "{") {
			t.Errorf("%s: %s, one thing %v", path, got, one)
		}
	}
}

func TestWhatIsCounted(t *testing.T) {
	r, err := New(bridge.Mirror{Percent: 50, Compare: &plan.Comparison{Rules: []plan.CompareRule{
		{Path: "$.at", Ignore: true, Owner: "so", Expires: "2027-01-31"}, {Path: "$.l", Unordered: true, Expires: "2026-01-31"},
	}}}, 1, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(path string, legacy, modern compare.Answer, times int) {
		for range times {
			legacy.Took, modern.Took = 10*time.Millisecond, 15*time.Millisecond
			r.Judge(&Job{Recorder: r, Method: "GET", Path: path, Legacy: legacy, Modern: modern}, start)
		}
	}
	judge("/a/1", json(`{"v":1}`), json(`{"v":1}`), 20)
	judge("/a/2", json(`{"v":1,"at":1}`), json(`{"v":1,"at":2}`), 10)
	judge("/a/3", json(`{"v":1,"l":[1,2]}`), json(`{"v":2,"l":[2,1]}`), 5)
	gone := json(`{}`)
	gone.Status = 404
	judge("/a/4", json(`{}`), gone, 3)
	judge("/a/5", json(`{}`), compare.Answer{Flaw: compare.TimedOut}, 2)
	r.Dropped("GET", "/a/6", "queue full")
	rep := reportOf(r)
	e := rep.Endpoints[0]
	want := bridge.ShadowCounts{Eligible: 82, Matched: 20, Mismatched: 5, Ignored: 10, NotComparable: 3, Errored: 2, Dropped: 1}
	if len(rep.Endpoints) != 1 || e.Path != "/a/{id}" || e.ShadowCounts != want {
		t.Errorf("got %+v", e)
	}
	if rate, coverage := e.MatchRate(), e.Coverage(); rate != 30.0/35 || coverage != 35.0/82 {
		t.Errorf("match rate %v, coverage %v", rate, coverage)
	}
	if e.Notes[compare.Absent] != 3 || e.Notes[compare.TimedOut] != 2 || e.Notes["queue full"] != 1 {
		t.Errorf("notes %v", e.Notes)
	}
	if len(e.Fields) != 3 || e.Fields[0].Differed != 5 || len(e.Fields[0].Samples) != maxSamples || e.Fields[2].Path != "$.at" || e.Fields[2].Excused != 10 {
		t.Errorf("fields %+v", e.Fields)
	}
	if rep.Rules[0].Hits != 10 || rep.Rules[0].Expired || rep.Rules[1].Hits != 0 || !rep.Rules[1].Expired {
		t.Errorf("rules %+v", rep.Rules)
	}
	if half, ok := e.Delta.Interval(); !ok || half > 1e-9 || e.Delta.N != 40 || e.Delta.Mean < 0.00499 || e.Delta.Mean > 0.00501 {
		t.Errorf("delta %+v", e.Delta)
	}
	if q := e.Legacy.Quantile(0.99); q < 10*time.Millisecond || q > 12500*time.Microsecond {
		t.Errorf("p99 %s", q)
	}
}

// TestMemoryIsBounded: endpoints, fields, groups and samples without end.
func TestMemoryIsBounded(t *testing.T) {
	r := recorder(t, plan.Comparison{})
	letters := func(n int) string {
		var b []byte
		for ; n >= 0; n = n/26 - 1 {
			b = append(b, byte('a'+n%26))
		}
		return string(b)
	}
	for i := range 3000 {
		l := json(fmt.Sprintf(`{%q:1,%q:2,%q:3}`, letters(i), letters(i*7), strings.Repeat(letters(i), 300)))
		r.Judge(&Job{Recorder: r, Method: "GET", Path: "/a", Legacy: l, Modern: json(`{}`)}, start)
		r.Judge(&Job{Recorder: r, Method: "GET", Path: "/b/" + letters(i), Legacy: json(`1`), Modern: json(`2`)}, start)
	}
	rep := reportOf(r)
	if n := len(rep.Endpoints); n != maxEndpoints+1 {
		t.Errorf("%d endpoints", n)
	}
	e := r.endpoints[name{"GET", "/a"}]
	if len(e.fields) > maxFields+1 || len(e.groups) > maxGroups+1 {
		t.Errorf("%d fields, %d groups", len(e.fields), len(e.groups))
	}
	if got := sum(r); got.Mismatched != 6000 {
		t.Errorf("got %+v", got)
	}
}

// TestTheQueueDropsAndCounts: it never blocks, and has no goroutine when it is empty.
func TestTheQueueDropsAndCounts(t *testing.T) {
	var q Queue
	stuck, other := recorder(t, plan.Comparison{}), recorder(t, plan.Comparison{})
	stuck.mu.Lock()
	q.Put(&Job{Recorder: stuck, Method: "GET", Path: "/"})
	for taken := false; !taken; runtime.Gosched() { // the worker holds it
		q.mu.Lock()
		taken = len(q.jobs) == 0
		q.mu.Unlock()
	}
	const n = 1000
	for range n {
		q.Put(&Job{Recorder: other, Method: "GET", Path: "/", Legacy: json(`1`), Modern: json(`1`)})
	}
	if got := sum(other); got.Dropped != n-MaxQueued {
		t.Errorf("%d were dropped, want %d", got.Dropped, n-MaxQueued)
	}
	stuck.mu.Unlock()
	for running := true; running; runtime.Gosched() {
		q.mu.Lock()
		running = q.running
		q.mu.Unlock()
	}
	if got := sum(other); got.Matched != MaxQueued || got.Eligible != n || reportOf(other).Endpoints[0].Notes[queueFull] != n-MaxQueued {
		t.Errorf("got %+v", got)
	}
}
