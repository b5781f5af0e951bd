package gatewaytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestRequestsAreSplitByWeight(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	const n = 2000
	for _, w := range []struct{ legacy, modern int }{{90, 10}, {99, 1}, {50, 50}, {1, 2}, {997, 3}} {
		r.apply(r.route("orders", split(w.legacy, w.modern)))
		r.accepted("orders")
		fits(t, fmt.Sprintf("modern at %d:%d", w.legacy, w.modern), n, float64(w.modern)/float64(w.legacy+w.modern), func() int {
			got := r.many(n, "/")
			if got["legacy"]+got["modern"] != n {
				t.Errorf("got %v", got)
			}
			return got["modern"]
		})
	}
	for _, w := range []struct {
		legacy, modern int
		want           string
	}{{100, 0, "map[legacy:400]"}, {0, 100, "map[modern:400]"}, {0, 0, "map[Internal Server Error:400]"}} {
		r.apply(r.route("orders", split(w.legacy, w.modern)))
		r.accepted("orders")
		if got := fmt.Sprint(r.many(400, "/")); got != w.want {
			t.Errorf("at %d:%d: got %s, want %s", w.legacy, w.modern, got, w.want)
		}
	}
	r.apply(r.route("orders", "{backendRefs: [{name: legacy, port: 80}]}"))
	r.accepted("orders")
	if got := fmt.Sprint(r.many(40, "/")); got != "map[legacy:40]" {
		t.Errorf("a weight that is absent is 1: got %s", got)
	}
}

func TestNoRequestIsLostWhileWeightsChange(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", split(100, 0)))
	r.accepted("orders")
	done := make(chan map[string]int)
	go func() { done <- r.many(4000, "/") }()
	for i := range 10 {
		r.apply(r.route("orders", split(100-i*10, i*10)))
		r.accepted("orders")
	}
	if got := <-done; got["legacy"]+got["modern"] != 4000 || len(got) > 2 {
		t.Errorf("got %v", got)
	}
}

func TestRequestsAreMirrored(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	const n = 1600
	for spec, p := range map[string]float64{
		"": 1, "percent: 100": 1, "percent: 0": 0, "percent: 30": 0.3, "fraction: {numerator: 1, denominator: 8}": 0.125, "fraction: {numerator: 3}": 0.03,
	} {
		if spec != "" {
			spec = ", " + spec
		}
		r.apply(r.route("orders", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: modern, port: 80}"+spec+"}}], backendRefs: [{name: legacy, port: 80}]}"))
		r.accepted("orders")
		fits(t, "mirrored with "+spec, n, p, func() int {
			before := r.Mirrored(r.ns + "/orders")["modern"]
			if got := fmt.Sprint(r.many(n, "/")); got != fmt.Sprintf("map[legacy:%d]", n) {
				t.Fatalf("with %q clients got %s", spec, got)
			}
			r.plane.settle()()
			got := r.Mirrored(r.ns + "/orders")["modern"] - before
			if arrived := len(r.modern.take()); arrived != got {
				t.Errorf("with %q the counter says %d, modern got %d", spec, got, arrived)
			}
			return got
		})
	}
}

