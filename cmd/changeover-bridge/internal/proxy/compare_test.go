package proxy_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// comparing is a rule that compares everything below a prefix.
func comparing(prefix string, c plan.Comparison) bridge.Rule {
	return matching(prefix, shadow(&bridge.Mirror{Percent: 100, Compare: &c}))
}

// says is a backend that answers in JSON.
func says(t testing.TB, body func(r *http.Request) string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method != "HEAD" {
			fmt.Fprint(w, body(r))
		}
	}).URL
}

// compared waits until so many requests to an endpoint have a verdict.
func (f *fixture) compared(path string, n int64) bridge.ShadowEndpoint {
	f.t.Helper()
	var last bridge.Shadow
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		last, _ = f.Shadow()
		for _, e := range last.Endpoints {
			if e.Path == path && e.Eligible == n {
				return e
			}
		}
	}
	f.t.Fatalf("%s has no %d comparisons: %+v", path, n, last)
	return bridge.ShadowEndpoint{}
}

func TestAnswersAreCompared(t *testing.T) {
	legacy := says(t, func(r *http.Request) string { return fmt.Sprintf(`{"path":%q,"v":1}`, r.URL.Path) })
	modern := says(t, func(r *http.Request) string {
		if strings.HasPrefix(r.URL.Path, "/differs") {
			return fmt.Sprintf(`{"v":2, "path":%q}`, r.URL.Path)
		}
		return fmt.Sprintf(`{"v":1.0, "path":%q}`, r.URL.Path)
	})
	f := newFixture(t, legacy, modern, proxy.Options{}, comparing("/", plan.Comparison{}))
	for i := range 10 {
		if _, body := call(t, "GET", fmt.Sprintf("%s/same/%d", f.url, i), ""); body != fmt.Sprintf(`{"path":"/same/%d","v":1}`, i) {
			t.Fatalf("the client got %s", body)
		}
		call(t, "GET", fmt.Sprintf("%s/differs/%d", f.url, i), "")
	}
	call(t, "HEAD", f.url+"/head", "")
	if e := f.compared("/same/{id}", 10); e.Matched != 10 || e.Delta.N != 10 {
		t.Errorf("got %+v", e)
	}
	if e := f.compared("/differs/{id}", 10); e.Mismatched != 10 || len(e.Fields) != 1 || e.Fields[0].Path != "$.v" {
		t.Errorf("got %+v", e)
	}
	if e := f.compared("/head", 1); e.Matched != 1 {
		t.Errorf("got %+v", e)
	}
	f.metric(11, "changeover_bridge_shadow_comparisons_total", "route=0", "verdict=matched")
	f.metric(10, "changeover_bridge_shadow_comparisons_total", "route=0", "verdict=mismatched")
	f.metric(21, "changeover_bridge_shadow_eligible_requests_total", "route=0")
}

