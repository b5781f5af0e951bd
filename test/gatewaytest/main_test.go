package gatewaytest

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) {
	os.Exit(kubetest.Main(m, cluster.Options{GatewayAPI: cluster.Standard, Audit: true}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a namespace with a Gateway "gw" and the Services legacy and modern.
type rig struct {
	*Gateway
	t              *testing.T
	kube           *kubetest.Kube
	ns             string
	legacy, modern *backend
	client         *http.Client
}

var classes atomic.Int64

// started is what a test's fixture is like unless it says otherwise.
func started(t *testing.T, k *kubetest.Kube, o Options) *rig {
	t.Helper()
	o.Kubeconfig, o.ClassName = k.Kubeconfig, fmt.Sprintf("class-%d", classes.Add(1))
	r := &rig{t: t, kube: k, ns: k.Namespace(t), legacy: newBackend(t, "legacy"), modern: newBackend(t, "modern")}
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(r.client.CloseIdleConnections)
	r.Gateway = Start(t, o)
	r.apply(r.service("legacy", r.legacy.url), r.service("modern", r.modern.url), r.gateway("gw", "{name: http, port: 80, protocol: HTTP}"))
	return r
}

func (r *rig) apply(docs ...string) {
	r.t.Helper()
	r.kube.Apply(r.t, r.ns, strings.Join(docs, "\n---\n"))
}

func (r *rig) service(name, url string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, annotations: {%s: %q}}, spec: {ports: [{port: 80}]}}", name, URLAnnotation, url)
}

func (r *rig) gateway(name string, listeners ...string) string {
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: %s}, spec: {gatewayClassName: %s, listeners: [%s]}}",
		name, r.o.ClassName, strings.Join(listeners, ", "))
}

// route is a manifest; its rules are in YAML's flow style.
func (r *rig) route(name string, rules ...string) string {
	return r.routeOf(name, "parentRefs: [{name: gw}]", rules...)
}

func (r *rig) routeOf(name, spec string, rules ...string) string {
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s}, spec: {%s, rules: [%s]}}", name, spec, strings.Join(rules, ", "))
}

func split(legacy, modern int) string {
	return fmt.Sprintf("{backendRefs: [{name: legacy, port: 80, weight: %d}, {name: modern, port: 80, weight: %d}]}", legacy, modern)
}

func (r *rig) read(name string) *httpRoute {
	r.t.Helper()
	var route httpRoute
	must(r.t, runtime.DefaultUnstructuredConverter.FromUnstructured(r.kube.Get(r.t, "HTTPRoute."+apiGroup, r.ns, name).Object, &route))
	return &route
}

// said is what the parents of a route say, in the order of the status, as
// "gw: Accepted True Accepted 1, ResolvedRefs True ResolvedRefs 1".
func (r *rig) said(name string) string {
	r.t.Helper()
	var parents []string
	for _, p := range r.read(name).Status.Parents {
		var conditions []string
		for _, c := range p.Conditions {
			conditions = append(conditions, fmt.Sprintf("%s %s %s %d", c.Type, c.Status, c.Reason, c.ObservedGeneration))
		}
		parents = append(parents, p.ParentRef.Name+": "+strings.Join(conditions, ", "))
	}
	return strings.Join(parents, "; ")
}

func (r *rig) await(name, want string) {
	r.t.Helper()
	got := ""
	defer func() {
		if got != want {
			r.t.Logf("the status of %s was: %s", name, got)
		}
	}()
	kubetest.WaitFor(r.t, "the status of "+name+" is: "+want, func() bool { got = r.said(name); return got == want })
}

const good = "gw: Accepted True Accepted %d, ResolvedRefs True ResolvedRefs %[1]d"

// accepted waits until the route is served as it is.
func (r *rig) accepted(name string) {
	r.t.Helper()
	r.await(name, fmt.Sprintf(good, r.read(name).Metadata.Generation))
}

// answer is one of a backend, or of the fixture.
type answer struct {
	code   int
	header http.Header
	echo
}

// ask sends a request to Gateway gw: "POST example.com/path?query", with
// headers as "Name: value".
func (r *rig) ask(request string, headers ...string) answer {
	r.t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	host, path, _ := strings.Cut(rest, "/")
	a, err := r.try(r.URL(r.t, r.ns, "gw"), method, host, "/"+path, headers...)
	must(r.t, err)
	return a
}

func (r *rig) try(url, method, host, path string, headers ...string) (a answer, err error) {
	body := "body of " + path
	req, err := http.NewRequestWithContext(r.t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Host = host
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a.code, a.header = resp.StatusCode, resp.Header
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(text, &a.echo)
	}
	return a, err
}

// many sends GET requests, eight at a time, and counts who answered.
func (r *rig) many(n int, path string) map[string]int {
	r.t.Helper()
	url := r.URL(r.t, r.ns, "gw")
	var mu sync.Mutex
	var wg sync.WaitGroup
	names := map[string]int{}
	for w := range 8 {
		wg.Go(func() {
			for range (n + 7 - w) / 8 {
				a, err := r.try(url, http.MethodGet, "any", path)
				mu.Lock()
				switch {
				case err != nil:
					names[err.Error()]++
				case a.code != http.StatusOK:
					names[http.StatusText(a.code)]++
				default:
					names[a.Name]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return names
}

// within3Sigma tells whether a count fits a probability.
func within3Sigma(got, n int, p float64) bool {
	return math.Abs(float64(got)-float64(n)*p) <= 3*math.Sqrt(float64(n)*p*(1-p))
}

// fits draws once more where the first draw is beyond three sigma: one honest
// draw in 370 is, and one pair in 137,000.
func fits(t *testing.T, what string, n int, p float64, draw func() int) {
	t.Helper()
	first := draw()
	if within3Sigma(first, n, p) {
		return
	}
	if second := draw(); !within3Sigma(second, n, p) {
		t.Errorf("%s: got %d and %d of %d, want %.1f%%", what, first, second, n, p*100)
	}
}

// echo is what a backend got.
type echo struct {
	Name, Method, Host, Path, Body string
	Header                         http.Header
}

// backend answers with what it got.
type backend struct {
	url  string
	hold chan struct{} // answers wait until it is closed, where not nil

	mu   sync.Mutex
	got  []echo
	code int
}

func newBackend(t *testing.T, name string) *backend {
	b := &backend{code: http.StatusOK}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e := echo{name, r.Method, r.Host, r.RequestURI, string(body), r.Header}
		b.mu.Lock()
		b.got = append(b.got, e)
		code, hold := b.code, b.hold
		b.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-From", name)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(e)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	b.url = srv.URL
	return b
}

// take returns what it got since the last time.
func (b *backend) take() []echo {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

func (b *backend) set(code int, hold chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.code, b.hold = code, hold
}

// conditions are those of a Gateway or a class, as "Accepted True Accepted 1".
func conditions(all []metav1.Condition) string {
	var out []string
	for _, c := range all {
		out = append(out, fmt.Sprintf("%s %s %s %d", c.Type, c.Status, c.Reason, c.ObservedGeneration))
	}
	return strings.Join(out, ", ")
}
