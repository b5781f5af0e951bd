package kube

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/test/kubetest"
)

// Plans that do not change cost the API server nothing: no write, and reads
// only from watches and the interval.
func TestQuietPlansWriteNothing(t *testing.T) {
	plans, quiet := 30, 20*time.Second
	if accept() {
		plans, quiet = 100, 5*time.Minute
	}
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", func(files map[string]string) {
		for i := range plans {
			name := fmt.Sprintf("p%03d", i)
			files["many/"+name+"/plan.yaml"] = manyPlan(name, files["orders.yaml"])
			files["many/"+name+"/cluster/kustomization.yaml"] = "namePrefix: " + name + "-\nresources: [objects.yaml]\n"
			files["many/"+name+"/cluster/objects.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {limit: \"10\"}\n"
		}
	}, "--interval", "15s", "--git-interval", "15s", "--drift-interval", "1m")
	r.withGateway()
	r.StartDaemon()
	count := func() int {
		list, err := k.Dynamic.Resource(migrationPlans).Namespace(r.namespace).List(t.Context(), listAll)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, o := range list.Items {
			if state, _, _ := unstructured.NestedString(o.Object, "status", "state"); state == "Steady" {
				n++
			}
		}
		return n
	}
	begun := time.Now()
	kubetest.WaitFor(t, "all plans are steady", func() bool { return count() == plans+1 })
	t.Logf("%d plans are steady %s after the daemon's start", plans+1, time.Since(begun).Round(time.Millisecond))
	time.Sleep(5 * time.Second) // what is written together is written late

	audit := k.Audit(t)
	cpu := cpuSeconds(t, r.DaemonPID())
	time.Sleep(quiet)
	requests := audit.Requests(t).By("changeover/")
	used := cpuSeconds(t, r.DaemonPID()) - cpu
	t.Logf("in %s: %.2f CPU seconds, %d kB anonymous memory, %d requests:\n%s", quiet, used, anonymous(t, r.DaemonPID()), len(requests), requests)
	if writes := requests.Writes(); len(writes) > 0 {
		t.Errorf("quiet plans wrote:\n%s", join(writes))
	}
	// Beside watches that begin anew, each plan may be read once an interval.
	reads := requests.Verb("get", "list")
	if most := (plans + 1) * 6 * (1 + int(quiet/time.Minute)); len(reads) > most {
		t.Errorf("%d reads, want at most %d", len(reads), most)
	}
}

// manyPlan is a plan with an HTTPRoute and an overlay of its own, of which
// there may be many in a namespace.
func manyPlan(name, orders string) string {
	_, rest, _ := strings.Cut(orders, "metadata: {name: orders, namespace: ")
	namespace, _, _ := strings.Cut(rest, "}")
	return fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  position: {phase: setup}
  backends:
    legacy: {service: {name: legacy, port: 80}}
    modern: {service: {name: modern, port: 80}}
  gateway:
    gatewayAPI: {parentRefs: [{name: edge}], hostnames: [%[1]s.example.com]}
  signals:
    errors: {query: "vector(0) + %[3]s"}
  phases:
    - name: setup
      cluster: {path: cluster}
      routes: [{to: legacy}]
      gates:
        rollback: [{name: many-errors, expr: signal.errors > 2000.0}]
    - name: gradual
      percents: [50, 100]
      cluster: {path: cluster}
      routes: [{to: split}]
`, name, namespace, name[1:])
}

// cpuSeconds that a process has used.
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return float64(ticks) / 100
}

// anonymous memory of a process, in kB.
func anonymous(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
