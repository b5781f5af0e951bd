package app

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/clients"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// askSplit asks a bridge how it splits, at its admin address.
func askSplit(t *testing.T, b *Bridge) (out bridge.Split) {
	t.Helper()
	w := httptest.NewRecorder()
	b.admin().ServeHTTP(w, httptest.NewRequest("GET", bridge.SplitPath("so"), nil))
	if w.Code != 200 {
		t.Fatalf("it answers %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheBridgeCountsHowItSplits(t *testing.T) {
	b, c := newTestBridge(t, Options{})
	call := func(path, tenant string) plan.Side {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = "192.0.2.7:4711"
		if tenant != "" {
			r.Header.Set("X-Tenant", tenant)
		}
		w := httptest.NewRecorder()
		b.traffic(w, r)
		return plan.Side(w.Header().Get(bridge.HeaderSide))
	}
	var legacy, modern [bridge.Bins]int64
	for i := range 300 {
		tenant := fmt.Sprint("tenant-", i)
		bin := plan.Bucket("so", tenant) / 100
		if call("/", tenant) == plan.Modern {
			modern[bin]++
		} else {
			legacy[bin]++
		}
	}
	var random [2]int64
	for range 50 {
		if call("/", "") == plan.Modern {
			random[1]++
		} else {
			random[0]++
		}
	}
	call("/n/0", "tenant-1") // the bridge answers by itself

	got := askSplit(t, b)
	want := bridge.SplitRoute{Rule: 1, Legacy: legacy, Modern: modern, RandomLegacy: random[0], RandomModern: random[1]}
	if got.Hash != c.Hash || got.Since.IsZero() || len(got.Routes) != 1 || got.Routes[0] != want {
		t.Errorf("got %+v, want routes %+v of %s", got, want, c.Hash)
	}

	// The next config counts for itself.
	next := c
	next.Plan.Namespace = "other"
	sum, err := next.Sum()
	if err != nil {
		t.Fatal(err)
	}
	next.Hash = sum
	if err := b.proxy.Serve(next); err != nil {
		t.Fatal(err)
	}
	call("/", "tenant-1")
	var n int64
	for i := range bridge.Bins {
		s := askSplit(t, b).Routes[0]
		n += s.Legacy[i] + s.Modern[i]
	}
	if n != 1 {
		t.Errorf("%d requests after a new config, want 1", n)
	}
}

func TestTheBridgeTellsWhatGatesRead(t *testing.T) {
	ask := func(b *Bridge) (f bridge.Facts) {
		w := httptest.NewRecorder()
		b.admin().ServeHTTP(w, httptest.NewRequest("GET", bridge.FactsPath("so"), nil))
		if err := json.Unmarshal(w.Body.Bytes(), &f); w.Code != 200 || err != nil {
			t.Fatalf("it answers %d, %v: %s", w.Code, err, w.Body)
		}
		return f
	}
	if b, _ := newTestBridge(t, Options{}); ask(b).Clients != nil {
		t.Error("nobody is counted, and it tells how many there are")
	}
	by, err := clients.ParseBy("address")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := newTestBridge(t, Options{ClientsBy: by})
	want := map[plan.Side]int{}
	seen := map[string]bool{}
	for i := range 40 {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:4711", i)
		r.Header.Set("X-Tenant", fmt.Sprint("tenant-", i))
		w := httptest.NewRecorder()
		b.traffic(w, r)
		if side := w.Header().Get(bridge.HeaderSide); !seen[side+r.RemoteAddr] {
			seen[side+r.RemoteAddr] = true
			want[plan.Side(side)]++
		}
	}
	got := ask(b).Clients
	if got == nil || got.Since.IsZero() || got.Legacy != want[plan.Legacy] || got.Modern != want[plan.Modern] || got.Legacy+got.Modern != 40 {
		t.Errorf("it tells %+v, want %v", got, want)
	}
}
