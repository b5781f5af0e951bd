package bridge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/bridge"
	render "github.com/changeover-dev/changeover/render/bridge"
)

func TestSplitReadsEveryReplica(t *testing.T) {
	want, err := render.Render(planOf("so"), at(25))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	good := render.Split{Hash: want.Hash, Since: since, Routes: []render.SplitRoute{{Rule: 0, RandomLegacy: 75, RandomModern: 25}}}
	good.Routes[0].Modern[24], good.Routes[0].Legacy[25] = 7, 8
	behind, odd := good, good
	behind.Hash = "old"
	odd.Routes = []render.SplitRoute{{Rule: 9}}
	serve := func(code int, answer any) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/_changeover/so/split" {
				t.Errorf("it asks for %s", r.URL.Path)
			}
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(answer)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	urls := []string{serve(200, good), serve(200, behind), serve(200, odd), serve(404, ""), serve(200, []int{1}), dead.URL}
	g, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "b.json")), Replicas: bridge.URLs(urls)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Split(t.Context(), planOf("so"), at(25))
	for i, words := range []string{"", "serves old", "routes[9], which has none", "status 404", "does not answer in the form that is wanted", "cannot be reached"} {
		if says := err != nil && strings.Contains(fmt.Sprint(err), urls[i]+" "); says != (words != "") || !strings.Contains(fmt.Sprint(err), words) {
			t.Errorf("replica %d: the error is\n%v\nwant it to say %q", i, err, words)
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d readings, want 1: %+v", len(got), got)
	}
	r := got[0]
	if r.Source != urls[0] || r.Route != "routes[0]" || r.Percent != 25 || !r.Since.Equal(since) ||
		r.Keyed[24].Modern != 7 || r.Keyed[25].Legacy != 8 || r.Random.Legacy != 75 || r.Random.Modern != 25 {
		t.Errorf("got %+v", r)
	}
}

func TestTellSumsUpWhatEveryReplicaTells(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tells := func(c *render.RecentClients) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/_changeover/so/facts" {
				t.Errorf("it asks for %s", r.URL.Path)
			}
			_ = json.NewEncoder(w).Encode(render.Facts{Clients: c})
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	counted := func(legacy int, ago time.Duration) string {
		return tells(&render.RecentClients{Since: now.Add(-ago), Legacy: legacy, Modern: 5})
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	for _, c := range []struct {
		name    string
		urls    []string
		legacy  int
		unknown string
	}{
		{"both tell", []string{counted(0, 2*time.Hour), counted(3, time.Hour)}, 3, ""},
		{"one began lately", []string{counted(0, 2*time.Hour), counted(0, 59*time.Minute)}, 0, "has counted clients for less than an hour"},
		{"one counts none", []string{counted(0, 2*time.Hour), tells(nil)}, 0, "--clients-by is none"},
		{"one is gone", []string{counted(0, 2*time.Hour), dead.URL}, 0, dead.URL + " cannot be reached"},
	} {
		g, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "b.json")), Replicas: bridge.URLs(c.urls)})
		if err != nil {
			t.Fatal(err)
		}
		got := g.Tell(t.Context(), planOf("so"), now)
		if (got.Clients == nil) != (c.unknown != "") || !strings.Contains(got.NoClients, c.unknown) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got.Clients != nil && (got.Clients.Legacy != c.legacy || got.Clients.Modern != 5*len(c.urls)) {
			t.Errorf("%s: %+v", c.name, *got.Clients)
		}
	}
}

func TestTellSumsUpTheComparisons(t *testing.T) {
	tells := func(c *render.ShadowCounts) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(render.Facts{Shadow: c})
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	good := tells(&render.ShadowCounts{Eligible: 100, Matched: 40, Ignored: 5, Mismatched: 5})
	bad := tells(&render.ShadowCounts{Eligible: 100, Mismatched: 50, NotComparable: 50})
	idle := tells(&render.ShadowCounts{})
	for _, c := range []struct {
		urls    []string
		want    gates.Shadow
		unknown string
	}{
		{[]string{good}, gates.Shadow{MatchRate: 0.9, Coverage: 0.5, Comparisons: 50}, ""},
		{[]string{good, bad, idle}, gates.Shadow{MatchRate: 0.45, Coverage: 0.5, Comparisons: 100}, ""},
		{[]string{idle}, gates.Shadow{}, "nothing was compared yet"},
		{[]string{good, tells(nil)}, gates.Shadow{}, "no route has mirror.compare"},
	} {
		g, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "b.json")), Replicas: bridge.URLs(c.urls)})
		if err != nil {
			t.Fatal(err)
		}
		got := g.Tell(t.Context(), planOf("so"), time.Now())
		if (got.Shadow == nil) != (c.unknown != "") || !strings.Contains(got.NoShadow, c.unknown) || got.Shadow != nil && *got.Shadow != c.want {
			t.Errorf("%d replicas: %+v, want %+v", len(c.urls), got, c.want)
		}
	}
}
