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
	g, err := bridge.New(bridge.Options{ConfigFile: filepath.Join(t.TempDir(), "b.json"), URLs: urls})
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Split(t.Context(), planOf("so"), at(25))
	for i, words := range []string{"", "serves old", "routes[9], which has none", "status 404", "does not say how it splits", "cannot be reached"} {
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
