package route_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/test/flagd"
)

// callers are 20,000 of all sorts.
func callers() []string {
	out := make([]string, 20_000)
	for i := range out {
		switch i % 4 {
		case 0:
			out[i] = fmt.Sprint("tenant-", i)
		case 1:
			out[i] = fmt.Sprintf("%08x-0000-4000-8000-%012d", i*2654435761, i)
		case 2:
			out[i] = fmt.Sprintf("Größe %d/東京 \"%d\"", i, i*7)
		default:
			out[i] = fmt.Sprint(i)
		}
	}
	return out
}

func splitAt(t *testing.T, percent plan.Percent) *route.Table {
	t.Helper()
	p := &plan.Plan{Metadata: plan.Metadata{Name: "shop", Namespace: "default"}, Spec: plan.Spec{
		Backends: plan.Backends{Legacy: plan.Backend{URL: "http://127.0.0.1:1"}, Modern: plan.Backend{URL: "http://127.0.0.1:2"}},
		Identity: &plan.Identity{Header: "X-Tenant", Cohort: "spring"},
		Phases:   []plan.Phase{{Name: "gradual", Percents: []plan.Percent{percent}, Routes: []plan.Route{{To: plan.ToSplit}}}},
	}}
	c, err := bridge.Render(p, plan.Position{Phase: "gradual", Percent: percent})
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// definition is a flag whose callers are those of the plan: the key with its salt,
// weights that sum up to the number of buckets, and modern first.
func definition(t *testing.T, percent plan.Percent) []byte {
	t.Helper()
	modern := int(percent*100 + 0.5)
	b, err := json.Marshal(map[string]any{"flags": map[string]any{"shop": map[string]any{
		"state": "ENABLED", "defaultVariant": "legacy", "variants": map[string]string{"legacy": "legacy", "modern": "modern"},
		"targeting": map[string]any{"fractional": []any{
			map[string]any{"cat": []any{"spring:", map[string]string{"var": "targetingKey"}}},
			[]any{"modern", modern}, []any{"legacy", plan.Buckets - modern},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// At every step from 0 to 100 % no caller of modern is lost on the way up, and
// flagd's evaluator chooses the same callers as the bridge.
func TestTheBridgeAndFlagdChooseTheSameCallers(t *testing.T) {
	evaluator, keys := flagd.Build(t), callers()
	was := make([]plan.Side, len(keys))
	r := httptest.NewRequest("GET", "/", nil)
	lost, other, asked := 0, 0, 0
	for step := range 101 {
		percent := plan.Percent(step)
		if step == 33 {
			percent = 33.33
		}
		table := splitAt(t, percent)
		sides := make([]plan.Side, len(keys))
		for i, k := range keys {
			r.Header["X-Tenant"] = []string{k}
			sides[i] = table.Choose(r, netip.Addr{}).Side
			if was[i] == plan.Modern && sides[i] != plan.Modern {
				lost++
			}
		}
		was = sides
		if step%50 != 0 && step != 33 && step != 1 && os.Getenv("CHANGEOVER_ACCEPT") == "" {
			continue // each costs flagd a second
		}
		asked++
		for i, v := range evaluator.Variants(t, definition(t, percent), "shop", keys) {
			if v != string(sides[i]) {
				if other++; other < 5 {
					t.Errorf("at %s %% caller %q is on %s by the bridge and on %s by flagd", percent, keys[i], sides[i], v)
				}
			}
		}
	}
	t.Logf("%d callers, 101 steps: %d lost; flagd was asked at %d steps: %d others", len(keys), lost, asked, other)
	if lost > 0 || other > 0 {
		t.Errorf("%d callers were lost, %d are others by flagd", lost, other)
	}
}
