package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func wantAll(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Errorf("answer lacks %q:\n%s", p, body)
		}
	}
}

func TestHealthAnswersEvenWhenNotReady(t *testing.T) {
	f := &fakePlans{ready: errors.New("plan default/shop was not worked yet")}
	h := web.Handler(options(f))
	if w := get(t, h, "/healthz"); w.Code != 200 {
		t.Errorf("healthz: %d", w.Code)
	}
	w := get(t, h, "/readyz")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d, want 503", w.Code)
	}
	wantAll(t, w.Body.String(), "default/shop was not worked yet")
	f.ready = nil
	if w := get(t, h, "/readyz"); w.Code != 200 {
		t.Errorf("readyz after ready: %d", w.Code)
	}
}

func TestOfSeveralBranchesOneThatCannotBeReadHoldsUpNobody(t *testing.T) {
	f := &fakePlans{ready: fmt.Errorf("source later: %w: no such repository", reconciler.ErrUnread), statuses: []reconciler.Status{waiting()}}
	f.statuses[0].Source = "orders"
	o := options(f)
	if w := get(t, web.Handler(o), "/readyz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("with one branch readyz is %d", w.Code)
	}
	if body := get(t, web.Handler(o), "/").Body.String(); strings.Contains(body, "Source") {
		t.Error("with one branch the page has a column for it")
	}
	o.Several = true
	w := get(t, web.Handler(o), "/readyz")
	if w.Code != http.StatusOK {
		t.Errorf("with several branches readyz is %d", w.Code)
	}
	wantAll(t, w.Body.String(), "ok, but source later: git was not read yet: no such repository")
	wantAll(t, get(t, web.Handler(o), "/").Body.String(), `<th scope="col">Source</th>`, "<td>orders</td>", "no such repository")
	wantAll(t, get(t, web.Handler(o), "/plans/default/shop").Body.String(), "<dt>Source</dt><dd>orders</dd>")
}

func TestMetricsOfTheGivenRegistryOnly(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "changeover_test_total", Help: "A test."})
	reg.MustRegister(c)
	c.Add(3)
	o := options(&fakePlans{})
	o.Metrics = reg
	body := get(t, web.Handler(o), "/metrics").Body.String()
	wantAll(t, body, "changeover_test_total 3")
	if strings.Contains(body, "go_goroutines") {
		t.Error("metrics of the default registry are served")
	}
	if w := get(t, web.Handler(options(&fakePlans{})), "/metrics"); w.Code != 404 {
		t.Errorf("without a gatherer: %d, want 404", w.Code)
	}
}

func TestIndexShowsEveryPlanInATable(t *testing.T) {
	f := &fakePlans{statuses: []reconciler.Status{waiting()}}
	body := get(t, web.Handler(options(f)), "/").Body.String()
	wantAll(t, body, `<th scope="col">Where it is</th>`, `href="/plans/default/shop"`, "gradual@25", "gradual@10", "Waiting", "Baking", "90m", "bakes for 2h30m", `lang="en"`)
	f.statuses[0].Halt = &decide.HaltOf{Reason: decide.HistoryRewritten, Message: "the branch lost 3333333333"}
	body = get(t, web.Handler(options(f)), "/").Body.String()
	wantAll(t, body, "<b>HistoryRewritten</b> the branch lost 3333333333")
	body = get(t, web.Handler(options(&fakePlans{})), "/").Body.String()
	wantAll(t, body, "No plan yet")
}

func TestPlanPageSaysWhatWhyAndWhatNext(t *testing.T) {
	s := waiting()
	s.Holds = []decide.HoldOf{{Commit: "2222222222222222222222222222222222222222", At: now}}
	f := &fakePlans{statuses: []reconciler.Status{s}, history: entries(3)}
	body := get(t, web.Handler(options(f)), "/plans/default/shop").Body.String()
	wantAll(t, body, "Holds at gradual 10 %.", "What to do", `<li class="stop effective toward" aria-current="step">`, `<span class="s-name">10 %</span><span class="tag here">effective</span>`,
		`<span class="s-name">25 %</span><span class="tag git">declared in Git</span>`, "Bakes until", "2026-03-01 13:00:00 UTC",
		"low-errors", "<strong>0.004</strong>", "limit 0.01", "Pass", "Quiet", "Would roll back if it were true.", "signal.errors &gt; 0.03", "<code>2222222222</code> was rolled back")
	if a, c := strings.Index(body, "entry a"), strings.Index(body, "entry c"); a < 0 || c < 0 || c > a {
		t.Errorf("history is not newest first: entry a at %d, entry c at %d", a, c)
	}
}

