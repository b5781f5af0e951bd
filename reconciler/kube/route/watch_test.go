package route_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// wakes counts the wakes of plans.
type wakes struct {
	mu sync.Mutex
	n  map[plan.Key]int
}

func (w *wakes) wake(key plan.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n == nil {
		w.n = map[plan.Key]int{}
	}
	w.n[key]++
}

func (w *wakes) of(key plan.Key) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n[key]
}

// watched is a rig whose gateway watches.
func watched(t *testing.T, extra string, change ...func(*rest.Config)) (*rig, *wakes) {
	t.Helper()
	r, w := newRig(t, extra, "edge"), &wakes{}
	r.Gateway = open(t, r.kube.Kubeconfig, w.wake, change...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Gateway.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return r, w
}

// settled waits until looks cost nothing: the watch has all that was seen.
func (r *rig) settled(audit *kubetest.Audit) {
	r.Helper()
	kubetest.WaitFor(r, "looks need no request", func() bool {
		before := len(audit.Requests(r).By("route/" + r.Name()))
		r.observe(at10)
		return len(audit.Requests(r).By("route/"+r.Name())) == before
	})
}

func TestWhatIsWatchedIsNotReadAgain(t *testing.T) {
	t.Parallel()
	r, w := watched(t, "")
	audit := r.kube.Audit(t)
	r.apply(at10)
	r.settled(audit)
	before := len(audit.Requests(t).By("route/" + t.Name()))
	woken := w.of(r.plan.Key())
	for range 50 {
		if st := r.observe(at10); !st.Serving {
			t.Fatalf("observed: %+v", st)
		}
		if st := r.observe(at25); st.Serving {
			t.Fatalf("observed: %+v", st)
		}
	}
	if n := len(audit.Requests(t).By("route/"+t.Name())) - before; n != 0 {
		t.Errorf("100 looks at what has not changed made %d requests", n)
	}
	if n := w.of(r.plan.Key()) - woken; n != 0 {
		t.Errorf("%d wakes where nothing happened", n)
	}
}

func TestWhatApplyHasSeenWakesNobody(t *testing.T) {
	t.Parallel()
	r, w := watched(t, "")
	audit := r.kube.Audit(t)
	r.apply(at10)
	r.settled(audit)
	time.Sleep(time.Second)
	before := w.of(r.plan.Key())
	for range 5 {
		r.apply(at25)
		r.apply(at10)
	}
	r.settled(audit)
	time.Sleep(time.Second)
	// Each stop makes two events, the write and the answer of the Gateway. Some
	// may come late when the test's machine is busy.
	if n := w.of(r.plan.Key()) - before; n >= 10 {
		t.Errorf("%d wakes for 10 stops that were entered here", n)
	}
}

func TestChangesByOthersWake(t *testing.T) {
	t.Parallel()
	r, w := watched(t, "")
	audit := r.kube.Audit(t)
	r.apply(at10)
	woken := func(what string, change func()) {
		t.Helper()
		r.settled(audit)
		before := w.of(r.plan.Key())
		change()
		kubetest.WaitFor(t, what+" wakes", func() bool { return w.of(r.plan.Key()) > before })
	}
	woken("a status", func() { r.says("edge", answer{accepted: "False", resolved: "True", reason: "Broken"}) })
	if st := r.observe(at10); st.Serving {
		t.Error("a status that changed was not seen")
	}
	woken("a status", func() { r.says("edge", yes) })
	woken("an annotation", func() {
		r.kube.Kubectl(t, "annotate", "httproute", "--namespace="+r.ns, "shop", "example.com/a=b")
	})
	woken("another spec", func() {
		r.kube.ApplyAs(t, "some-operator", r.ns, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {hostnames: [theirs.example.com]}}`)
	})
	if st := r.observe(at10); st.Serving {
		t.Error("a spec that changed was not seen")
	}
	woken("that the label is gone", func() {
		r.kube.Kubectl(t, "label", "httproute", "--namespace="+r.ns, "shop", "changeover.dev/managed-")
	})
	r.kube.Delete(t, httpRoute, r.ns, "shop")
	kubetest.WaitFor(t, "that it is gone is seen", func() bool { return r.observe(at10).Mark == nil })
}

func TestADeletedRouteWakes(t *testing.T) {
	t.Parallel()
	r, w := watched(t, "")
	audit := r.kube.Audit(t)
	r.apply(at10)
	r.settled(audit)
	before := w.of(r.plan.Key())
	r.kube.Delete(t, httpRoute, r.ns, "shop")
	kubetest.WaitFor(t, "it wakes", func() bool { return w.of(r.plan.Key()) > before })
	if st := r.observe(at10); st.Mark != nil || st.Serving {
		t.Errorf("observed: %+v", st)
	}
}

func TestWithoutTheRightToWatchItIsRead(t *testing.T) {
	t.Parallel()
	r, _ := watched(t, "  serviceAccountName: mover")
	r.kube.Apply(t, r.ns, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: mover}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: mover}, rules: [{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get, patch, create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: mover}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mover}, subjects: [{kind: ServiceAccount, name: mover, namespace: `+r.ns+`}]}`)
	kubetest.WaitFor(t, "it is applied", func() bool { return r.applyWithin(soon, at10) == nil })
	r.kube.Delete(t, httpRoute, r.ns, "shop")
	kubetest.WaitFor(t, "that it is gone is seen", func() bool { return r.observe(at10).Mark == nil })
}

// line is the way to the API server; it can be cut.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.cut {
		c.Close()
		return nil, errors.New("the line is cut")
	}
	l.conns = append(l.conns, c)
	return c, err
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, c := range l.conns {
		_ = c.Close() // some are closed already
	}
	l.conns = nil
}

func TestAWatchThatBreaksIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := &line{}
	r, w := watched(t, "", func(c *rest.Config) { c.Dial = l.dial })
	audit := r.kube.Audit(t)
	r.apply(at10)
	r.settled(audit)
	l.set(true)
	r.kube.Kubectl(t, "annotate", "httproute", "--namespace="+r.ns, "shop", "example.com/a=b")
	kubetest.WaitFor(t, "a look fails", func() bool {
		_, err := r.Observe(t.Context(), r.plan, at10)
		return err != nil
	})
	before := w.of(r.plan.Key())
	l.set(false)
	kubetest.WaitFor(t, "what was missed wakes", func() bool { return w.of(r.plan.Key()) > before })
	r.settled(audit)
}