func TestAMirrorIsAWholeCopyAndDisturbsNobody(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	mirrors := func(filters ...string) string {
		return r.route("orders", "{matches: [{path: {value: /orders}}], filters: ["+strings.Join(filters, ", ")+"], backendRefs: [{name: legacy, port: 80}]}")
	}
	const mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: modern, port: 80}}}"
	r.apply(mirrors(mirror, "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Shadow, value: yes-it-is}]}}"))
	r.accepted("orders")
	hold := make(chan struct{})
	r.modern.set(http.StatusTeapot, hold)
	start := time.Now()
	a := r.ask("POST shop.example.com/orders/7?x=1", "X-Caller: anna")
	if a.code != http.StatusOK || a.Name != "legacy" || time.Since(start) > 5*time.Second {
		t.Errorf("while the mirror hangs: %d from %q after %s", a.code, a.Name, time.Since(start))
	}
	kubetest.WaitFor(t, "modern has it", func() bool { r.modern.mu.Lock(); defer r.modern.mu.Unlock(); return len(r.modern.got) == 1 })
	got := r.modern.take()[0]
	if got.Method != "POST" || got.Path != "/orders/7?x=1" || got.Host != "shop.example.com" || got.Body != "body of /orders/7?x=1" || got.Header.Get("X-Caller") != "anna" || got.Header.Get("X-Shadow") != "yes-it-is" {
		t.Errorf("the copy is %+v", got)
	}
	if a.Body != got.Body || a.Path != got.Path {
		t.Errorf("legacy got %+v", a.echo)
	}
	close(hold)
	r.plane.settle()()
	if n := r.Counts()[Key{Route: r.ns + "/orders", Backend: r.ns + "/modern:80", Side: "modern", Code: http.StatusTeapot, Mirror: true}]; n != 1 {
		t.Errorf("it is not counted: %v", r.Counts())
	}

	// A mirror that does not listen, and one whose Service is not there.
	r.apply(r.service("modern", "http://127.0.0.1:1"))
	kubetest.WaitFor(t, "the mirror is dead", func() bool {
		r.ask("GET shop/orders")
		r.plane.settle()()
		return r.Counts()[Key{Route: r.ns + "/orders", Backend: r.ns + "/modern:80", Side: "modern", Mirror: true}] > 0
	})
	r.apply(mirrors("{type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 80}}}"))
	r.await("orders", "gw: Accepted True Accepted 2, ResolvedRefs False BackendNotFound 2")
	if a := r.ask("GET shop/orders"); a.code != http.StatusOK || a.Name != "legacy" {
		t.Errorf("with a mirror to nowhere: %d from %q", a.code, a.Name)
	}
}

func TestTheMostSpecificMatchServes(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	rule := func(name, match string) string {
		return fmt.Sprintf("{matches: [%s], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Rule, value: %s}]}}], backendRefs: [{name: legacy, port: 80}]}", match, name)
	}
	r.apply(
		r.route("orders",
			rule("all", "{path: {value: /}}"),
			rule("prefix", "{path: {value: /orders}}"),
			rule("prefix-again", "{path: {value: /orders}}"),
			rule("longer", "{path: {value: /orders/open}}"),
			rule("exact", "{path: {type: Exact, value: /orders}}"),
			rule("method", "{path: {value: /orders}, method: POST}"),
			rule("header", "{path: {value: /orders}, headers: [{name: x-version, value: '2'}]}"),
			rule("headers", "{path: {value: /orders}, headers: [{name: X-Version, value: '2'}, {name: X-Team, value: a}]}"),
			rule("query", "{path: {value: /orders}, queryParams: [{name: dry, value: 'yes'}]}"),
			rule("or", "{path: {type: Exact, value: /one}}, {path: {type: Exact, value: /two}}"),
		),
	)
	r.accepted("orders")
	r.apply(r.routeOf("shop", "parentRefs: [{name: gw}], hostnames: [shop.example.com, '*.example.org']", rule("shop", "{path: {value: /}}")))
	r.accepted("shop")
	r.apply(r.route("younger", rule("younger", "{path: {value: /orders}}"), rule("younger-only", "{path: {value: /only}}")))
	r.accepted("younger")
	for _, c := range []struct{ request, header, want string }{
		{"GET any/", "", "all"},
		{"GET any/ordersandmore", "", "all"},
		{"GET any/orders/1", "", "prefix"},
		{"GET any/orders/open/1", "", "longer"},
		{"GET any/orders", "", "exact"},
		{"POST any/orders", "", "exact"},
		{"POST any/orders/1", "", "method"},
		{"POST any/orders/open", "X-Version: 2", "longer"},
		{"POST any/orders/1", "X-Version: 2", "method"},
		{"GET any/orders/1", "X-Version: 2", "header"},
		{"GET any/orders/1?dry=yes", "X-Version: 2", "header"},
		{"GET any/orders/1", "X-Version: 2|X-Team: a", "headers"},
		{"GET any/orders/1", "X-Version: 3", "prefix"},
		{"GET any/orders/1?dry=yes", "", "query"},
		{"GET any/two", "", "or"},
		{"GET any/only/x", "", "younger-only"},
		{"GET shop.example.com/orders", "", "shop"},
		{"GET SHOP.example.com:8080/orders", "", "shop"},
		{"GET a.b.example.org/orders", "", "shop"},
		{"GET example.org/orders/1", "", "prefix"},
	} {
		a := r.ask(c.request, slices.DeleteFunc(strings.Split(c.header, "|"), func(h string) bool { return h == "" })...)
		if got := a.Header.Get("X-Rule"); got != c.want || a.code != http.StatusOK {
			t.Errorf("%s with %q: served by %q (%d), want %q", c.request, c.header, got, a.code, c.want)
		}
	}
	r.kube.Delete(t, "HTTPRoute."+apiGroup, r.ns, "orders")
	kubetest.WaitFor(t, "the routes that are left serve", func() bool { return r.ask("GET any/orders/1").Header.Get("X-Rule") == "younger" })
	if a := r.ask("GET any/"); a.code != http.StatusNotFound {
		t.Errorf("a request for no route: %d", a.code)
	}
}

