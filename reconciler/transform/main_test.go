package transform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	check "github.com/changeover-dev/changeover/render/transform"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// childEnv makes the test binary a daemon that transforms until it is done; its
// value is the namespace of the sources.
const childEnv = "CHANGEOVER_TRANSFORM_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(kubetest.Main(m, cluster.Options{}))
}

var installed sync.Once

// install starts the cluster with the kinds of the example.
func install(t testing.TB) *kubetest.Kube {
	t.Helper()
	k := kubetest.Shared(t)
	installed.Do(func() {
		b, err := os.ReadFile("../../examples/nephoran/overlays/definitions/definitions.yaml")
		must(t, err)
		k.Apply(t, "", string(b))
	})
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// example is the plan of the example, limited to a namespace.
func example(namespace string) (*plan.Plan, error) {
	b, err := os.ReadFile("../../examples/nephoran/intents.yaml")
	if err != nil {
		return nil, err
	}
	doc, problems := plan.Decode("intents.yaml", b)
	if problems = append(problems, check.Check(doc)...); len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems)
	}
	doc.Plan.Spec.Phases[1].Transforms[0].From.Namespace = namespace
	return doc.Plan, nil
}

// task of a move into the second phase.
func task(p *plan.Plan) reconciler.Task {
	return reconciler.Task{Version: plan.Version{Plan: p, Revision: "1234567890ab"}, From: plan.Position{Phase: "monolith"}, Stop: plan.Position{Phase: "microservices"},
		Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func runner(kubeconfig, dir string) (*Runner, error) {
	cfg, err := client.Load(kubeconfig, "")
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: -1})
	if err != nil {
		return nil, err
	}
	return New(Options{Client: c, Dir: dir})
}

// begun is a runner that ends with the test.
func begun(t *testing.T, k *kubetest.Kube, dir string) *Runner {
	t.Helper()
	r, err := runner(k.Kubeconfig, dir)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

// child transforms, and says how far it is, and at the end its report.
func child() {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	r, err := runner(os.Getenv("KUBECONFIG"), os.Getenv("CHANGEOVER_TRANSFORM_DIR"))
	die(err)
	p, err := example(os.Getenv(childEnv))
	die(err)
	for {
		progress, err := r.Ensure(context.Background(), task(p))
		die(err)
		if progress.Done {
			b, err := json.Marshal(r.Reports(p.Key()))
			die(err)
			fmt.Println("report", string(b))
			return
		}
		fmt.Println(progress.Finished, progress.Total, progress.Message)
		time.Sleep(20 * time.Millisecond)
	}
}

// until asks again and again, as the loop does.
func until(t *testing.T, what string, ask func() (reconciler.Progress, error), done func(reconciler.Progress) bool) (last reconciler.Progress) {
	t.Helper()
	kubetest.WaitFor(t, what, func() bool {
		var err error
		if last, err = ask(); err != nil {
			t.Fatal(err)
		}
		return done(last)
	})
	return last
}

func ensured(t *testing.T, r *Runner, task reconciler.Task) reconciler.Progress {
	t.Helper()
	return until(t, "the transforms are done", func() (reconciler.Progress, error) { return r.Ensure(t.Context(), task) },
		func(p reconciler.Progress) bool { return p.Done })
}

func undone(t *testing.T, r *Runner, task reconciler.Task) reconciler.Progress {
	t.Helper()
	return until(t, "the transforms are taken back", func() (reconciler.Progress, error) { return r.Undo(t.Context(), task) },
		func(p reconciler.Progress) bool { return p.Done })
}

func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "nephoran.com", Version: "v1", Resource: plural}
}

// targetKinds are the resources that an intent becomes.
var targetKinds = []string{"intentprocessings", "resourceplans", "manifestgenerations", "gitopsdeployments", "deploymentverifications"}

// list reads all objects of a resource in a namespace.
func list(t testing.TB, k *kubetest.Kube, plural, namespace string) (all []unstructured.Unstructured) {
	t.Helper()
	for next := ""; ; {
		l, err := k.Dynamic.Resource(resource(plural)).Namespace(namespace).List(context.Background(), metav1.ListOptions{Limit: 500, Continue: next})
		must(t, err)
		all = append(all, l.Items...)
		if next = l.GetContinue(); next == "" {
			return all
		}
	}
}

