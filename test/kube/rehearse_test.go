package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/cmd/changeover/rehearsal"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// rehearse runs `changeover rehearse orders` with a kubeconfig, and wants an
// exit code and that no object of the cluster changes.
func (q *inquiry) rehearse(code int, kubeconfig string, args ...string) (stdout string) {
	q.t.Helper()
	before := q.settled()
	cmd := exec.Command(filepath.Join(bin, "changeover"), append([]string{"rehearse", "orders", "orders.yaml", "--kubeconfig", kubeconfig}, args...)...)
	cmd.Dir = q.dir
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		q.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		q.t.Fatalf("rehearse ended with %d, want %d:\n%s%s", got, code, out, complaint.String())
	}
	after := q.versions()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != before[name] {
			q.t.Errorf("%s was at version %q and is at %q", name, before[name], after[name])
		}
	}
	for name := range after {
		if before[name] == "" {
			q.t.Errorf("%s was made", name)
		}
	}
	return string(out)
}

// report is a rehearsal as data.
func (q *inquiry) report(code int, args ...string) (r rehearsal.Report) {
	q.t.Helper()
	if err := json.Unmarshal([]byte(q.rehearse(code, q.k.Kubeconfig, append(args, "-o", "json")...)), &r); err != nil {
		q.t.Fatal(err)
	}
	return r
}

// versions are those of all objects of the cluster, but for what changes by
// itself all the time.
func (q *inquiry) versions() map[string]string {
	q.t.Helper()
	cfg, err := kubetest.ReadKubeconfig(q.k.Kubeconfig)
	if err != nil {
		q.t.Fatal(err)
	}
	cfg.QPS, cfg.Burst = 200, 400
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		q.t.Fatal(err)
	}
	served, err := d.ServerPreferredResources()
	if err != nil {
		q.t.Fatal(err)
	}
	c, err := dynamic.NewForConfig(cfg)
	if err != nil {
		q.t.Fatal(err)
	}
	// Namespaces of tests before are still going.
	going := map[string]bool{}
	spaces, err := c.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List(q.t.Context(), listAll)
	if err != nil {
		q.t.Fatal(err)
	}
	for _, ns := range spaces.Items {
		going[ns.GetName()] = ns.GetDeletionTimestamp() != nil
	}
	out := map[string]string{}
	for _, list := range served {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			q.t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains([]string{"leases", "nodes", "events", "componentstatuses", "csinodes", "endpoints", "ipaddresses"}, r.Name) {
				continue
			}
			all, err := c.Resource(gv.WithResource(r.Name)).List(q.t.Context(), listAll)
			if err != nil {
				q.t.Fatalf("list %s: %v", r.Name, err)
			}
			for _, o := range all.Items {
				if going[o.GetNamespace()] || r.Name == "namespaces" && going[o.GetName()] {
					continue
				}
				out[fmt.Sprintf("%s %s/%s", r.Name, o.GetNamespace(), o.GetName())] = fmt.Sprintf("%s %s", o.GetUID(), o.GetResourceVersion())
			}
		}
	}
	if len(out) < 20 {
		q.t.Fatalf("found %d objects in the whole cluster", len(out))
	}
	return out
}

// settled waits until controllers have nothing to do.
func (q *inquiry) settled() map[string]string {
	q.t.Helper()
	last := q.versions()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		time.Sleep(time.Second)
		now := q.versions()
		if maps.Equal(now, last) {
			return now
		}
		last = now
	}
	q.t.Fatal("the cluster does not come to rest")
	return nil
}

// wantLines wants all of these lines, without regard to blanks and breaks.
func (q *inquiry) wantLines(out string, lines ...string) {
	q.t.Helper()
	plain := strings.Join(strings.Fields(out), " ")
	for _, l := range lines {
		if !strings.Contains(plain, l) {
			q.t.Errorf("it does not say %q:\n%s", l, out)
		}
	}
}

