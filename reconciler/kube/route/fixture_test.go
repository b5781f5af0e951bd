package route_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) {
	os.Exit(kubetest.Main(m, cluster.Options{GatewayAPI: cluster.Standard, Audit: true}))
}

const httpRoute = "HTTPRoute.gateway.networking.k8s.io"

var routes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPlan reads a plan whose route names these Gateways. Extra are lines of its
// spec, with their indent.
func newPlan(t testing.TB, namespace, extra string, parents ...string) *plan.Plan {
	t.Helper()
	refs := "{name: " + strings.Join(parents, "}, {name: ") + "}"
	src := fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop, namespace: %s}
spec:
  position: {phase: setup}
%s
  backends:
    legacy: {service: {name: legacy, port: 80}}
    modern: {service: {name: modern, port: 80}}
  gateway: {gatewayAPI: {parentRefs: [%s]}}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 100]
      routes:
        - {match: {path: /fixed, headers: {X-Side: old}}, to: legacy}
        - {to: split}
`, namespace, extra, refs)
	doc, problems := plan.Decode("shop.yaml", []byte(src))
	if len(problems) > 0 {
		t.Fatalf("the fixture's plan: %v", problems)
	}
	return doc.Plan
}

var (
	setup = plan.Position{Phase: "setup"}
	at10  = plan.Position{Phase: "gradual", Percent: 10}
	at25  = plan.Position{Phase: "gradual", Percent: 25}
)

func markAt(p *plan.Plan, stop plan.Position) reconciler.Mark {
	return reconciler.Mark{Key: p.Key(), Stop: stop, Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Revision: "0123456789abcdef0123456789abcdef01234567"}
}

// rig is a namespace with the gateway under test and a controller that says what
// the test wants.
type rig struct {
	*testing.T
	*route.Gateway
	*controller
	kube *kubetest.Kube
	ns   string
	plan *plan.Plan
}

func newRig(t *testing.T, extra string, parents ...string) *rig {
	t.Helper()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	return &rig{
		T: t, kube: k, ns: ns, plan: newPlan(t, ns, extra, parents...),
		Gateway: open(t, k.Kubeconfig, nil), controller: control(t, k.Dynamic, ns),
	}
}

// open makes a gateway for the user of a kubeconfig.
func open(t testing.TB, kubeconfig string, wake func(plan.Key), change ...func(*rest.Config)) *route.Gateway {
	t.Helper()
	config, err := kubetest.ReadKubeconfig(kubeconfig)
	must(t, err)
	for _, c := range change {
		c(config)
	}
	c, err := client.New(client.Options{Config: config, QPS: -1, UserAgent: "route/" + t.Name()})
	must(t, err)
	g, err := route.New(route.Options{Client: c, Wake: wake})
	must(t, err)
	return g
}

// applyWithin applies a stop with a deadline.
func (r *rig) applyWithin(d time.Duration, stop plan.Position) error {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	return r.Apply(ctx, r.plan, markAt(r.plan, stop))
}

func (r *rig) apply(stop plan.Position) {
	r.Helper()
	if err := r.applyWithin(20*time.Second, stop); err != nil {
		r.Fatalf("Apply %s: %v", stop, err)
	}
}

func (r *rig) observe(stop plan.Position) reconciler.TrafficState {
	r.Helper()
	st, err := r.Observe(r.Context(), r.plan, stop)
	must(r, err)
	return st
}

func (r *rig) live() *unstructured.Unstructured {
	r.Helper()
	return r.kube.Get(r, httpRoute, r.ns, "shop")
}

// atStop reports whether the live route has the mark of a stop.
func atStop(o *unstructured.Unstructured, stop plan.Position) bool {
	return o.GetAnnotations()["changeover.dev/stop"] == stop.String()
}

// refuses checks that an error is of its kind and says what it should.
func refuses(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Fatalf("got %v, want an error that is %v", err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q: %v", s, err)
		}
	}
}

// answer is what a controller says of one parent.
type answer struct {
	// accepted and resolved are True, False or Unknown; nothing is said where
	// accepted is empty.
	accepted, resolved string
	reason             string        // of both
	behind             int64         // generations
	after              time.Duration // since the generation was first seen
	controller         string
}

var (
	yes  = answer{accepted: "True", resolved: "True", reason: "Accepted"}
	mute = answer{}
)

// controller writes the status of the routes of a namespace.
type controller struct {
	client dynamic.ResourceInterface

	mu      sync.Mutex
	answers map[string][]answer // by parent; yes where there is none
	seen    map[int64]time.Time // generations
	kick    chan struct{}
}

// control runs a controller until the test ends.
func control(t *testing.T, c dynamic.Interface, namespace string) *controller {
	ctl := &controller{client: c.Resource(routes).Namespace(namespace), answers: map[string][]answer{}, seen: map[int64]time.Time{}, kick: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			ctl.run(ctx)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return ctl
}

// says sets what is said of a parent from now on.
func (c *controller) says(parent string, a ...answer) {
	c.mu.Lock()
	c.answers[parent] = a
	c.mu.Unlock()
	c.kick <- struct{}{}
}

func (c *controller) run(ctx context.Context) {
	w, err := c.client.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		time.Sleep(50 * time.Millisecond)
		return
	}
	defer w.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	names := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.ResultChan():
			o, is := e.Object.(*unstructured.Unstructured)
			if !ok || !is {
				return
			}
			names[o.GetName()] = true
		case <-c.kick:
		case <-tick.C:
		}
		for name := range names {
			c.write(ctx, name)
		}
	}
}

func (c *controller) write(ctx context.Context, name string) {
	o, err := c.client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return
	}
	parents := c.judge(o)
	have, _, _ := unstructured.NestedSlice(o.Object, "status", "parents")
	if fmt.Sprint(have) == fmt.Sprint(parents) {
		return
	}
	must := unstructured.SetNestedSlice(o.Object, parents, "status", "parents")
	if must != nil {
		panic(must)
	}
	if _, err := c.client.UpdateStatus(ctx, o, metav1.UpdateOptions{FieldManager: "fixture"}); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		panic(err)
	}
}

func (c *controller) judge(o *unstructured.Unstructured) []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[o.GetGeneration()].IsZero() {
		c.seen[o.GetGeneration()] = time.Now()
	}
	old, _, _ := unstructured.NestedSlice(o.Object, "status", "parents")
	parents := []any{}
	refs, _, _ := unstructured.NestedSlice(o.Object, "spec", "parentRefs")
	for _, r := range refs {
		ref := r.(map[string]any)
		name := ref["name"].(string)
		answers, ok := c.answers[name]
		if !ok {
			answers = []answer{yes}
		}
		for i, a := range answers {
			if a.controller == "" {
				a.controller = fmt.Sprintf("example.com/controller-%d", i)
			}
			if time.Since(c.seen[o.GetGeneration()]) < a.after {
				parents = append(parents, before(old, name, a.controller)...)
				continue
			}
			if a.accepted != "" {
				parents = append(parents, a.entry(ref, o.GetGeneration()))
			}
		}
	}
	return parents
}

// before is what a controller has said already.
func before(old []any, parent, controller string) []any {
	i := slices.IndexFunc(old, func(e any) bool {
		m := e.(map[string]any)
		return m["controllerName"] == controller && m["parentRef"].(map[string]any)["name"] == parent
	})
	if i < 0 {
		return nil
	}
	return old[i : i+1]
}

func (a answer) entry(ref map[string]any, generation int64) map[string]any {
	conditions := []any{}
	for _, c := range [][2]string{{"Accepted", a.accepted}, {"ResolvedRefs", a.resolved}} {
		if c[1] == "" {
			continue
		}
		conditions = append(conditions, map[string]any{
			"type": c[0], "status": c[1], "reason": a.reason, "message": "so says the fixture",
			"observedGeneration": max(generation-a.behind, 0), "lastTransitionTime": "2026-03-01T12:00:00Z",
		})
	}
	return map[string]any{"parentRef": ref, "controllerName": a.controller, "conditions": conditions}
}
