package gatewaytest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestARouteIsJudgedAtEveryGeneration(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{})
	r.apply(r.route("orders", split(1, 0)))
	r.await("orders", "gw: Accepted True Accepted 1, ResolvedRefs True ResolvedRefs 1")
	since := r.read("orders").Status.Parents[0].Conditions[0].LastTransitionTime
	time.Sleep(1100 * time.Millisecond) // such times are in whole seconds
	r.apply(r.route("orders", split(1, 1)))
	r.await("orders", "gw: Accepted True Accepted 2, ResolvedRefs True ResolvedRefs 2")
	if got := r.read("orders").Status.Parents[0].Conditions[0].LastTransitionTime; !got.Equal(&since) {
		t.Errorf("the time of a condition that stays went from %s to %s", since, got)
	}

	r.apply(r.route("orders", "{backendRefs: [{name: nobody, port: 80}]}"))
	r.await("orders", "gw: Accepted True Accepted 3, ResolvedRefs False BackendNotFound 3")
	r.apply(r.route("orders", "{backendRefs: [{name: legacy, port: 81}]}"))
	r.await("orders", "gw: Accepted True Accepted 4, ResolvedRefs False BackendNotFound 4")
	r.apply(r.route("orders", "{backendRefs: [{group: example.com, kind: Queue, name: legacy, port: 80}]}"))
	r.await("orders", "gw: Accepted True Accepted 5, ResolvedRefs False InvalidKind 5")
	r.apply(r.routeOf("orders", "parentRefs: [{name: gw, sectionName: none}]", split(1, 1)))
	r.await("orders", "gw: Accepted False NoMatchingParent 6, ResolvedRefs True ResolvedRefs 6")
	r.apply(r.routeOf("orders", "parentRefs: [{name: gw, port: 81}]", split(1, 1)))
	r.await("orders", "gw: Accepted False NoMatchingParent 7, ResolvedRefs True ResolvedRefs 7")
	if a := r.ask("GET any/"); a.code != http.StatusNotFound {
		t.Errorf("a route that is not accepted is served: %d", a.code)
	}
	r.apply(r.routeOf("orders", "parentRefs: [{name: gw, sectionName: http, port: 80}]", split(1, 1)))
	r.await("orders", "gw: Accepted True Accepted 8, ResolvedRefs True ResolvedRefs 8")

	// A backend that comes later mends the same generation.
	r.apply(r.route("orders", "{backendRefs: [{name: late, port: 80}]}"))
	r.await("orders", "gw: Accepted True Accepted 9, ResolvedRefs False BackendNotFound 9")
	r.apply(r.service("late", r.modern.url))
	r.await("orders", "gw: Accepted True Accepted 9, ResolvedRefs True ResolvedRefs 9")
}

func TestABackendOfAnotherNamespaceNeedsAGrant(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	other := k.Namespace(t)
	k.Apply(t, other, r.service("modern", r.modern.url))
	r.apply(r.route("orders", "{backendRefs: [{namespace: "+other+", name: modern, port: 80}]}"))
	const refused = "gw: Accepted True Accepted 1, ResolvedRefs False RefNotPermitted 1"
	r.await("orders", refused)
	if a := r.ask("GET any/"); a.code != http.StatusInternalServerError || len(r.modern.take()) > 0 {
		t.Errorf("without a grant: %d", a.code)
	}
	grant := func(from, kind, name string) {
		k.Apply(t, other, fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: grant}, spec: {from: [{group: gateway.networking.k8s.io, kind: %s, namespace: %s}], to: [{group: '', kind: Service, name: %s}]}}", kind, from, name))
	}
	grant(r.ns, "HTTPRoute", "modern")
	r.await("orders", fmt.Sprintf(good, 1))
	if a := r.ask("GET any/"); a.Name != "modern" {
		t.Errorf("with a grant: %d from %q", a.code, a.Name)
	}
	for _, wrong := range [][3]string{{"elsewhere", "HTTPRoute", "modern"}, {r.ns, "GRPCRoute", "modern"}, {r.ns, "HTTPRoute", "legacy"}} {
		grant(wrong[0], wrong[1], wrong[2])
		r.await("orders", refused)
		grant(r.ns, "HTTPRoute", "modern")
		r.await("orders", fmt.Sprintf(good, 1))
	}
	k.Delete(t, "ReferenceGrant."+apiGroup, other, "grant")
	r.await("orders", refused)
}

