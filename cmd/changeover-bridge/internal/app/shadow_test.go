package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// shadows reads /shadow until what is wanted is there.
func (p *process) shadows(has func(bridge.Shadow) bool) (out bridge.Shadow) {
	p.t.Helper()
	var body string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var code int
		out = bridge.Shadow{}
		if code, _, body = fetch(p.t, p.admin+bridge.ShadowPath); code == 200 {
			if err := json.Unmarshal([]byte(body), &out); err != nil {
				p.t.Fatal(err)
			}
			if has(out) {
				return out
			}
		}
	}
	p.t.Fatalf("the bridge tells %s", body)
	return out
}

// TestTheBinaryComparesTwoBackends: with a plan's rules, a baseline, ids that modern
// does not have yet, and a rule that has expired.
func TestTheBinaryComparesTwoBackends(t *testing.T) {
	var twice atomic.Int64
	serve := func(modern bool) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
			w.Header().Set("Content-Type", "application/json")
			switch {
			case modern && len(id) == 4: // legacy's older ones
				w.WriteHeader(404)
			case modern:
				fmt.Fprintf(w, `{"status":"COMPLETED","id":"m-%s","at":%d,"cost":2}`, id, time.Now().UnixNano())
			default:
				twice.Add(1)
				fmt.Fprintf(w, `{"id":%s,"status":"Active","at":%d,"cost":1}`, id, time.Now().UnixNano())
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	p := planOf(serve(false), serve(true), 0)
	half, always := plan.Percent(0), plan.Percent(100)
	p.Spec.Phases[0].Routes = []plan.Route{{To: plan.ToSplit, Percent: &half, Mirror: &plan.Mirror{Compare: &plan.Comparison{
		Baseline: &always, Endpoints: []string{"/deployments/{id}"}, Rules: []plan.CompareRule{
			{Path: "$.status", Values: map[string]string{"Active": "COMPLETED"}}, {Path: "$.id", IDs: true},
			{Path: "$.cost", Ignore: true, Owner: "team-so", Expires: "2020-01-31"},
		}}}}}
	file := filepath.Join(t.TempDir(), "bridge.json")
	c := render(t, p, 10)
	write(t, file, c)
	b := start(t, "--config", file)
	const n = 60
	for i := range n {
		if code, _, body := fetch(t, fmt.Sprintf("%s/deployments/%d", b.traffic, 10000+i)); code != 200 || !strings.Contains(body, "Active") {
			t.Fatalf("the client got %d %s", code, body)
		}
		// One after the other, so that the queue has room for each.
		b.shadows(func(s bridge.Shadow) bool { return len(s.Endpoints) == 1 && s.Endpoints[0].Eligible == int64(i+1) })
	}
	for i := range 5 {
		fetch(t, fmt.Sprintf("%s/deployments/%d", b.traffic, 1000+i))
	}
	got := b.shadows(func(s bridge.Shadow) bool {
		return s.Endpoints[0].NotComparable == 5 && s.Endpoints[0].BaselineSamples >= 50
	})
	e := got.Endpoints[0]
	if got.Hash != c.Hash || e.Path != "/deployments/{id}" || e.Mismatched != n || e.Pending != 0 || e.Notes["modern does not have it"] != 5 {
		t.Errorf("got %+v", got)
	}
	for _, f := range e.Fields {
		switch {
		case f.Path == "$.cost" && !f.Noise && f.Differed == n:
		case f.Path == "$.at" && f.Noise && f.Differed == n:
		case (f.Path == "$.id" || f.Path == "$.status") && f.Differed == 0 && f.Excused == n:
		default:
			t.Errorf("got %+v", f)
		}
	}
	if len(e.Fields) != 4 || !got.Rules[2].Expired || got.Rules[1].Hits != n {
		t.Errorf("got %+v", got)
	}
	_, _, metrics := fetch(t, b.admin+"/metrics")
	if want := fmt.Sprintf(`changeover_bridge_shadow_comparisons_total{plan="so",route="0",verdict="mismatched"} %d`, n); !strings.Contains(metrics, want) {
		t.Errorf("the metrics have no %s", want)
	}
	if twice.Load() <= n+5 {
		t.Error("legacy was not asked twice")
	}
	// Where nothing is compared the bridge says so.
	p.Spec.Phases[0].Routes[0].Mirror = nil
	c = render(t, p, 10)
	write(t, file, c)
	b.awaitVersion(c.Hash)
	if code, _, body := fetch(t, b.admin+bridge.ShadowPath); code != 503 || !strings.Contains(body, "nothing is compared") {
		t.Errorf("got %d %s", code, body)
	}
}
