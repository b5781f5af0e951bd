package kube

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/cluster"
)

// shared is the cluster of all tests but those that break it.
var shared *cluster.Cluster

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	c, err := cluster.New(ctx, cluster.Options{})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = c
	code := m.Run()
	c.Stop()
	os.Exit(code)
}

// rig is a Cluster with what a test needs to look at it: a namespace of its
// own, the requests that it makes, its log, and the plans that it wakes.
type rig struct {
	*testing.T
	c     *Cluster
	ns    string
	key   plan.Key
	admin *client.Client

	config   *rest.Config
	requests *requests
	log      *syncBuffer
	woken    atomic.Int64
	skew     atomic.Int64 // added to the clock
}

var spaces atomic.Int64

func setup(t *testing.T) *rig { return setupOn(t, shared, nil) }

// setupOn makes a rig on a cluster. Wrap sees every request of the rig's
// Cluster.
func setupOn(t *testing.T, c *cluster.Cluster, wrap func(http.RoundTripper) http.RoundTripper) *rig {
	t.Helper()
	cfg, err := client.Load(c.Kubeconfig, "")
	must(t, err)
	admin, err := client.New(client.Options{Config: cfg, QPS: -1, UserAgent: "test"})
	must(t, err)
	r := &rig{T: t, admin: admin, requests: &requests{}, log: &syncBuffer{}, ns: fmt.Sprintf("so-%d", spaces.Add(1))}
	r.key = plan.Key{Namespace: r.ns, Name: "shop"}
	r.create(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", r.ns))
	r.config = rest.CopyConfig(cfg)
	r.config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		if wrap != nil {
			rt = wrap(rt)
		}
		return r.requests.wrap(rt)
	})
	r.renew()
	return r
}

// renew gives the rig a Cluster that knows nothing, as after a restart.
func (r *rig) renew() {
	r.Helper()
	cl, err := client.New(client.Options{Config: r.config})
	must(r.T, err)
	r.c, err = New(Options{
		Client: cl, Log: slog.New(slog.NewTextHandler(r.log, nil)), Wake: func(plan.Key) { r.woken.Add(1) },
		Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) },
	})
	must(r.T, err)
}

// watch runs the watches until the test ends.
func (r *rig) watch() {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.c.Run(ctx) }()
	r.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			r.Error("Run does not end")
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// objects reads manifests. NS stands for the rig's namespace.
func (r *rig) objects(text string) []render.Object {
	r.Helper()
	var out []render.Object
	for doc := range strings.SplitSeq(strings.ReplaceAll(text, "NS", r.ns), "\n---\n") {
		j, err := yaml.YAMLToJSON([]byte(doc))
		must(r.T, err)
		u := &unstructured.Unstructured{}
		must(r.T, u.UnmarshalJSON(j))
		out = append(out, render.Object(u.Object))
	}
	return out
}

// want is what manifests desire.
func (r *rig) want(text string) reconciler.Desired {
	r.Helper()
	return reconciler.Desired{
		Mark:    reconciler.Mark{Key: r.key, Stop: plan.Position{Phase: "gradual", Percent: 10}, Revision: "0123456789abcdef0123456789abcdef01234567"},
		Objects: r.objects(text), Prune: true, MaxPrune: 20,
	}
}

func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	r.Cleanup(cancel)
	return ctx
}

func (r *rig) expand(d reconciler.Desired) {
	r.Helper()
	must(r.T, r.c.Expand(r.ctx(), d))
}

// bring expands, waits for health and contracts, as a move does.
func (r *rig) bring(d reconciler.Desired) {
	r.Helper()
	r.expand(d)
	r.waitHealthy(d)
	must(r.T, r.c.Contract(r.ctx(), d))
}

func (r *rig) waitHealthy(d reconciler.Desired) {
	r.Helper()
	var why string
	r.eventually("healthy", func() bool {
		ok, w, err := r.c.Healthy(r.ctx(), d)
		must(r.T, err)
		why = w
		return ok
	}, func() string { return why })
}

