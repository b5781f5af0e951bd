package backup_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, cluster.Options{})) }

// intents are a kind with a status of its own.
const intents = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: networkintents.backup.example.com}
spec:
  group: backup.example.com
  scope: Namespaced
  names: {kind: NetworkIntent, plural: networkintents, singular: networkintent}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

var resource = schema.GroupVersionResource{Group: "backup.example.com", Version: "v1", Resource: "networkintents"}

// rig is a namespace with a client and a folder for backups.
type rig struct {
	testing.TB
	k     *kubetest.Kube
	ns    string
	c     *client.Client
	dir   string
	store *backup.Store
	plan  plan.Key
	now   time.Time
}

func setup(t testing.TB) *rig {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", intents)
	r := &rig{TB: t, k: k, ns: k.Namespace(t), dir: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.plan = plan.Key{Namespace: r.ns, Name: "intents"}
	r.c = r.client(nil)
	r.store = r.open("file://" + filepath.ToSlash(r.dir))
	return r
}

// client of the administrator, whose requests go through wrap.
func (r *rig) client(wrap func(http.RoundTripper) http.RoundTripper) *client.Client {
	r.Helper()
	cfg, err := client.Load(r.k.Kubeconfig, "")
	r.must(err)
	if wrap != nil {
		cfg.Wrap(wrap)
	}
	c, err := client.New(client.Options{Config: cfg, QPS: -1})
	r.must(err)
	return c
}

func (r *rig) open(url string) *backup.Store {
	r.Helper()
	s, err := backup.Open(context.Background(), url)
	r.must(err)
	r.Cleanup(func() { _ = s.Close() })
	return s
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// objects of the kind.
func (r *rig) objects() dynamic.ResourceInterface {
	return r.k.Dynamic.Resource(resource).Namespace(r.ns)
}

// fill creates objects with a status.
func (r *rig) fill(n int) {
	r.Helper()
	var g sync.WaitGroup
	errs := make(chan error, n)
	for w := range 8 {
		g.Go(func() {
			for i := w; i < n; i += 8 {
				errs <- r.one(i)
			}
		})
	}
	g.Wait()
	close(errs)
	for err := range errs {
		r.must(err)
	}
}

func (r *rig) one(i int) error {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "backup.example.com/v1", "kind": "NetworkIntent",
		"metadata": map[string]any{
			"name": fmt.Sprintf("intent-%05d", i), "labels": map[string]any{"part": strconv.Itoa(i % 3)},
			"annotations": map[string]any{"note": "<a> & \"b\" \u00e9"}, "finalizers": []any{},
		},
		"spec": map[string]any{"intent": fmt.Sprintf("scale %d", i), "big": int64(1) << 53, "ratio": 0.1 * float64(i), "list": []any{int64(i), nil, true}},
	}}
	got, err := r.objects().Create(context.Background(), o, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	got.Object["status"] = map[string]any{"phase": "Completed", "observedGeneration": int64(1), "at": "2026-03-01T00:00:00Z"}
	_, err = r.objects().UpdateStatus(context.Background(), got, metav1.UpdateOptions{})
	return err
}

// live is what of every object is its own, spec and status, by name.
func (r *rig) live() map[string]string {
	r.Helper()
	out := map[string]string{}
	o := metav1.ListOptions{Limit: 500}
	for {
		list, err := r.objects().List(context.Background(), o)
		r.must(err)
		for _, i := range list.Items {
			b, err := (&unstructured.Unstructured{Object: map[string]any{
				"spec": i.Object["spec"], "status": i.Object["status"], "kind": "X",
				"labels": i.Object["metadata"].(map[string]any)["labels"], "annotations": i.Object["metadata"].(map[string]any)["annotations"],
			}}).MarshalJSON()
			r.must(err)
			out[i.GetName()] = string(b)
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return out
		}
	}
}

// empty deletes all objects of the kind.
func (r *rig) empty() {
	r.Helper()
	// One by one: thousands in one request take the API server longer than it gives one.
	var g errgroup.Group
	g.SetLimit(16)
	for name := range r.live() {
		g.Go(func() error { return r.objects().Delete(context.Background(), name, metav1.DeleteOptions{}) })
	}
	r.must(g.Wait())
	kubetest.WaitFor(r, "all is deleted", func() bool { return len(r.live()) == 0 })
}

// of is a backup of the kind, and of more.
func (r *rig) of(more ...plan.BackupKind) plan.Backup {
	return plan.Backup{Include: append([]plan.BackupKind{{APIVersion: "backup.example.com/v1", Kind: "NetworkIntent", Namespace: r.ns}}, more...)}
}

func (r *rig) create(b plan.Backup) (backup.Manifest, error) {
	r.now = r.now.Add(time.Minute)
	now := r.now
	return backup.Create(context.Background(), backup.Creation{
		Client: r.c, Store: r.store, Plan: r.plan, Phase: "converted", Backup: b, Revision: "0123456789abcdef", Now: func() time.Time { return now },
	})
}

func (r *rig) created(b plan.Backup) backup.Manifest {
	r.Helper()
	m, err := r.create(b)
	r.must(err)
	return m
}

func (r *rig) restore(m backup.Manifest, edit ...func(*backup.Restoration)) *backup.Report {
	r.Helper()
	o := backup.Restoration{Client: r.c, Store: r.store, Manifest: m}
	for _, e := range edit {
		e(&o)
	}
	report, err := backup.Restore(context.Background(), o)
	r.must(err)
	return report
}

func (r *rig) verify(m backup.Manifest, ids ...age.Identity) *backup.Report {
	r.Helper()
	report, err := backup.Verify(context.Background(), r.store, m, ids, nil)
	r.must(err)
	return report
}

// file of a backup on disk.
func (r *rig) file(m backup.Manifest, name string) string {
	return filepath.Join(r.dir, m.Plan.Namespace, m.Plan.Name, m.Name, name)
}

// counts checks the results of a report, such as "Restored 3, Failed 1".
func (r *rig) counts(report *backup.Report, want string) {
	r.Helper()
	var got []string
	for _, res := range []backup.Result{
		backup.Intact, backup.Sealed, backup.Unchanged, backup.WouldDo, backup.Done, backup.Overtaken, backup.NotTried, backup.Missing, backup.Added, backup.Changed, backup.Damaged, backup.Failed,
	} {
		if n := report.Counts[res]; n > 0 {
			got = append(got, fmt.Sprintf("%s %d", res, n))
		}
	}
	if s := strings.Join(got, ", "); s != want {
		r.Errorf("got %s, want %s: %s", s, want, report.Summary())
	}
}

// amount is the ordinary count of a test, or the full one.
func amount(full, ordinary int) int {
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		return full
	}
	return ordinary
}

// through answers some requests in place of the server.
type through struct {
	next http.RoundTripper
	hook func(*http.Request) (*http.Response, error)
}

func (t through) RoundTrip(q *http.Request) (*http.Response, error) {
	if p, err := t.hook(q); p != nil || err != nil {
		return p, err
	}
	return t.next.RoundTrip(q)
}

func hooked(hook func(*http.Request) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return through{next, hook} }
}