// TestWhatCannotBeCompared: each is told by its reason.
func TestWhatCannotBeCompared(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	serve := func(modern bool) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/large":
				fmt.Fprint(w, large)
			case "/large-streamed":
				for range 3 {
					fmt.Fprint(w, large[:150<<10])
					w.(http.Flusher).Flush()
				}
			case "/things/4711":
				if modern {
					w.WriteHeader(404)
				}
			case "/left":
				if !modern {
					fmt.Fprint(w, "begun")
					w.(http.Flusher).Flush()
					select {
					case <-hang:
					case <-r.Context().Done():
					}
				}
			case "/broken":
				if modern {
					w.Header().Set("Content-Length", "100")
					fmt.Fprint(w, "begun")
				}
			case "/zipped":
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = z.Write([]byte("the same"))
				if modern {
					_ = z.Flush()
				}
				_ = z.Close()
			case "/upload":
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}).URL
	}
	f := newFixture(t, serve(false), serve(true), proxy.Options{},
		matching("/upload", shadow(&bridge.Mirror{Percent: 100, Unsafe: true, Compare: &plan.Comparison{}})), comparing("/", plan.Comparison{}))
	for _, path := range []string{"/large", "/large-streamed", "/things/4711", "/broken", "/zipped"} {
		call(t, "GET", f.url+path, "")
	}
	call(t, "PUT", f.url+"/upload", large)
	resp, err := http.Get(f.url + "/left")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for path, want := range map[string]string{
		"/large": "too large", "/large-streamed": "too large", "/things/{id}": "modern does not have it", "/left": "the client left",
	} {
		if e := f.compared(path, 1); e.NotComparable != 1 || e.Notes[want] != 1 {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if e := f.compared("/broken", 1); e.Errored != 1 || e.Notes["broken off"] != 1 {
		t.Errorf("got %+v", e)
	}
	if e := f.compared("/zipped", 1); e.Matched != 1 {
		t.Errorf("got %+v", e)
	}
	if e := f.compared("/upload", 1); e.Dropped != 1 || e.Notes["request body too large"] != 1 {
		t.Errorf("got %+v", e)
	}
}

// TestASickModernIsErrored: and when copies are dropped, so are comparisons.
func TestASickModernIsErrored(t *testing.T) {
	legacy := says(t, func(*http.Request) string { return `{}` })
	f := newFixture(t, legacy, "http://"+nowhere(t), proxy.Options{}, comparing("/", plan.Comparison{}))
	for range 50 {
		if code, _ := call(t, "GET", f.url+"/", ""); code != 200 {
			t.Fatalf("code %d", code)
		}
	}
	if e := f.compared("/", 50); e.Errored < 5 || e.Errored+e.Notes["modern does not answer"] != 50 || e.Compared() != 0 {
		t.Errorf("got %+v", e)
	}
	stuck := make(chan struct{})
	modern := backend(t, func(http.ResponseWriter, *http.Request) { <-stuck }).URL
	f = newFixture(t, legacy, modern, proxy.Options{}, comparing("/", plan.Comparison{}))
	const n = 300
	for range n {
		if code, _ := call(t, "GET", f.url+"/", ""); code != 200 {
			t.Fatalf("code %d", code)
		}
	}
	if e := f.compared("/", n-256); e.Dropped != n-256 || e.Notes["too many copies"] != n-256 {
		t.Errorf("got %+v", e)
	}
	close(stuck)
	// The answers that come at once may be more than wait to be compared: those are dropped and counted.
	if e := f.compared("/", n); e.Dropped+e.Compared() != n || e.Dropped != n-256+e.Notes["queue full"] || e.Compared() == 0 {
		t.Errorf("got %+v", e)
	}
}

// TestTheBaselineAsksLegacyTwice: as often as the plan says, what is safe alone, and
// what differs then is noise.
func TestTheBaselineAsksLegacyTwice(t *testing.T) {
	var gets, posts, marked atomic.Int64
	noisy := func(r *http.Request) string {
		if r.Method == "POST" {
			posts.Add(1)
		} else {
			gets.Add(1)
		}
		if r.Header.Get(bridge.HeaderSide) == "legacy" && r.Header.Get("X-Mine") == "1" {
			marked.Add(1)
		}
		return fmt.Sprintf(`{"id":%d,"at":%q}`, rand.Uint64(), time.Now().Format(time.RFC3339Nano))
	}
	quiet := func(*http.Request) string { return fmt.Sprintf(`{"id":%d,"at":"x"}`, rand.Uint64()) }
	f := newFixture(t, says(t, noisy), says(t, quiet), proxy.Options{},
		matching("/", shadow(&bridge.Mirror{Percent: 100, Unsafe: true, Compare: &plan.Comparison{Baseline: new(plan.Percent(50))}})))
	const n = 200
	for i := range n {
		call(t, "GET", f.url+"/gets", "", "X-Mine", "1")
		f.compared("/gets", int64(i+1))
	}
	for range 20 {
		call(t, "POST", f.url+"/posts", "x")
	}
	if e := f.compared("/gets", n); e.Mismatched != 0 || e.Pending != 0 || e.Noise != n {
		t.Errorf("got %+v", e)
	}
	if e := f.compared("/posts", 20); e.Pending != 20 || e.BaselineSamples != 0 {
		t.Errorf("got %+v", e)
	}
	if got := gets.Load(); got < n+40 || got > n+n/2 || posts.Load() != 20 || marked.Load() != got {
		t.Errorf("legacy got %d GET (%d as the client sent them) and %d POST", got, marked.Load(), posts.Load())
	}
}

// TestWhatWasComparedOutlivesASwap: as long as the rule stays as it is.
func TestWhatWasComparedOutlivesASwap(t *testing.T) {
	legacy, modern := says(t, func(*http.Request) string { return `1` }), says(t, func(*http.Request) string { return `1` })
	f := newFixture(t, legacy, modern, proxy.Options{}, comparing("/a", plan.Comparison{}))
	call(t, "GET", f.url+"/a", "")
	f.compared("/a", 1)
	f.serve(configOf(t, legacy, modern, matching("/new", shadow(nil)), comparing("/a", plan.Comparison{})))
	call(t, "GET", f.url+"/a", "")
	if e := f.compared("/a", 2); e.Route != 1 || e.Matched != 2 {
		t.Errorf("got %+v", e)
	}
	f.serve(configOf(t, legacy, modern, comparing("/a", plan.Comparison{Headers: []string{"Etag"}})))
	if s, ok := f.Shadow(); !ok || len(s.Endpoints) != 0 {
		t.Errorf("got %+v", s)
	}
	f.serve(configOf(t, legacy, modern, matching("/a", shadow(nil))))
	if s, ok := f.Shadow(); ok {
		t.Errorf("nothing is compared, and there is %+v", s)
	}
}

// TestATranslatedAnswerIsComparedAsCallersWouldSeeIt: in the form of legacy's API.
func TestATranslatedAnswerIsComparedAsCallersWouldSeeIt(t *testing.T) {
	legacy := says(t, func(*http.Request) string { return `{"name":"a","status":"Active"}` })
	modern := says(t, func(r *http.Request) string {
		switch r.URL.Path {
		case "/deployments/1":
			return `{"label":"a"}`
		case "/deployments/2":
			return `{"label":"b"}`
		}
		return `{}`
	})
	f := translating(t, legacy, modern, map[string]plan.Translation{"one": {
		Request:  &plan.RequestMapping{Path: `["deployments", request.segments[1]]`},
		Response: &plan.ResponseMapping{Body: `{"name": response.body.label, "status": "Active"}`},
	}}, bridge.Rule{Match: &plan.Match{PathPrefix: "/services/"}, To: plan.ToSplit, Percent: new(plan.Percent(0)), Translate: "one",
		Mirror: &bridge.Mirror{Percent: 100, Compare: &plan.Comparison{}}})
	for i := 1; i <= 3; i++ {
		call(t, "GET", fmt.Sprintf("%s/services/%d", f.url, i), "")
	}
	e := f.compared("/services/{id}", 3)
	if e.Matched != 1 || e.Mismatched != 1 || e.Errored != 1 || e.Notes["not translated"] != 1 || e.Fields[0].Path != "$.name" {
		t.Errorf("got %+v", e)
	}
}