func TestAListenerChoosesItsRoutes(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	other := k.Namespace(t)
	r.apply(r.gateway("picky",
		"{name: same, port: 80, protocol: HTTP, hostname: same.example.com}",
		"{name: all, port: 81, protocol: HTTP, hostname: '*.all.example.com', allowedRoutes: {namespaces: {from: All}}}",
		"{name: chosen, port: 82, protocol: HTTP, hostname: chosen.example.com, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: orders}}}}}",
		"{name: grpc, port: 83, protocol: HTTP, hostname: grpc.example.com, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}",
	))
	k.Apply(t, other, r.service("legacy", r.legacy.url))
	parent := func(section, hosts string) string {
		return r.routeOf("orders", "parentRefs: [{namespace: "+r.ns+", name: picky, sectionName: "+section+"}], hostnames: ["+hosts+"]", "{backendRefs: [{name: legacy, port: 80}]}")
	}
	there := &rig{Gateway: r.Gateway, t: t, kube: k, ns: other, client: r.client}
	for i, c := range []struct{ section, hosts, want string }{
		{"same", "same.example.com", "False NotAllowedByListeners"},
		{"all", "a.all.example.com, b.example.com", "True Accepted"},
		{"all", "all.example.com", "False NoMatchingListenerHostname"},
		{"chosen", "chosen.example.com", "False NotAllowedByListeners"},
		{"grpc", "grpc.example.com", "False NotAllowedByListeners"},
	} {
		k.Apply(t, other, parent(c.section, c.hosts))
		there.await("orders", fmt.Sprintf("picky: Accepted %s %d, ResolvedRefs True ResolvedRefs %[2]d", c.want, i+1))
		if c.section != "all" || c.want != "True Accepted" {
			continue
		}
		url := r.URL(t, r.ns, "picky")
		for host, want := range map[string]int{"a.all.example.com": 200, "b.example.com": 404, "b.all.example.com": 404} {
			if a, err := r.try(url, "GET", host, "/"); err != nil || a.code != want {
				t.Errorf("%s: %d, %v; want %d", host, a.code, err, want)
			}
		}
	}
	k.Apply(t, other, parent("chosen", "chosen.example.com"))
	k.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+other+", labels: {team: orders}}}")
	there.await("orders", "picky: Accepted True Accepted 6, ResolvedRefs True ResolvedRefs 6")
}

