package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// comparingBridge answers at /shadow.
func comparingBridge(t *testing.T, name string, mismatched int64) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != bridge.ShadowPath {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(bridge.Shadow{
			Plan: plan.Key{Namespace: "default", Name: name}, Hash: "x",
			Endpoints: []bridge.ShadowEndpoint{{
				Method: "GET", Path: "/orders/{id}", ShadowCounts: bridge.ShadowCounts{Eligible: 100, Matched: 50 - mismatched, Mismatched: mismatched},
				Fields: []bridge.ShadowField{{Path: "$.price", Differed: mismatched, Kinds: map[string]int64{"value": mismatched, "type": 1}}},
			}},
			Rules: []bridge.ShadowRule{{Path: "$.at", Owner: "team-so", Expires: "2026-01-31", Hits: 7, Expired: true}},
		})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTheShadowReport(t *testing.T) {
	bad, good := comparingBridge(t, "so", 5), comparingBridge(t, "so", 0)
	code, out, errs := call(t, "shadow", "report", "so", "--bridge-url", bad, "--bridge-url", good+"/")
	if code != exitFindings {
		t.Fatalf("code %d: %s", code, errs)
	}
	words := strings.Join(strings.Fields(out), " ")
	wantAll(t, words, "GET /orders/{id} 95.00% 50.00% 95 5 0 0 0 0 0", "GET /orders/{id} $.price 5 0 type,value -", "$.at team-so 2026-01-31 (expired) 14")
	wantAll(t, errs, "Plan default/so, 2 bridges: match rate 95.00%, coverage 50.00% of 200 eligible requests.")
	if code, out, _ := call(t, "shadow", "report", "--bridge-url", good, "-o", "json"); code != exitOK || !strings.Contains(out, `"matchRate": 1`) {
		t.Errorf("code %d, JSON %s", code, out)
	}
	if code, out, _ := call(t, "shadow", "report", "default/so", "--bridge-url", good, "-o", "html"); code != exitOK || !strings.HasPrefix(out, "<!doctype html>") {
		t.Errorf("code %d, page %s", code, out)
	}
}

func TestTheShadowReportSaysWhatIsWrong(t *testing.T) {
	so, shop := comparingBridge(t, "so", 0), comparingBridge(t, "shop", 0)
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no bridge":       {nil, exitUsage, "--bridge-url is required"},
		"no URL":          {[]string{"--bridge-url", "localhost"}, exitUsage, "--bridge-url: want http://HOST:PORT"},
		"another plan":    {[]string{"shop", "--bridge-url", so}, exitUsage, "serves plan default/so, not shop"},
		"different plans": {[]string{"--bridge-url", so, "--bridge-url", shop}, exitUsage, "different plans"},
		"old bridge":      {[]string{"--bridge-url", none.URL}, exitFailed, "404"},
		"no such format":  {[]string{"--bridge-url", so, "-o", "wide"}, exitUsage, "want one of table, json, yaml, html"},
	} {
		if code, _, errs := call(t, append([]string{"shadow", "report"}, tc.args...)...); code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: code %d, %s", name, code, errs)
		}
	}
}