func TestPlanPageListsAllThatBlocksAndTheNextStop(t *testing.T) {
	s := waiting()
	s.Decision.Blocks = []decide.Block{
		{Reason: decide.Baking, Message: "gradual@10 bakes for 2h", Until: now.Add(time.Hour)},
		{Reason: decide.ApprovalMissing, Message: "1 approval of <operations> is missing"},
	}
	s.Decision.Next = stops[2]
	f := &fakePlans{statuses: []reconciler.Status{s}}
	body := func() string { return get(t, web.Handler(options(f)), "/plans/default/shop").Body.String() }
	wantAll(t, body(), "<dt>Waits for</dt>",
		`<li><strong>Baking</strong> gradual@10 bakes for 2h, until 2026-03-01 13:00:00 UTC <span class="soft">(in 60m)</span></li>`,
		"<li><strong>ApprovalMissing</strong> 1 approval of &lt;operations&gt; is missing</li>",
		`<span class="tag git">declared in Git</span><span class="tag">next</span>`)
	if strings.Contains(body(), "<dt>Why</dt>") {
		t.Error("what it waits for is said twice")
	}
	f.statuses[0].Decision.Blocks, f.statuses[0].Decision.Next = nil, plan.Position{}
	if b := body(); strings.Contains(b, "Waits for") || strings.Contains(b, ">next<") || !strings.Contains(b, "<dt>Why</dt>") {
		t.Errorf("nothing blocks, and nothing is next:\n%s", b)
	}
}

func TestPlanPageNamesTheGatesThatAreBlind(t *testing.T) {
	s := waiting()
	s.Blind = &decide.Blindness{Stop: stops[1], Since: now.Add(-time.Hour)}
	f := &fakePlans{statuses: []reconciler.Status{s}}
	f.statuses[0].Gates[0].Verdict, f.statuses[0].Gates[0].Detail = gates.NoData, "errors: no series"
	body := func() string { return get(t, web.Handler(options(f)), "/plans/default/shop").Body.String() }
	wantAll(t, body(), `<p class="note warn" role="status"><strong>Blind at gradual@10 since 2026-03-01 11:00:00 UTC</strong>: advance gate low-errors (errors: no series)</p>`)
	s.Blind.Told = true
	wantAll(t, body(), `<p class="note bad" role="alert"><strong>Blind at gradual@10`)
}

func TestPlanPageStandsWhenTheHistoryCannotBeRead(t *testing.T) {
	f := &fakePlans{statuses: []reconciler.Status{waiting()}, histErr: errors.New("read history: input/output error")}
	w := get(t, web.Handler(options(f)), "/plans/default/shop")
	if w.Code != 200 {
		t.Fatalf("status %d", w.Code)
	}
	wantAll(t, w.Body.String(), "What the daemon did cannot be read: read history: input/output error", "low-errors")
}

func TestPlanPageShowsProblemsWithTheCaret(t *testing.T) {
	s := waiting()
	s.Problems = []plan.Problem{{File: "plans/shop.yaml", Line: 3, Column: 5, Severity: plan.SeverityError, Code: "unknown-field", Message: "no field nam", Source: "    nam: shop"}}
	body := get(t, web.Handler(options(&fakePlans{statuses: []reconciler.Status{s}})), "/plans/default/shop").Body.String()
	wantAll(t, body, "plans/shop.yaml:3:5: unknown-field: no field nam", "^", "<code>changeover validate plans/shop.yaml</code>")
}

func TestTextOfAPlanCannotBecomeMarkup(t *testing.T) {
	s := waiting()
	s.Decision.Message = `<script>alert(1)</script>`
	s.Error = `"><img src=x onerror=alert(1)>`
	h := web.Handler(options(&fakePlans{statuses: []reconciler.Status{s}}))
	for _, path := range []string{"/", "/plans/default/shop"} {
		body := get(t, h, path).Body.String()
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") {
			t.Errorf("%s: markup of a plan got through:\n%s", path, body)
		}
	}
}

func TestUnknownPlanIs404WithAWayBack(t *testing.T) {
	w := get(t, web.Handler(options(&fakePlans{})), "/plans/default/none")
	if w.Code != 404 {
		t.Errorf("status %d, want 404", w.Code)
	}
	wantAll(t, w.Body.String(), "default/none", `href="/"`)
}

func TestOnlyGetAndHead(t *testing.T) {
	h := web.Handler(options(&fakePlans{statuses: []reconciler.Status{waiting()}}))
	for _, path := range []string{"/", "/healthz", "/readyz", "/plans/default/shop", "/style.css", "/live.js", "/icon.svg"} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("x")))
			if w.Code != want {
				t.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
			}
		}
	}
}

func TestEveryAnswerForbidsOtherScriptsAndFrames(t *testing.T) {
	h := web.Handler(options(&fakePlans{}))
	for _, path := range []string{"/", "/style.css", "/healthz", "/nowhere", "/plans/a/b"} {
		got := get(t, h, path).Header()
		if csp := got.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if got.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: content may be sniffed", path)
		}
	}
}

func TestAdminAPIAndProfilesAreNotOnThePage(t *testing.T) {
	h := web.Handler(options(&fakePlans{statuses: []reconciler.Status{waiting()}}))
	for _, path := range []string{"/debug/pprof/", "/v1/plans", "/v1/plans/default/shop/rollback"} {
		if w := get(t, h, path); w.Code != 404 {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

func TestAPlansFlagsAreOnItsPage(t *testing.T) {
	s := waiting()
	s.Flags = []reconciler.FlagStatus{{Name: "new-parser", Percent: 25}, {Name: "old", Off: plan.FlagKilled}}
	f := &fakePlans{statuses: []reconciler.Status{s}}
	body := get(t, web.Handler(options(f)), "/plans/"+key.Namespace+"/"+key.Name).Body.String()
	wantAll(t, body, "new-parser", "25 % of the callers on modern", "everybody on legacy: its kill switch is set")
}
