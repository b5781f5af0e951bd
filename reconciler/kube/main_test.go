package kube

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, cluster.Options{})) }

// rig is a Cluster with what a test needs to look at it: a namespace of its
// own, the requests that it makes, its log, and the plans that it wakes.
type rig struct {
	testing.TB
	c   *Cluster
	k   *kubetest.Kube
	ns  string
	key plan.Key

	config   *rest.Config
	qps      float32
	requests *requests
	log      *syncBuffer
	woken    atomic.Int64
	skew     atomic.Int64 // added to the clock
}

func setup(t testing.TB) *rig {
	t.Helper()
	k := kubetest.Shared(t)
	return setupOn(t, k, k.Kubeconfig)
}

func setupOn(t testing.TB, k *kubetest.Kube, kubeconfig string) *rig {
	t.Helper()
	cfg, err := client.Load(kubeconfig, "")
	must(t, err)
	r := &rig{TB: t, k: k, requests: &requests{}, log: &syncBuffer{}, ns: k.Namespace(t)}
	r.key = plan.Key{Namespace: r.ns, Name: "shop"}
	if _, ok := t.(*testing.B); ok {
		r.qps = -1 // the figures are those of the server
	}
	cfg.Wrap(r.requests.wrap)
	r.config = cfg
	r.renew()
	return r
}

// renew gives the rig a Cluster that knows nothing, as after a restart.
func (r *rig) renew() {
	r.Helper()
	cl, err := client.New(client.Options{Config: r.config, QPS: r.qps})
	must(r.TB, err)
	r.c, err = New(Options{
		Client: cl, Log: slog.New(slog.NewTextHandler(r.log, nil)), Wake: func(plan.Key) { r.woken.Add(1) },
		Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) },
	})
	must(r.TB, err)
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

func must(t testing.TB, err error) {
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
		must(r.TB, err)
		u := &unstructured.Unstructured{}
		must(r.TB, u.UnmarshalJSON(j))
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
	must(r.TB, r.c.Expand(r.ctx(), d))
}

// bring expands, waits for health and contracts, as a move does.
func (r *rig) bring(d reconciler.Desired) {
	r.Helper()
	r.expand(d)
	r.waitHealthy(d)
	must(r.TB, r.c.Contract(r.ctx(), d))
}

func (r *rig) waitHealthy(d reconciler.Desired) {
	r.Helper()
	var why string
	r.eventually("healthy", func() bool {
		ok, w, err := r.c.Healthy(r.ctx(), d)
		must(r.TB, err)
		why = w
		return ok
	}, func() string { return why })
}

func (r *rig) eventually(what string, ok func() bool, why ...func() string) {
	r.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
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
	must(r.TB, err)
	return st
}

// group is the API group of a kind that tests look at.
var group = map[string]string{"Deployment": ".apps", "StatefulSet": ".apps", "Job": ".batch", "Role": "." + groupRBAC, kindCRD: "." + groupCRD}

// get reads KIND/NAME in the rig's namespace with all rights; nil where it is
// not there.
func (r *rig) get(ref string) *unstructured.Unstructured {
	r.Helper()
	kind, name, _ := strings.Cut(ref, "/")
	ns := r.ns
	if kind == "Namespace" || kind == kindCRD {
		ns = ""
	}
	return r.k.Lookup(r.TB, kind+group[kind], ns, name)
}

// kubectl runs a command in the rig's namespace.
func (r *rig) kubectl(args ...string) string {
	r.Helper()
	return r.k.Kubectl(r.TB, append([]string{"--namespace=" + r.ns}, args...)...)
}

// edit changes an object by a merge patch as some manager.
func (r *rig) edit(ref, manager, patch string) {
	r.Helper()
	r.kubectl("patch", ref, "--type=merge", "--patch="+patch, "--field-manager="+manager)
}

func (r *rig) create(text string) {
	r.Helper()
	r.k.Apply(r.TB, r.ns, strings.ReplaceAll(text, "NS", r.ns))
}

func (r *rig) replicas(ref string) int64 {
	r.Helper()
	n, _, err := unstructured.NestedInt64(r.get(ref).Object, "spec", "replicas")
	must(r.TB, err)
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
func says(t testing.TB, err error, words ...string) {
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