// specs is a hash over the names and specs of all targets in a namespace, and how
// many of each kind there are.
func specs(t testing.TB, k *kubetest.Kube, namespace string) (sum string, counts map[string]int) {
	t.Helper()
	h, counts := sha256.New(), map[string]int{}
	// What a deleted source left depends on when it was deleted.
	lives := map[string]bool{}
	for _, o := range list(t, k, "networkintents", namespace) {
		lives[o.GetName()] = true
	}
	for _, plural := range targetKinds {
		for _, o := range list(t, k, plural, namespace) { // in the order of their names
			from, _, _ := strings.Cut(o.GetAnnotations()["changeover.dev/transformed-from"], "@")
			if !lives[from[strings.LastIndex(from, "/")+1:]] {
				continue
			}
			counts[plural]++
			fmt.Fprintf(h, "%s/%s %s\n", plural, o.GetName(), hash(o.Object["spec"]))
		}
	}
	return hex.EncodeToString(h.Sum(nil)), counts
}

// intentOf is one of many: of ten, seven have resources, five manifests, four a
// deployment, three are completed.
func intentOf(i int) (spec, status map[string]any) {
	status = map[string]any{"phase": "Processing", "extractedParameters": map[string]any{"replicas": int64(i % 7)}}
	if i%10 < 7 {
		status["resources"] = map[string]any{"cpu": int64(i % 16), "memory": fmt.Sprintf("%dGi", i%32), "storage": "10Gi"}
	}
	if i%10 >= 5 {
		status["manifests"] = []any{"kind: Deployment", fmt.Sprintf("replicas: %d", i%7)}
	}
	if i%10 < 4 {
		status["deployment"] = map[string]any{"repository": fmt.Sprintf("https://git.example.com/%d.git", i%5)}
	}
	if i%10 >= 7 {
		status["phase"] = "Completed"
	}
	return map[string]any{"intent": fmt.Sprintf("Deploy network function %d", i), "priority": []any{"low", "medium", "high"}[i%3]}, status
}

// plant creates n intents in a namespace.
func plant(t testing.TB, k *kubetest.Kube, namespace string, from, to int) {
	t.Helper()
	work, errs := make(chan int), make(chan error, 16)
	for range 16 {
		go func() {
			var failed error
			for i := range work {
				if failed == nil {
					failed = plantOne(k, namespace, i)
				}
			}
			errs <- failed
		}()
	}
	for i := from; i < to; i++ {
		work <- i
	}
	close(work)
	for range 16 {
		must(t, <-errs)
	}
}

func plantOne(k *kubetest.Kube, namespace string, i int) error {
	spec, status := intentOf(i)
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "nephoran.com/v1", "kind": "NetworkIntent",
		"metadata": map[string]any{"name": fmt.Sprintf("intent-%05d", i), "namespace": namespace}, "spec": spec}}
	r := k.Dynamic.Resource(resource("networkintents")).Namespace(namespace)
	made, err := r.Create(context.Background(), o, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Object["status"] = status
	_, err = r.UpdateStatus(context.Background(), made, metav1.UpdateOptions{})
	return err
}

// change merges a patch into an object of the cluster, as kubectl edit does.
func change(t testing.TB, k *kubetest.Kube, plural, namespace, name, patch string) {
	t.Helper()
	_, err := k.Dynamic.Resource(resource(plural)).Namespace(namespace).Patch(context.Background(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	must(t, err)
}

func contains(t *testing.T, s string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(s, w) {
			t.Errorf("%q does not say %q", s, w)
		}
	}
}

// dryRunner is a runner that can write nothing.
func dryRunner(t *testing.T, k *kubetest.Kube) *Runner {
	t.Helper()
	c, err := client.New(client.Options{Config: k.Config, QPS: -1, DryRun: true})
	must(t, err)
	r, err := New(Options{Client: c, Dir: t.TempDir()})
	must(t, err)
	return r
}
