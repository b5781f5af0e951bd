package gatewaytest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/promtest"
)

// stays asks for half a second.
func stays(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !holds() {
			t.Fatalf("it did not stay so: %s", what)
		}
	}
}

func TestAPausedControllerLeavesStatusAndTrafficAsTheyWere(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", split(1, 0)))
	r.accepted("orders")
	r.Pause()
	r.apply(r.route("orders", split(0, 1)))
	stays(t, "the status is of the first generation, and legacy serves", func() bool {
		return r.said("orders") == fmt.Sprintf(good, 1) && r.ask("GET any/").Name == "legacy"
	})
	r.Resume()
	r.accepted("orders")
	if got := r.ask("GET any/").Name; got != "modern" {
		t.Errorf("it says that it is served, and %q answers", got)
	}
}

func TestASlowControllerServesBeforeItSaysSo(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", split(1, 0)))
	r.accepted("orders")
	r.SetAcceptDelay(1500 * time.Millisecond)
	start := time.Now()
	r.apply(r.route("orders", split(0, 1)))
	stays(t, "legacy serves, and the status is of the first generation", func() bool {
		return r.said("orders") == fmt.Sprintf(good, 1) && r.ask("GET any/").Name == "legacy"
	})
	r.accepted("orders")
	if got := r.ask("GET any/").Name; got != "modern" || time.Since(start) < 1400*time.Millisecond {
		t.Errorf("after %s %q answers", time.Since(start), got)
	}
	r.SetAcceptDelay(time.Hour)
	r.apply(r.route("orders", split(1, 0)))
	stays(t, "modern serves", func() bool { return r.ask("GET any/").Name == "modern" })
	r.SetAcceptDelay(0)
	r.accepted("orders")
}

func TestARejectedRouteSaysWhyAndIsNotServed(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", split(1, 0)))
	r.accepted("orders")
	r.Reject("NotAllowedByListeners")
	r.await("orders", "gw: Accepted False NotAllowedByListeners 1, ResolvedRefs True ResolvedRefs 1")
	if a := r.ask("GET any/"); a.code != http.StatusNotFound {
		t.Errorf("it is served: %d", a.code)
	}
	r.Reject("")
	r.accepted("orders")
	if a := r.ask("GET any/"); a.code != http.StatusOK {
		t.Errorf("it is not served: %d", a.code)
	}
}

func TestTwoFixturesJudgeOneRouteEachInItsTime(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	slow := Start(t, Options{Kubeconfig: k.Kubeconfig, ClassName: "slow", ControllerName: "changeover.dev/slow"})
	r.apply("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: slow}, spec: {gatewayClassName: slow, listeners: [{name: http, port: 80, protocol: HTTP}]}}")
	both := func(rule string) string { return r.routeOf("orders", "parentRefs: [{name: gw}, {name: slow}]", rule) }
	r.apply(both(split(1, 0)))
	state := func(fast, late int) func() bool {
		want := map[string]bool{fmt.Sprintf(good, fast): true, strings.Replace(fmt.Sprintf(good, late), "gw", "slow", 1): true}
		return func() bool {
			said := strings.Split(r.said("orders"), "; ") // in either order
			return len(said) == 2 && want[said[0]] && want[said[1]]
		}
	}
	kubetest.WaitFor(t, "both accept it", state(1, 1))
	slow.SetAcceptDelay(time.Hour)
	r.apply(both(split(0, 1)))
	kubetest.WaitFor(t, "one of them accepts the next", state(2, 1))
	stays(t, "the other one lags", state(2, 1))
	for gateway, want := range map[*Gateway]string{r.Gateway: "modern", slow: "legacy"} {
		name := map[bool]string{true: "slow", false: "gw"}[gateway == slow]
		if a, err := r.try(gateway.URL(t, r.ns, name), "GET", "any", "/"); err != nil || a.Name != want {
			t.Errorf("at Gateway %s %q answers, want %q; %v", name, a.Name, want, err)
		}
	}
	slow.SetAcceptDelay(0)
	kubetest.WaitFor(t, "both accept it", state(2, 2))
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	second := started(t, k, Options{}) // of the same controller name
	for _, x := range []*rig{r, second} {
		x.apply(x.route("orders", split(1, 1)))
		x.accepted("orders")
	}
	time.Sleep(300 * time.Millisecond) // statuses of the Gateways
	audit := k.Audit(t)
	r.poke()
	r.many(200, "/")
	time.Sleep(time.Second)
	got := audit.Requests(t).By(UserAgent).Writes().Where(func(q kubetest.Request) bool {
		return q.Namespace == r.ns || q.Namespace == second.ns || q.Namespace == "" // not in those of tests that have ended
	})
	if len(got) > 0 {
		t.Errorf("the fixture wrote:\n%v", got)
	}
}

func TestARealPrometheusCountsWhatTheGatewayServed(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: modern, port: 80}}}], backendRefs: [{name: legacy, port: 80}]}"))
	r.accepted("orders")
	p := promtest.Start(t, promtest.Scrape("1s", "gateway", r.MetricsAddr))
	query := func(q string) string {
		resp, err := http.Get(p.URL + "/api/v1/query?query=" + url.QueryEscape(q))
		must(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(text)
	}
	route := `route="` + r.ns + `/orders"`
	kubetest.WaitFor(t, "there are series before the first request", func() bool {
		return strings.Contains(query(`requests_total{side="legacy",code="500",`+route+`}`), `,"0"]`)
	})
	r.many(40, "/")
	r.legacy.set(http.StatusInternalServerError, nil)
	r.many(10, "/")
	r.plane.settle()()
	for q, want := range map[string]string{
		`requests_total{side="legacy",code="200",` + route + `}`: `,"40"]`,
		`requests_total{side="legacy",code="500",` + route + `}`: `,"10"]`,
		`mirrored_total{side="modern",code="200",` + route + `}`: `,"50"]`,
	} {
		kubetest.WaitFor(t, q+" is "+want, func() bool { return strings.Contains(query(q), want) })
	}
	if got := r.Counts()[Key{Route: r.ns + "/orders", Backend: r.ns + "/legacy:80", Side: "legacy", Code: 500}]; got != 10 {
		t.Errorf("the counter says %d", got)
	}
}

func TestTheFixtureOutlivesItsAPIServer(t *testing.T) {
	t.Parallel()
	k := kubetest.Start(t, cluster.Options{GatewayAPI: cluster.Standard})
	r := started(t, k, Options{})
	r.apply(r.route("orders", split(1, 0)))
	r.accepted("orders")
	k.KillAPIServer()
	if a := r.ask("GET any/"); a.Name != "legacy" {
		t.Errorf("without API server: %d from %q", a.code, a.Name)
	}
	must(t, k.StartAPIServer(t.Context()))
	r.apply(r.route("orders", split(0, 1)))
	start := time.Now()
	r.accepted("orders")
	t.Logf("back after %s", time.Since(start).Round(time.Millisecond))
	if a := r.ask("GET any/"); a.Name != "modern" {
		t.Errorf("%d from %q", a.code, a.Name)
	}
}
