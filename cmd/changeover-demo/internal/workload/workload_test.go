package workload

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// gateway answers by bucket, at a percentage that can be changed.
type gateway struct {
	mu      sync.Mutex
	percent plan.Percent
	methods map[string]int
}

func (g *gateway) set(p plan.Percent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.percent = p
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.methods[r.Method]++
	side := plan.Legacy
	if plan.OnModern(plan.Bucket("orders", r.Header.Get("X-Customer-ID")), g.percent) {
		side = plan.Modern
	}
	w.Header().Set(SideHeader, string(side))
}

func TestTheSplitIsMeasuredFromOutside(t *testing.T) {
	g := &gateway{methods: make(map[string]int)}
	srv := httptest.NewServer(g)
	defer srv.Close()
	w := Start(Options{URL: srv.URL, Header: "X-Customer-ID", Callers: 400, Rate: 1000, Timeout: 5 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	round := func(p plan.Percent) Split {
		t.Helper()
		g.set(p)
		s, err := w.Round(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// The names are fixed, so the share is as well: it must be near enough
		// for the story's own check.
		if d := s.Share() - float64(p); d > Tolerance || d < -Tolerance {
			t.Errorf("share at %s is %.2f", p, s.Share())
		}
		return s
	}
	round(0)
	ten := round(10)
	fifty := round(50)
	if gone := ten.Without(fifty); gone != nil {
		t.Errorf("callers left modern: %v", gone)
	}
	if got := w.Ledger.Totals().Returned; got != 0 {
		t.Errorf("%d callers returned on the way up", got)
	}
	back := round(25)
	if got, want := w.Ledger.Totals().Returned, len(fifty.Without(back)); got != want || got == 0 {
		t.Errorf("%d callers returned, want %d", got, want)
	}
	w.Stop()
	totals := w.Ledger.Totals()
	if totals.Failed != 0 || totals.Faults != 0 || totals.Legacy+totals.Modern != totals.Requests {
		t.Errorf("totals are %+v", totals)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if get, post := g.methods[http.MethodGet], g.methods[http.MethodPost]; get+post != totals.Requests || post < totals.Requests/5 || post > totals.Requests/3 {
		t.Errorf("%d GET and %d POST of %d", get, post, totals.Requests)
	}
}

func TestTheRateIsKept(t *testing.T) {
	srv := httptest.NewServer(&gateway{methods: make(map[string]int)})
	defer srv.Close()
	w := Start(Options{URL: srv.URL, Header: "X-Customer-ID", Callers: 10, Rate: 200, Timeout: 5 * time.Second})
	time.Sleep(2 * time.Second)
	w.Stop()
	if n := w.Ledger.Totals().Requests; n < 300 || n > 420 {
		t.Errorf("%d requests in 2 s, want about 400", n)
	}
}

func TestAGatewayThatIsGoneIsCountedAndARoundGivesUp(t *testing.T) {
	w := Start(Options{URL: "http://127.0.0.1:1", Header: "X-Customer-ID", Callers: 400, Rate: 200, Timeout: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if s, err := w.Round(ctx); err == nil {
		t.Errorf("split is %v", s)
	}
	w.Stop()
	if got := w.Ledger.Totals(); got.Failed == 0 || got.Failed != got.Requests {
		t.Errorf("totals are %+v", got)
	}
}
