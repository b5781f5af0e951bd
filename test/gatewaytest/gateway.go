package gatewaytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/changeover-dev/changeover/test/kubetest"
)

const (
	// ControllerName is that of a fixture whose options name none.
	ControllerName = "changeover.dev/fixture"
	// URLAnnotation on a Service names its backend, as http://127.0.0.1:PORT.
	// In a Gateway's status it is the type of the address that has the port.
	URLAnnotation = "fixture.changeover.dev/url"
	// SideAnnotation on a Service says what counters call it.
	SideAnnotation = "fixture.changeover.dev/side"
	// UserAgent is what the audit log calls the fixture.
	UserAgent = "fixture-gateway"
)

const requestTimeout = 30 * time.Second

// AllFeatures are the extended features of the Gateway API that the fixture
// has, as GatewayClasses publish them, in order.
func AllFeatures() []string {
	return []string{
		"Gateway", "HTTPRoute", "HTTPRouteBackendRequestHeaderModification", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching",
		"HTTPRouteNamedRouteRule", "HTTPRouteParentRefPort", "HTTPRoutePathRewrite", "HTTPRouteQueryParamMatching",
		"HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror",
		"HTTPRouteResponseHeaderModification", "ReferenceGrant",
	}
}

// Options of a fixture; one of Kubeconfig and RESTConfig is needed.
type Options struct {
	// Kubeconfig is the path of an administrator's.
	Kubeconfig string
	RESTConfig *rest.Config
	// ClassName is the GatewayClass, which is created where it is not there;
	// "fixture" where empty. Fixtures at once need classes of their own.
	ClassName string
	// ControllerName where the one of this package is not wanted.
	ControllerName string
	// Features that the class publishes and has; AllFeatures where nil. A route
	// that needs another one is refused.
	Features []string
	// Unpublished leaves the features out of the class's status, as
	// implementations do that do not publish them.
	Unpublished bool
	// Backends are URLs by NAMESPACE/NAME:PORT of Services.
	Backends map[string]string
	// SideHeader is set on every answer of a backend to what counters call it;
	// none where empty.
	SideHeader string
}

// Gateway is a fixture that runs, until the test ends. Its methods may be called
// from several goroutines; those that take the test are for the test's own.
type Gateway struct {
	// MetricsURL is http://127.0.0.1:PORT/metrics with
	// requests_total{side,code,route} and mirrored_total of the same labels;
	// MetricsAddr is its HOST:PORT.
	MetricsURL, MetricsAddr string

	o      Options
	client dynamic.Interface
	plane  *plane
	wake   chan struct{}

	mu       sync.Mutex
	paused   bool
	delay    time.Duration
	reject   string
	backends map[string]string
	servers  map[string]*server // by NAMESPACE/NAME of the Gateway
	trouble  error              // of the last time, for a test that fails
	ready    bool               // the class was accepted

	// Of the controller's goroutine alone.
	judged map[types.UID]*judged
	seen   map[types.UID]sighting
}

// Start runs a fixture and returns when its class is accepted.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	o.ClassName, o.ControllerName = cmp.Or(o.ClassName, "fixture"), cmp.Or(o.ControllerName, ControllerName)
	if o.Features == nil {
		o.Features = AllFeatures()
	}
	for _, f := range o.Features {
		if !slices.Contains(AllFeatures(), f) {
			t.Fatalf("start the fixture gateway: it has no feature %q", f)
		}
	}
	client, err := o.connect()
	if err != nil {
		t.Fatalf("start the fixture gateway: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gateway{
		o: o, client: client, plane: newPlane(ctx, o.SideHeader), wake: make(chan struct{}, 1), backends: map[string]string{},
		servers: map[string]*server{}, judged: map[types.UID]*judged{}, seen: map[types.UID]sighting{},
	}
	for service, url := range o.Backends {
		g.backends[service] = url
	}
	g.serveMetrics(t)
	created, err := g.claim()
	if err != nil {
		t.Fatalf("start the fixture gateway: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		g.close()
		if created {
			g.removeClass()
		}
		if t.Failed() && g.lastTrouble() != nil {
			t.Logf("the fixture gateway's last trouble: %v", g.lastTrouble())
		}
	})
	kubetest.WaitFor(t, "the fixture's class "+o.ClassName+" is accepted", g.isReady)
	return g
}

