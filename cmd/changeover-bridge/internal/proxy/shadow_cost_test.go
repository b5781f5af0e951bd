package proxy_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// TestAShadowCostsCallersNothing: the same caller asks with a shadow and without
// one, in pairs of random order, while modern is well, slow, or gone. What differs
// at the 99th percentile is given with its 95 % interval, by resampling.
func TestAShadowCostsCallersNothing(t *testing.T) {
	pairs, most := 200, math.Inf(1) // how long it takes is measured by the full counts alone
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		pairs, most = 60000, 1.05
	}
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "an answer of some length") }
	for name, modern := range map[string]string{
		"well": backend(t, answer).URL,
		"slow": backend(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-stuck:
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
		}).URL,
		"gone": "http://" + nowhere(t),
	} {
		for kind, comparison := range map[string]*plan.Comparison{"copied": nil, "compared": {Baseline: new(plan.Percent(5))}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				costs(t, backend(t, answer).URL, modern, &bridge.Mirror{Percent: 100, Compare: comparison}, pairs, most)
			})
		}
	}
}

func costs(t *testing.T, legacy, modern string, mirror *bridge.Mirror, pairs int, most float64) {
	f := newFixture(t, legacy, modern, proxy.Options{},
		matching("/plain", shadow(nil)), matching("/shadow", shadow(mirror)), bridge.Rule{To: plan.ToLegacy})
	with, without := askInPairs(t, f.url, pairs)
	low, ratio, high := ratioOfP99(with, without)
	t.Logf("p50 %s with, %s without; p99 %s with, %s without: %.3f times, 95 %% interval %.3f to %.3f",
		quantile(with, 0.5), quantile(without, 0.5), quantile(with, 0.99), quantile(without, 0.99), ratio, low, high)
	if low > most { // worse beyond doubt
		t.Errorf("with a shadow callers wait %.3f times as long (%.3f to %.3f), want at most %.2f", ratio, low, high, most)
	}
}

// askInPairs measures requests one after the other over one connection.
func askInPairs(t *testing.T, url string, pairs int) (with, without []time.Duration) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(path string) time.Duration {
		begun := time.Now()
		resp, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return time.Since(begun)
	}
	for range 100 { // warm
		ask("/plain")
		ask("/shadow")
	}
	for range pairs {
		if rand.IntN(2) == 0 {
			without = append(without, ask("/plain"))
			with = append(with, ask("/shadow"))
		} else {
			with = append(with, ask("/shadow"))
			without = append(without, ask("/plain"))
		}
	}
	return with, without
}

func quantile(d []time.Duration, q float64) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)]
}

// ratioOfP99 is that of the two, with its 95 % interval.
func ratioOfP99(a, b []time.Duration) (low, ratio, high float64) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []float64
	for range 400 {
		x, y := make([]time.Duration, len(a)), make([]time.Duration, len(b))
		for i := range x {
			k := random.IntN(len(a)) // pairs stay together
			x[i], y[i] = a[k], b[k]
		}
		all = append(all, float64(quantile(x, 0.99))/float64(quantile(y, 0.99)))
	}
	slices.Sort(all)
	return all[9], float64(quantile(a, 0.99)) / float64(quantile(b, 0.99)), all[389]
}