func TestWhatTheFixtureDoesNotKnowItRefuses(t *testing.T) {
	r := started(t, kubetest.Shared(t), Options{Features: []string{"HTTPRoute", "HTTPRouteRequestMirror", "HTTPRoutePathRewrite"}})
	mirror := func(more string) string {
		return "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: modern, port: 80}" + more + "}}], backendRefs: [{name: legacy, port: 80}]}"
	}
	generation := 0
	for _, c := range []struct{ rule, why string }{
		{mirror(""), ""},
		{mirror(", percent: 10"), "HTTPRouteRequestPercentageMirror"},
		{"{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}", "requestRedirect"},
		{"{timeouts: {request: 10s}, backendRefs: [{name: legacy, port: 80}]}", "timeouts"},
		{"{matches: [{path: {type: RegularExpression, value: '/a.*'}}], backendRefs: [{name: legacy, port: 80}]}", `"RegularExpression"`},
		{"{matches: [{headers: [{type: RegularExpression, name: a, value: b}]}], backendRefs: [{name: legacy, port: 80}]}", `"RegularExpression"`},
		{"{matches: [{method: GET}], backendRefs: [{name: legacy, port: 80}]}", "HTTPRouteMethodMatching"},
		{"{matches: [{queryParams: [{name: a, value: b}]}], backendRefs: [{name: legacy, port: 80}]}", "HTTPRouteQueryParamMatching"},
		{"{filters: [{type: URLRewrite, urlRewrite: {hostname: a.example.com}}], backendRefs: [{name: legacy, port: 80}]}", "HTTPRouteHostRewrite"},
		{"{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}], backendRefs: [{name: legacy, port: 80}]}", ""},
		{"{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: host, value: b}]}}], backendRefs: [{name: legacy, port: 80}]}", "use urlRewrite.hostname"},
		{"{backendRefs: [{name: legacy, port: 80, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: modern, port: 80}}}]}]}", "mirror in a backendRef"},
	} {
		generation++
		r.apply(r.route("orders", c.rule))
		if c.why == "" {
			r.await("orders", fmt.Sprintf(good, generation))
			continue
		}
		r.await("orders", fmt.Sprintf("gw: Accepted False UnsupportedValue %d, ResolvedRefs True ResolvedRefs %[1]d", generation))
		if got := r.read("orders").Status.Parents[0].Conditions[0].Message; !strings.Contains(got, c.why) {
			t.Errorf("%s: the message is %q, want one with %q", c.rule, got, c.why)
		}
		if a := r.ask("GET any/"); a.code != http.StatusNotFound {
			t.Errorf("%s: it is served: %d", c.rule, a.code)
		}
	}
}

func TestEntriesOfOthersStayAndStaleOnesGo(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	r.apply(r.gateway("second", "{name: http, port: 80, protocol: HTTP}"),
		"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: foreign}, spec: {gatewayClassName: somebody-elses, listeners: [{name: http, port: 80, protocol: HTTP}]}}")
	r.apply(r.routeOf("orders", "parentRefs: [{name: gw}, {name: foreign}, {name: second}, {name: none}]", split(1, 1)))
	both := "gw: Accepted True Accepted 1, ResolvedRefs True ResolvedRefs 1; second: Accepted True Accepted 1, ResolvedRefs True ResolvedRefs 1"
	r.await("orders", both)
	const others = `{"controllerName": "example.com/other", "parentRef": {"name": %q}, "conditions": [
		{"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}`
	for _, parent := range []string{"gw", "foreign"} {
		k.Kubectl(t, "patch", "httproute/orders", "--namespace="+r.ns, "--subresource=status", "--type=json",
			"--patch", `[{"op": "add", "path": "/status/parents/0", "value": `+fmt.Sprintf(others, parent)+`}]`)
	}
	const kept = "foreign: Accepted Unknown Pending 0; gw: Accepted Unknown Pending 0"
	r.await("orders", kept+"; "+both)
	r.apply(r.routeOf("orders", "parentRefs: [{name: second}, {name: foreign}]", split(1, 1)))
	r.await("orders", kept+"; second: Accepted True Accepted 2, ResolvedRefs True ResolvedRefs 2")

	// A route that names nobody of this fixture has no entry of it.
	r.apply(r.routeOf("alone", "parentRefs: [{name: second}]", split(1, 1)))
	r.await("alone", "second: Accepted True Accepted 1, ResolvedRefs True ResolvedRefs 1")
	r.apply(r.routeOf("alone", "parentRefs: [{name: foreign}]", split(1, 1)))
	r.await("alone", "")

	// The Gateway goes, with its listener and what it said.
	url := r.URL(t, r.ns, "second")
	if a, err := r.try(url, "GET", "any", "/"); err != nil || a.code != http.StatusOK {
		t.Errorf("%d, %v", a.code, err)
	}
	k.Delete(t, "Gateway."+apiGroup, r.ns, "second")
	r.await("orders", kept)
	if a, err := r.try(url, "GET", "any", "/"); err == nil {
		t.Errorf("the listener of a Gateway that is gone answers %d", a.code)
	}
}

