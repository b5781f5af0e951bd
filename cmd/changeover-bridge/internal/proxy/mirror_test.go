package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// seen are the requests that a backend got.
type seen struct {
	mu   sync.Mutex
	list []string
}

// backend notes method, host, path with query, side, tenant and body, and
// answers with its name.
func (s *seen) backend(t testing.TB, name string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.list = append(s.list, fmt.Sprintf("%s %s %s side=%s tenant=%s %.10q", r.Method, r.Host, r.RequestURI,
			r.Header.Get(bridge.HeaderSide), r.Header.Get("X-Tenant"), body))
		s.mu.Unlock()
		fmt.Fprint(w, name)
	}).URL
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func shadow(m *bridge.Mirror) bridge.Rule { return bridge.Rule{To: plan.ToLegacy, Mirror: m} }

// matching is a rule in front of the one for everything.
func matching(prefix string, r bridge.Rule) bridge.Rule {
	r.Match = &plan.Match{PathPrefix: prefix}
	return r
}

func call(t testing.TB, method, url, body string, headers ...string) (code int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.example.com"
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const copies = "changeover_bridge_shadow_requests_total"

func TestACopyGoesToModernAndTheAnswerIsLegacys(t *testing.T) {
	var legacy, modern seen
	f := newFixture(t, legacy.backend(t, "legacy"), modern.backend(t, "modern")+"/api", proxy.Options{},
		matching("/v1/", bridge.Rule{To: plan.ToLegacy, Mirror: &bridge.Mirror{Percent: 100, Unsafe: true},
			Rewrite: &plan.Rewrite{Path: "/v2/", Host: "so.example.com", Headers: map[string]string{"x-tenant": "onap"}}}))
	if _, answer := call(t, "GET", f.url+"/v1/orders/a%2Fb?x=1", "", "X-Tenant", "forged"); answer != "legacy" {
		t.Errorf("answered by %s", answer)
	}
	if _, answer := call(t, "POST", f.url+"/v1/orders", "an order"); answer != "legacy" {
		t.Errorf("answered by %s", answer)
	}
	f.metric(2, copies, "route=0", "outcome=answered")
	f.metric(2, "changeover_bridge_shadow_duration_seconds", "route=0")
	for side, got := range map[string][]string{"legacy": legacy.all(), "modern": modern.all()} {
		base := map[string]string{"legacy": "", "modern": "/api"}[side]
		want := []string{
			fmt.Sprintf(`GET so.example.com %s/v2/orders/a%%2Fb?x=1 side=%s tenant=onap ""`, base, side),
			fmt.Sprintf(`POST so.example.com %s/v2/orders side=%s tenant=onap "an order"`, base, side),
		}
		slices.Sort(got) // copies may overtake each other
		if !slices.Equal(got, want) {
			t.Errorf("%s got\n%s\nwant\n%s", side, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestACopyOfAStreamedBody: its length is not known, the client waits to be told to
// go on, and trailers follow.
func TestACopyOfAStreamedBody(t *testing.T) {
	var legacy, modern seen
	f := newFixture(t, legacy.backend(t, "legacy"), modern.backend(t, "modern"), proxy.Options{}, matching("/", shadow(&bridge.Mirror{Percent: 100, Unsafe: true})))
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/", io.MultiReader(strings.NewReader("in "), strings.NewReader("parts")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	req.Trailer = http.Header{"X-Sum": {"1"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	f.metric(1, copies, "outcome=answered")
	if got := modern.all(); len(got) != 1 || !strings.HasSuffix(got[0], `"in parts"`) {
		t.Errorf("modern got %q", got)
	}
}

func TestWhatIsNotCopied(t *testing.T) {
	var legacy, modern seen
	half := plan.Percent(0)
	f := newFixture(t, legacy.backend(t, "legacy"), modern.backend(t, "modern"), proxy.Options{},
		matching("/safe/", shadow(&bridge.Mirror{Percent: 100})),
		matching("/any/", shadow(&bridge.Mirror{Percent: 100, Unsafe: true})),
		matching("/split/", bridge.Rule{To: plan.ToSplit, Percent: &half, Mirror: &bridge.Mirror{Percent: 100}}),
		matching("/", shadow(nil)))
	call(t, "POST", f.url+"/safe/x", "it may change something")
	call(t, "GET", f.url+"/plain", "")
	call(t, "GET", f.url+"/any/socket", "", "Connection", "Upgrade", "Upgrade", "websocket")
	call(t, "PUT", f.url+"/any/large", strings.Repeat("x", 300<<10))
	f.metric(1, copies, "route=1", "outcome=too_large")
	call(t, "GET", f.url+"/split/x", "")
	f.metric(1, copies, "route=2", "outcome=answered")
	if got := modern.all(); len(got) != 1 || !strings.Contains(got[0], "/split/x") {
		t.Errorf("modern got %v", got)
	}
	if got := legacy.all(); len(got) != 5 {
		t.Errorf("legacy got %v", got)
	}
}

func TestAShareIsCopied(t *testing.T) {
	var legacy, modern seen
	f := newFixture(t, legacy.backend(t, "legacy"), modern.backend(t, "modern"), proxy.Options{}, matching("/", shadow(&bridge.Mirror{Percent: 25})))
	const n = 2000
	for range n {
		call(t, "GET", f.url+"/", "")
	}
	// Five standard deviations: once in a million runs it is more.
	if got := len(modern.all()); got < n/4-97 || got > n/4+97 {
		t.Errorf("%d of %d were copied", got, n)
	}
}

// TestCallersDoNotNoticeASickModern: it is slow, hangs up, answers garbage, or
// is not there at all. Copies that do not fit are dropped, and counted.
func TestCallersDoNotNoticeASickModern(t *testing.T) {
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	for name, c := range map[string]struct {
		modern  string
		outcome string
	}{
		"slow": {backend(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-stuck:
			case <-r.Context().Done():
			}
		}).URL, "dropped"},
		"hangs up":  {backend(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).URL, "failed"},
		"garbage":   {"http://" + garbage(t), "failed"},
		"not there": {"http://" + nowhere(t), "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var legacy seen
			f := newFixture(t, legacy.backend(t, "legacy"), c.modern, proxy.Options{}, matching("/", shadow(&bridge.Mirror{Percent: 100})))
			begun := time.Now()
			const n = 600 // more than may be under way
			for range n {
				if code, answer := call(t, "GET", f.url+"/", ""); code != 200 || answer != "legacy" {
					t.Fatalf("answered %d by %s", code, answer)
				}
			}
			took := time.Since(begun)
			switch {
			case c.outcome == "failed": // at least five, then one at a time
				f.sum(n, copies, "failed", "dropped")
				if failed := f.sample(copies, []string{"outcome=failed"}); failed < 5 {
					t.Errorf("%v copies were tried", failed)
				}
			case took < 9*time.Second: // after ten the first copies are given up, and make room
				f.metric(n-256, copies, "outcome=dropped")
			case took > time.Minute:
				t.Errorf("%d requests took %s", n, took)
			}
		})
	}
}

// sum waits until the outcomes of a counter are so many together.
func (f *fixture) sum(want float64, name string, outcomes ...string) {
	f.t.Helper()
	var got float64
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = 0
		for _, o := range outcomes {
			got += f.sample(name, []string{"outcome=" + o})
		}
		if got == want {
			return
		}
	}
	f.t.Errorf("%s of %v is %v, want %v", name, outcomes, got, want)
}

// TestModernThatGivesNoAnswersIsLeftInPeace: copies are dropped but for one now and
// then, and are made again from its first answer on.
func TestModernThatGivesNoAnswersIsLeftInPeace(t *testing.T) {
	var legacy seen
	var down atomic.Bool
	down.Store(true)
	modern := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "modern")
	}).URL
	f := newFixture(t, legacy.backend(t, "legacy"), modern, proxy.Options{}, comparing("/", plan.Comparison{}))
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); !is(); {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
			call(t, "GET", f.url+"/", "")
		}
	}
	outcome := func(o string) float64 { return f.sample(copies, []string{"outcome=" + o}) }
	until("no copy is ever dropped", func() bool { return outcome("dropped") > 0 })
	tried := outcome("failed")
	until("none is tried any more", func() bool { return outcome("failed") >= tried+2 })
	if e, ok := f.Shadow(); !ok || len(e.Endpoints) != 1 || e.Endpoints[0].Notes["modern does not answer"] == 0 {
		t.Errorf("the report has %+v", e)
	}
	down.Store(false)
	until("none is answered when modern is back", func() bool { return outcome("answered") > 0 })
	dropped, answered := outcome("dropped"), outcome("answered")
	for range 50 {
		call(t, "GET", f.url+"/", "")
	}
	until("copies are answered one at a time", func() bool { return outcome("answered") >= answered+50 })
	if now := outcome("dropped"); now != dropped {
		t.Errorf("%v copies were dropped of a modern that answers", now-dropped)
	}
}

// nowhere is where nothing listens.
func nowhere(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

// garbage is where something answers that is no HTTP.
func garbage(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("\x00\x01 no answer\r\n\r\n"))
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// TestACopyOutlivesASwap: what is under way ends on the config with which it
// began, and copies stop with the rule that asks for them.
func TestACopyOutlivesASwap(t *testing.T) {
	var legacy seen
	arrived, leave := make(chan struct{}), make(chan struct{})
	modern := backend(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-leave
	}).URL
	url := legacy.backend(t, "legacy")
	f := newFixture(t, url, modern, proxy.Options{}, matching("/", shadow(&bridge.Mirror{Percent: 100})))
	call(t, "GET", f.url+"/", "")
	<-arrived
	f.serve(configOf(t, url, modern, matching("/", shadow(nil))))
	call(t, "GET", f.url+"/", "")
	close(leave)
	f.metric(1, copies, "outcome=answered")
	f.metric(0, copies, "outcome=failed")
}
