package scaffold_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/scaffold"
	"github.com/changeover-dev/changeover/plan"
)

const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop-route, namespace: web}
spec:
  hostnames: [shop.example.com]
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge, namespace: infra, sectionName: https}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /api}}]
      backendRefs: [{name: shop, port: 8080, weight: 1}]
    - matches: [{path: {type: Exact, value: /login}}]
      backendRefs: [{kind: Service, name: auth, port: 80}]
`

const ingress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  rules:
    - host: shop.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 8080}}}}]}
`

const nginx = `upstream app { server 10.0.0.1:8080; server 10.0.0.2:8080 backup; }
# a comment; with } signs {
server {
  listen 80;
  location /static { root /var/www; }
  location /shop { proxy_set_header X-A "a;b} \" c"; set $x ${y}z; proxy_pass http://app/new; }
  location = /old { proxy_pass http://old:8081; }
  location /var { proxy_pass http://$host; }
}
`

// decoded is the plan that is written; it has no error.
func decoded(t *testing.T, today scaffold.Today, modern plan.Backend) (*plan.Plan, string) {
	t.Helper()
	text, err := today.Plan("shop", modern)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("shop.yaml", []byte(text))
	if plan.HasErrors(problems) {
		t.Fatalf("%s\n%s", text, problems[0].Render())
	}
	return doc.Plan, text
}

func TestAPlanIsMadeOfAnHTTPRoute(t *testing.T) {
	today, err := scaffold.FromObject([]byte(route), "shop")
	if err != nil {
		t.Fatal(err)
	}
	p, text := decoded(t, today, plan.Backend{Service: &plan.Service{Name: "shop-v2", Port: 80}})
	g := p.Spec.Gateway.GatewayAPI
	if p.Key().String() != "web/shop" || *p.Spec.Backends.Legacy.Service != (plan.Service{Name: "shop", Namespace: "web", Port: 8080}) ||
		len(g.ParentRefs) != 1 || g.ParentRefs[0].Name != "edge" || g.ParentRefs[0].Namespace != "infra" || g.ParentRefs[0].SectionName != "https" ||
		len(g.Hostnames) != 1 || g.Hostnames[0] != "shop.example.com" {
		t.Errorf("the plan is\n%s", text)
	}
	for _, want := range []string{"HTTPRoute web/shop-route", "/api, /login (Exact)", "Delete shop-route"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

func TestAPlanIsMadeOfAnIngress(t *testing.T) {
	today, err := scaffold.FromObject([]byte(ingress), "")
	if err != nil {
		t.Fatal(err)
	}
	p, text := decoded(t, today, plan.Backend{URL: "http://shop-v2.default.svc"})
	if p.Spec.Gateway.Bridge == nil || p.Spec.Backends.Legacy.URL != "http://shop.default.svc:8080" || strings.Contains(text, "these paths only") {
		t.Errorf("the plan is\n%s", text)
	}
}

func TestAPlanIsMadeOfALocationOfNGINX(t *testing.T) {
	today, err := scaffold.FromNGINX(nginx, "/shop")
	if err != nil {
		t.Fatal(err)
	}
	p, text := decoded(t, today, plan.Backend{URL: "http://127.0.0.1:8000"})
	if p.Spec.Gateway.NGINX == nil || p.Spec.Backends.Legacy.URL != "http://10.0.0.1:8080" {
		t.Errorf("the plan is\n%s", text)
	}
	for _, want := range []string{"has 2 servers", "replaces the path by /new", "/shop"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

func TestNothingIsGuessed(t *testing.T) {
	object := func(src, service string) func() (scaffold.Today, error) {
		return func() (scaffold.Today, error) { return scaffold.FromObject([]byte(src), service) }
	}
	location := func(src, location string) func() (scaffold.Today, error) {
		return func() (scaffold.Today, error) { return scaffold.FromNGINX(src, location) }
	}
	for want, read := range map[string]func() (scaffold.Today, error){
		"say with --service which of them is legacy": object(route, ""),
		`does not name the Service "web"`:            object(route, "web"),
		"it names no Service":                        object("apiVersion: networking.k8s.io/v1\nkind: Ingress\n", ""),
		"want an HTTPRoute":                          object("apiVersion: v1\nkind: Service\n", ""),
		"read YAML":                                  object("a: b: c", ""),
		"read the HTTPRoute":                         object("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: {rules: 3}\n", ""),
		"names no Gateway":                           object(strings.Replace(route, "  parentRefs:", "  others:", 1), "shop"),
		"by the name of its port (web)":              object(strings.Replace(ingress, "number: 8080", "name: web", 1), ""),
		"say with --location":                        location(nginx, ""),
		`no location "/x"`:                           location(nginx, "/x"),
		"line 8: proxy_pass http://$host":            location(nginx, "/var"),
		"no location has a proxy_pass":               location("events {}", ""),
		"line 2: the file ends":                      location("server {\n", ""),
		`line 1: unexpected "}"`:                     location("}", ""),
		`line 1: unexpected ";"`:                     location(";", ""),
		"line 1: the text that begins here":          location(`a "b`, ""),
		"nested too deep":                            location(strings.Repeat("a {", 100), ""),
		"has no server":                              location("upstream a {} location / { proxy_pass http://a; }", ""),
		`several locations "/"`:                      location("location / { proxy_pass http://a; } location / { proxy_pass http://b; }", "/"),
	} {
		if _, err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
	if _, err := (scaffold.Today{Legacy: plan.Backend{URL: "ftp://a"}, Gateway: plan.Gateway{NGINX: &plan.NGINXGateway{}}}).Plan("shop", plan.Backend{URL: "http://b"}); err == nil || !strings.Contains(err.Error(), "makes no plan") {
		t.Errorf("the error of a plan that would not decode is %v", err)
	}
}

func FuzzNGINX(f *testing.F) {
	f.Add(nginx, "/shop")
	f.Add("location / { proxy_pass http://a; }", "")
	f.Add("a ${b;", "")
	f.Fuzz(func(t *testing.T, src, location string) {
		today, err := scaffold.FromNGINX(src, location)
		if err != nil {
			return
		}
		text, err := today.Plan("shop", plan.Backend{URL: "http://b"})
		if err != nil {
			return
		}
		if _, problems := plan.Decode("shop.yaml", []byte(text)); plan.HasErrors(problems) {
			t.Errorf("the plan does not decode:\n%s", text)
		}
	})
}