func TestAGatewayAndItsClassSayWhatTheyAre(t *testing.T) {
	k := kubetest.Shared(t)
	r := started(t, k, Options{})
	read := func(name string) (g gatewayObject) {
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(k.Get(t, "Gateway."+apiGroup, r.ns, name).Object, &g))
		return g
	}
	r.apply(r.route("orders", split(1, 1)))
	r.accepted("orders")
	url := r.URL(t, r.ns, "gw")
	kubetest.WaitFor(t, "the Gateway counts its route", func() bool {
		l := read("gw").Status.Listeners
		return len(l) == 1 && l[0].AttachedRoutes == 1
	})
	g := read("gw").Status
	if conditions(g.Conditions) != "Accepted True Accepted 1, Programmed True Programmed 1" || fmt.Sprint(g.Addresses) != "[{IPAddress 127.0.0.1} {"+URLAnnotation+" "+url+"}]" {
		t.Errorf("got %+v", g)
	}
	if l := g.Listeners[0]; l.Name != "http" || conditions(l.Conditions) != "Accepted True Accepted 1, Programmed True Programmed 1, ResolvedRefs True ResolvedRefs 1" || fmt.Sprint(l.SupportedKinds) != "[{gateway.networking.k8s.io HTTPRoute}]" {
		t.Errorf("got %+v", l)
	}
	k.Kubectl(t, "wait", "--for=condition=Programmed", "gateway/gw", "--namespace="+r.ns, "--timeout=60s")

	r.apply(r.gateway("mixed", "{name: one, port: 80, protocol: HTTP}", "{name: two, port: 81, protocol: HTTP}", "{name: secure, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}"))
	kubetest.WaitFor(t, "the Gateway tells what is wrong", func() bool { return len(read("mixed").Status.Listeners) == 3 })
	g = read("mixed").Status
	if got := conditions(g.Listeners[1].Conditions[:1]) + ", " + conditions(g.Listeners[2].Conditions[:1]) + ", " + conditions(g.Conditions); got != "Accepted False PortUnavailable 1, Accepted False UnsupportedProtocol 1, Accepted False ListenersNotValid 1, Programmed True Programmed 1" {
		t.Errorf("got %s", got)
	}

	class := func(name string) (c gatewayClass) {
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(k.Get(t, "GatewayClass."+apiGroup, "", name).Object, &c))
		return c
	}
	c := class(r.o.ClassName)
	var names []string
	for _, f := range c.Status.SupportedFeatures {
		names = append(names, f.Name)
	}
	if conditions(c.Status.Conditions) != "Accepted True Accepted 1" || fmt.Sprint(names) != fmt.Sprint(AllFeatures()) {
		t.Errorf("got %+v", c.Status)
	}
	few := Start(t, Options{RESTConfig: k.Config, ClassName: "few", ControllerName: "example.com/few", Features: []string{"HTTPRouteRequestMirror", "HTTPRoute"}})
	if got := class("few"); fmt.Sprint(got.Status.SupportedFeatures) != "[{HTTPRoute} {HTTPRouteRequestMirror}]" || got.Spec.ControllerName != "example.com/few" {
		t.Errorf("got %+v", got)
	}
	Start(t, Options{RESTConfig: k.Config, ClassName: "silent", Unpublished: true})
	if got := class("silent").Status; got.SupportedFeatures != nil || conditions(got.Conditions) != "Accepted True Accepted 1" {
		t.Errorf("got %+v", got)
	}
	thief := &Gateway{o: Options{ClassName: "few", ControllerName: "example.com/other"}, client: few.client}
	if _, err := thief.claim(); err == nil || !strings.Contains(err.Error(), `it belongs to controller "example.com/few"`) {
		t.Errorf("claiming another's class: %v", err)
	}
}