func TestRequestsAreRewritten(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{SideHeader: "X-Changeover-Side"})
	path := func(match, filters string) string {
		return "{matches: [{path: " + match + "}], filters: [" + filters + "], backendRefs: [{name: legacy, port: 80}]}"
	}
	r.apply(r.route("orders",
		path("{value: /api}", "{type: URLRewrite, urlRewrite: {hostname: inner.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}}"),
		path("{value: /full}", "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a%20b}}}"),
		path("{value: /headers}", `{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: new}], add: [{name: X-Add, value: more}], remove: [X-Remove]}},
			{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-From, value: changed}]}}`),
		`{matches: [{path: {value: /side}}], backendRefs: [{name: legacy, port: 80, weight: 0}, {name: modern, port: 80, filters: [
			{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Only, value: modern}]}}, {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}`,
	))
	r.accepted("orders")
	a := r.ask("GET outer.example.com/api/orders/a%2Fb?x=%20y")
	if a.Path != "/v2/orders/a%2Fb?x=%20y" || a.Host != "inner.example.com" || a.Header.Get("X-Forwarded-Host") != "outer.example.com" {
		t.Errorf("a prefix and a host: got %s at %s, %v", a.Path, a.Host, a.Header)
	}
	if a := r.ask("GET outer/full/of/it?x=1"); a.Path != "/a%20b?x=1" || a.Host != "outer" {
		t.Errorf("a full path: got %s at %s", a.Path, a.Host)
	}
	a = r.ask("GET any/headers", "X-Set: old", "X-Add: one", "X-Remove: me", "X-Keep: kept", "X-Forwarded-For: 10.1.1.1")
	if h := a.Header; h.Get("X-Set") != "new" || fmt.Sprint(h["X-Add"]) != "[one more]" || h["X-Remove"] != nil || h.Get("X-Keep") != "kept" || h.Get("X-Forwarded-For") != "10.1.1.1, 127.0.0.1" {
		t.Errorf("headers: got %v", h)
	}
	if a.header.Get("X-From") != "changed" || a.header.Get("X-Changeover-Side") != "legacy" {
		t.Errorf("headers of the answer: got %v", a.header)
	}
	if a := r.ask("GET any/side/car"); a.Name != "modern" || a.Path != "/car" || a.Header.Get("X-Only") != "modern" || a.header.Get("X-Changeover-Side") != "modern" {
		t.Errorf("filters of one backend: got %+v", a)
	}
}

func TestABackendThatIsNotThereAnswersAsTheGatewayAPISays(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	const n = 400
	r.apply(r.route("orders", "{backendRefs: [{name: legacy, port: 80, weight: 1}, {name: gone, port: 80, weight: 1}]}"))
	r.await("orders", "gw: Accepted True Accepted 1, ResolvedRefs False BackendNotFound 1")
	fits(t, "500 for the share of a Service that is not there", n, 0.5, func() int { return r.many(n, "/")["Internal Server Error"] })

	r.apply(r.service("gone", ""))
	r.await("orders", fmt.Sprintf(good, 1))
	fits(t, "503 for the share of a Service without endpoint", n, 0.5, func() int { return r.many(n, "/")["Service Unavailable"] })
	r.SetBackend(r.ns+"/gone:80", r.modern.url)
	kubetest.WaitFor(t, "the endpoint is there", func() bool { return r.many(40, "/")["modern"] > 0 })
	r.SetBackend(r.ns+"/gone:80", "http://127.0.0.1:1")
	kubetest.WaitFor(t, "the endpoint is dead", func() bool { return r.many(40, "/")["Bad Gateway"] > 0 })
	if got := r.Sides(r.ns + "/orders"); got["legacy"] == 0 || got["gone"] == 0 || len(got) != 2 {
		t.Errorf("sides: %v", got)
	}
}
