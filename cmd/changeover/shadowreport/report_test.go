package shadowreport_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/shadowreport"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// found is what one bridge tells; modern takes 5 ms longer, give or take one.
func found(hash string, requests int) bridge.Shadow {
	e := bridge.ShadowEndpoint{
		Method: "GET", Path: "/orders/{id}", Since: at.Add(-time.Hour),
		ShadowCounts: bridge.ShadowCounts{Eligible: 200, Matched: 80, Mismatched: 4, Ignored: 16, Noise: 6, Errored: 2, NotComparable: 3, Dropped: 1},
		Notes:        map[string]int64{"timed out": 2},
		Fields: []bridge.ShadowField{
			{Path: "$.at", Differed: 90, Noise: true},
			{Path: "$.price<script>", Differed: 4, Kinds: map[string]int64{"value": 4}, Samples: []bridge.ShadowSample{{Kind: "value", Legacy: bridge.ShadowValue{Type: "number", Length: 3, Hash: "abcd"}}, {Kind: "value"}}},
		},
	}
	for i := range requests {
		legacy := time.Duration(10+i%3) * time.Millisecond
		modern := legacy + time.Duration(4+2*(i%2))*time.Millisecond
		e.Legacy.Observe(legacy)
		e.Modern.Observe(modern)
		e.Delta.Observe((modern - legacy).Seconds())
	}
	return bridge.Shadow{
		Plan: plan.Key{Namespace: "default", Name: "so"}, Hash: hash, Endpoints: []bridge.ShadowEndpoint{e},
		Rules: []bridge.ShadowRule{{Path: "$.x", Hits: 3}, {Path: "$.x", Hits: 5}, {Path: "$.y", Hits: 1, Expired: true, Expires: "2026-01-01", Owner: "so"}},
	}
}

func TestBridgesAreAddedUp(t *testing.T) {
	other := found("b", 40)
	other.Endpoints = append(other.Endpoints, bridge.ShadowEndpoint{Method: "GET", Path: "/idle"})
	r := shadowreport.Join([]bridge.Shadow{found("a", 60), other}, at)
	if len(r.Endpoints) != 2 || r.Bridges != 2 || len(r.Hashes) != 2 || r.Endpoints[1].Path != "/idle" || r.Endpoints[1].MatchRate != nil {
		t.Fatalf("got %+v", r)
	}
	e := r.Endpoints[0]
	if e.Mismatched != 8 || e.Matched != 160 || *e.MatchRate != 192.0/200 || *e.Coverage != 0.5 || *r.Total.MatchRate != 0.96 || e.Notes["timed out"] != 4 {
		t.Errorf("got %+v", e)
	}
	if len(e.Fields) != 2 || e.Fields[0].Path != "$.price<script>" || e.Fields[0].Differed != 8 || len(e.Fields[0].Samples) != 3 || e.Fields[0].Kinds["value"] != 8 {
		t.Errorf("fields %+v", e.Fields)
	}
	// A deviation of one millisecond and a hundred requests: the mean is known to 0.2.
	l := e.Latency
	if l.Requests != 100 || l.Delta < 0.00499 || l.Delta > 0.00501 || *l.Low < 0.0047 || *l.Low > 0.0049 || *l.High < 0.0051 || *l.High > 0.0053 {
		t.Errorf("latency %+v: %v to %v", l, *l.Low, *l.High)
	}
	if l.LegacyP50 < 0.010 || l.LegacyP50 > 0.015 || l.ModernP99 < 0.016 || l.ModernP99 > 0.025 {
		t.Errorf("latency %+v", l)
	}
	if len(r.Rules) != 3 || r.Rules[0].Hits != 6 || r.Rules[1].Hits != 10 || r.Rules[2].Hits != 2 {
		t.Errorf("rules %+v", r.Rules)
	}
}

func TestThePageIsWholeAndEscapes(t *testing.T) {
	r := shadowreport.Join([]bridge.Shadow{found("a", 5), found("b", 5)}, at)
	var b strings.Builder
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"Shadow report of default/so", "96.00%", "/orders/{id}", "$.price&lt;script&gt;", "number 3 abcd", "noise", "2026-01-01 (expired)", "different configs", "(too few)", "timed out: 4", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, not := range []string{"<script", "http://", "https://", "src="} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
}

func TestRatesAreNotRoundedUpToAll(t *testing.T) {
	for rate, want := range map[float64]string{1: "100.00%", 0.999999: "99.99%", 0.5: "50.00%", 0: "0.00%"} {
		if got := shadowreport.Share(&rate); got != want {
			t.Errorf("%v: %s", rate, got)
		}
	}
	if got := shadowreport.Share(nil); got != "-" {
		t.Error(got)
	}
}