func (r *rig) eventually(what string, ok func() bool, why ...func() string) {
	r.Helper()
	for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			for _, w := range why {
				what += ": " + w()
			}
			r.Fatalf("not in time: %s", what)
		}
	}
}

func (r *rig) observe(d reconciler.Desired) reconciler.ClusterState {
	r.Helper()
	st, err := r.c.Observe(r.ctx(), d)
	must(r.T, err)
	return st
}

// create makes an object with all rights.
func (r *rig) create(text string) {
	r.Helper()
	for _, o := range r.objects(text) {
		u := &unstructured.Unstructured{Object: o}
		m, err := r.admin.Mapping(u.GroupVersionKind())
		must(r.T, err)
		_, err = r.admin.Resource(m, r.space(u.GetNamespace())).Create(r.Context(), u, metav1.CreateOptions{FieldManager: "test"})
		must(r.T, err)
	}
}

func (r *rig) space(ns string) string {
	if ns == "" {
		return r.ns
	}
	return ns
}

var kinds = map[string]schema.GroupVersionKind{
	"Deployment": {Group: "apps", Version: "v1", Kind: "Deployment"}, "StatefulSet": {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	"Job":   {Group: "batch", Version: "v1", Kind: "Job"},
	"Role":  {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	kindCRD: {Group: groupCRD, Version: "v1", Kind: kindCRD},
}

// get reads KIND/NAME or KIND/NAMESPACE/NAME with all rights; nil where it is
// not there.
func (r *rig) get(ref string) *unstructured.Unstructured {
	r.Helper()
	res, name := r.at(ref)
	o, err := res.Get(r.Context(), name, metav1.GetOptions{})
	if err != nil && strings.Contains(err.Error(), "not found") {
		return nil
	}
	must(r.T, err)
	return o
}

func (r *rig) at(ref string) (res resource, name string) {
	r.Helper()
	parts := strings.Split(ref, "/")
	gvk, ok := kinds[parts[0]]
	if !ok {
		gvk = schema.GroupVersionKind{Version: "v1", Kind: parts[0]}
	}
	ns := r.ns
	if len(parts) == 3 {
		ns = parts[1]
	}
	m, err := r.admin.Mapping(gvk)
	must(r.T, err)
	return r.admin.Resource(m, ns), parts[len(parts)-1]
}

// resource is what tests use of a dynamic.ResourceInterface.
type resource interface {
	Get(ctx context.Context, name string, o metav1.GetOptions, sub ...string) (*unstructured.Unstructured, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*unstructured.Unstructured, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions, sub ...string) error
}

// edit changes an object by a merge patch as some manager.
func (r *rig) edit(ref, manager, patch string) {
	r.Helper()
	res, name := r.at(ref)
	j, err := yaml.YAMLToJSON([]byte(patch))
	must(r.T, err)
	_, err = res.Patch(r.Context(), name, types.MergePatchType, j, metav1.PatchOptions{FieldManager: manager})
	must(r.T, err)
}

func (r *rig) remove(ref string) {
	r.Helper()
	res, name := r.at(ref)
	must(r.T, res.Delete(r.Context(), name, metav1.DeleteOptions{}))
}

func (r *rig) replicas(ref string) int64 {
	r.Helper()
	n, _, err := unstructured.NestedInt64(r.get(ref).Object, "spec", "replicas")
	must(r.T, err)
	return n
}

// requests counts what is asked of the API server.
type requests struct {
	mu  sync.Mutex
	all []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (q *requests) wrap(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		q.mu.Lock()
		q.all = append(q.all, r.Method+" "+r.URL.RequestURI())
		q.mu.Unlock()
		return rt.RoundTrip(r)
	})
}

// take returns the requests since it was last called.
func (q *requests) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// with are the requests of a list that begin so.
func with(list []string, prefix string) (out []string) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}

// syncBuffer is a log of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// says fails where an error does not hold all of these words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q\nhas no %q", err, w)
		}
	}
}

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1", resources: {requests: {cpu: 1000m, memory: 1024Mi}}}]
`

const settings = `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {mode: a}}`