func (o Options) connect() (dynamic.Interface, error) {
	config := o.RESTConfig
	if config == nil {
		var err error
		if config, err = clientcmd.BuildConfigFromFlags("", o.Kubeconfig); err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	config.UserAgent, config.QPS = UserAgent, -1
	return dynamic.NewForConfig(config)
}

// claim creates the class, or finds that it is this controller's.
func (g *Gateway) claim() (created bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	class := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiV1, "kind": "GatewayClass", "metadata": map[string]any{"name": g.o.ClassName},
		"spec": map[string]any{"controllerName": g.o.ControllerName},
	}}
	_, err = g.client.Resource(gatewayClasses).Create(ctx, class, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err == nil, err
	}
	class, err = g.client.Resource(gatewayClasses).Get(ctx, g.o.ClassName, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	if name, _, _ := unstructured.NestedString(class.Object, "spec", "controllerName"); name != g.o.ControllerName {
		return false, fmt.Errorf("claim GatewayClass %q: it belongs to controller %q, not to %q", g.o.ClassName, name, g.o.ControllerName)
	}
	return false, nil
}

func (g *Gateway) removeClass() {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = g.client.Resource(gatewayClasses).Delete(ctx, g.o.ClassName, metav1.DeleteOptions{}) // the cluster may be gone
}

func (g *Gateway) serveMetrics(t testing.TB) {
	mux := http.NewServeMux()
	mux.Handle("/metrics", g.plane.counts.handler())
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections() // of a Prometheus that still scrapes
		srv.Close()
	})
	g.MetricsURL, g.MetricsAddr = srv.URL+"/metrics", strings.TrimPrefix(srv.URL, "http://")
}

// URL is where a Gateway listens, as http://127.0.0.1:PORT; it stays the same as
// long as the Gateway is there. It waits for a Gateway that is new.
func (g *Gateway) URL(t testing.TB, namespace, name string) string {
	t.Helper()
	var url string
	kubetest.WaitFor(t, fmt.Sprintf("the fixture listens for Gateway %s/%s", namespace, name), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		if s := g.servers[namespace+"/"+name]; s != nil {
			url = s.url
		}
		return url != ""
	})
	return url
}

// SetBackend sets the URL of a Service, as in Options.Backends. Empty takes its
// endpoint away.
func (g *Gateway) SetBackend(service, url string) { g.set(func() { g.backends[service] = url }) }

// Pause stops the controller: statuses go stale, and requests are served as
// before. Resume makes up for it.
func (g *Gateway) Pause() { g.set(func() { g.paused = true }) }

// Resume ends Pause.
func (g *Gateway) Resume() { g.set(func() { g.paused = false }) }

// SetAcceptDelay makes the controller take this long before it serves and
// judges a new generation of a route; until then the old one is served, and the
// status is about it.
func (g *Gateway) SetAcceptDelay(d time.Duration) { g.set(func() { g.delay = d }) }

// Reject refuses every route for this reason (a word in CamelCase): Accepted is
// False, and none is served. An empty reason ends it.
func (g *Gateway) Reject(reason string) { g.set(func() { g.reject = reason }) }

func (g *Gateway) set(change func()) {
	g.mu.Lock()
	change()
	g.mu.Unlock()
	g.poke()
}

func (g *Gateway) poke() {
	select {
	case g.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Counts are all requests since the start. A mirrored one counts when it is
// answered or given up. Keys without requests stand for what may come.
func (g *Gateway) Counts() map[Key]int { return g.plane.counts.all() }

// Sides counts what backends were sent for a route (NAMESPACE/NAME), without
// mirrors, whatever they answered.
func (g *Gateway) Sides(route string) map[string]int { return g.sides(route, false) }

// Mirrored counts what mirrors were sent for a route (NAMESPACE/NAME).
func (g *Gateway) Mirrored(route string) map[string]int { return g.sides(route, true) }

func (g *Gateway) sides(route string, mirror bool) map[string]int {
	sides := map[string]int{}
	for k, n := range g.Counts() {
		if n > 0 && k.Route == route && k.Mirror == mirror && k.Side != "" {
			sides[k.Side] += n
		}
	}
	return sides
}

func (g *Gateway) lastTrouble() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble
}

func (g *Gateway) isReady() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready
}

// close ends the data plane.
func (g *Gateway) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, s := range g.servers {
		errs = append(errs, s.http.Close())
	}
	g.plane.settle() // for good
	g.plane.transport.CloseIdleConnections()
	g.trouble = errors.Join(append(errs, g.trouble)...)
}