// The example has nothing in its way, and its definition's object alone cannot
// be tried.
func TestARehearsalOfAHealthyPlan(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	audit := q.k.Audit(t)
	out := q.rehearse(0, q.k.Kubeconfig)
	q.wantLines(out, "7 stops, forward and back. Nothing was changed.", "against what is live now: nothing of this plan.",
		"not tried: Ledger "+q.namespace+"/main: the definition of its kind is made at this stop",
		"dry run 6 accepted", "dry run 8 accepted, 1 not tried", "the definition of its kind is made at shadow",
		"Nothing stands in the way; 1 object could not be tried.")
	asked := audit.Requests(t).Where(func(r kubetest.Request) bool { return r.UserAgent == "changeover" })
	if changes := asked.Writes(); len(changes) > 0 {
		t.Errorf("it changed something:\n%s", changes)
	}
	tried := asked.Verb("patch", "create", "update")
	if len(tried) < 40 {
		t.Errorf("only %d objects were tried:\n%s", len(tried), tried)
	}
	for _, line := range strings.Split(out, "\n") {
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}

// What a policy denies at one stop, and what the schema does not know at
// another, is found there.
func TestARehearsalFindsWhatIsRefusedAtItsStop(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	name := q.namespace + ".half.example.com"
	q.k.Apply(t, "", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: `+name+`}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [services]}]}
  validations: [{expression: "!has(object.metadata.annotations) || !('orders.example.com/percent' in object.metadata.annotations) || object.metadata.annotations['orders.example.com/percent'] != '50'"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: `+name+`}
spec: {policyName: `+name+`, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: `+q.namespace+`}}}}
`)
	for _, kind := range []string{"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"} {
		t.Cleanup(func() { q.k.Delete(t, kind+".admissionregistration.k8s.io", "", name) })
	}
	kubetest.WaitFor(t, "the policy is in force", func() bool {
		_, err := q.k.RunKubectl("", "create", "service", "clusterip", "probe", "-n", q.namespace, "--tcp=80", "--dry-run=server")
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.k.RunKubectl(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"probe","annotations":{"orders.example.com/percent":"50"}},"spec":{"ports":[{"port":80}]}}`,
			"create", "-n", q.namespace, "-f", "-", "--dry-run=server")
		return err != nil
	})
	q.write("overlays/sunset/kustomization.yaml", "namespace: "+q.namespace+"\nresources: [../base, ../modern, extra.yaml]\n")
	q.write("overlays/sunset/extra.yaml", "{apiVersion: v1, kind: Service, metadata: {name: extra}, spec: {prots: [{port: 80}]}}\n")
	r := q.report(1)
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%v %s: %s", f.At, f.About, f.Message))
	}
	want := []string{
		"[gradual@50] Service " + q.namespace + "/modern: admission policy \"" + name + "\" denied the request",
		"[sunset] Service " + q.namespace + "/extra: the manifest does not fit its kind: .spec.prots (field not declared in schema)",
	}
	if len(got) != len(want) || !strings.HasPrefix(got[0], want[0]) || !strings.HasPrefix(got[1], want[1]) {
		t.Errorf("found %q, want %q", got, want)
	}
	for _, s := range r.Stops {
		refused := 0
		if s.Stop.String() == "gradual@50" || s.Stop.String() == "sunset" {
			refused = 1
		}
		if len(s.DryRun.Refused) != refused {
			t.Errorf("%s: refused are %v", s.Stop, s.DryRun.Refused)
		}
	}
	out := q.rehearse(1, q.k.Kubeconfig)
	q.wantLines(out, "! gradual@50: Service "+q.namespace+"/modern: admission policy", "2 findings; 1 object could not be tried.")
	// Up to the stop before, nothing is wrong.
	q.wantLines(q.rehearse(0, q.k.Kubeconfig, "--to", "gradual@25"), "4 stops", "Nothing stands in the way")
}

// What another manager owns is found, and not taken.
func TestARehearsalFindsAConflict(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	theirs := strings.Replace(files(t, "kubernetes")["overlays/base/legacy.yaml"], "image: orders-legacy", "image: platforms-own", 1)
	q.k.ApplyAs(t, "platform-team", q.namespace, theirs)
	out := q.rehearse(1, q.k.Kubeconfig)
	q.wantLines(out, "! setup, shadow, gradual@10 and 3 more: Deployment "+q.namespace+`/legacy: owned by another manager: "platform-team"`, "nothing was forced",
		"! sunset: Deployment "+q.namespace+`/legacy: owned by another manager: "platform-team" (.spec.replicas, `, "2 findings")
}

// An object in a namespace that the same stop makes is neither refused nor
// accepted, and one in a namespace that nobody makes is refused.
func TestARehearsalCannotTryWhatHangsOnTheSameStop(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	other := q.namespace + "-other"
	q.write("overlays/shadow/there.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there, namespace: "+other+"}\n")
	space := "{apiVersion: v1, kind: Namespace, metadata: {name: " + other + "}}\n"
	base := files(t, "kubernetes")["overlays/shadow/kustomization.yaml"]
	base = strings.Replace(strings.Replace(base, "namespace: migration-demo\n", "", 1), "job.yaml]", "job.yaml, there.yaml, space.yaml]", 1)
	q.write("overlays/shadow/space.yaml", space)
	q.write("overlays/shadow/kustomization.yaml", base)
	out := q.rehearse(0, q.k.Kubeconfig)
	q.wantLines(out, "not tried: ConfigMap "+other+"/there: Namespace "+other+" is made at this stop", "= Namespace "+other+" stays: may hold data",
		"Nothing stands in the way; 2 objects could not be tried.")
	q.write("overlays/shadow/kustomization.yaml", strings.Replace(base, ", space.yaml", "", 1))
	out = q.rehearse(1, q.k.Kubeconfig)
	q.wantLines(out, "! shadow: ConfigMap "+other+`/there: namespace "`+other+`" does not exist`)
}

// What a plan requires, its Gateway and rights are asked for too.
func TestARehearsalFindsWhatTheClusterLacks(t *testing.T) {
	q := newInquiry(t)
	q.edit("apps/v1/Deployment]", "ledger.example.org/v7/Ledger]")
	out := q.rehearse(1, q.k.Kubeconfig)
	q.wantLines(out, "! requires: API ledger.example.org/v7/Ledger is required", "HTTPRoute "+q.namespace+"/orders: Gateway "+q.namespace+"/edge does not exist")
	daemon := q.k.Account(t, q.namespace, "daemon")
	out = q.rehearse(1, daemon.Kubeconfig)
	q.wantLines(out, "permission is missing")
	if out := q.rehearse(3, "/dev/null"); out != "" {
		t.Errorf("without a cluster it says %q", out)
	}
}
