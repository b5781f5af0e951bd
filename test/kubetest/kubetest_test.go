package kubetest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/cluster"
)

func TestMain(m *testing.M) {
	os.Exit(Main(m, cluster.Options{GatewayAPI: cluster.Standard, Audit: true}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// user is a client that names itself.
func user(t *testing.T, kubeconfig, agent string) dynamic.Interface {
	t.Helper()
	config, err := ReadKubeconfig(kubeconfig)
	must(t, err)
	config.UserAgent, config.Timeout = agent, 20*time.Second
	client, err := dynamic.NewForConfig(config)
	must(t, err)
	return client
}

func configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]any{"a": value},
	}}
}

func create(t *testing.T, c dynamic.Interface, ns, name string) error {
	t.Helper()
	_, err := c.Resource(configMaps).Namespace(ns).Create(t.Context(), configMap(name, "1"), metav1.CreateOptions{})
	return err
}

const deployment = `
# one that runs
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: it, image: any}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
`

func TestEveryTestHasItsNamespaceAndItGoesAway(t *testing.T) {
	k := Shared(t)
	var first, second string
	t.Run("in: a namespace / with odd signs", func(t *testing.T) {
		first, second = k.Namespace(t), k.Namespace(t)
		k.Apply(t, first, deployment)
		if k.Lookup(t, "ConfigMap", second, "settings") != nil {
			t.Error("the other namespace has it too")
		}
		if got := k.Get(t, "ConfigMap", first, "settings").GetName(); got != "settings" {
			t.Errorf("got %q", got)
		}
	})
	if first == second || !strings.HasPrefix(first, "testeverytest") {
		t.Errorf("got namespaces %q and %q", first, second)
	}
	for _, ns := range []string{first, second} {
		o := k.Lookup(t, "Namespace", "", ns)
		if o != nil && o.GetDeletionTimestamp() == nil {
			t.Errorf("namespace %s stays", ns)
		}
	}
}

func TestApplyGivesADeploymentThatBecomesAvailable(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	objects := k.Apply(t, ns, deployment)
	if len(objects) != 2 || objects[0].GetUID() == "" || objects[1].GetNamespace() != ns {
		t.Fatalf("got %v", objects)
	}
	WaitFor(t, "it is available", func() bool { return Condition(k.Get(t, "Deployment.apps", ns, "web"), "Available") == "True" })
	out := k.Kubectl(t, "get", "deployment/web", "--namespace", ns, "--output=jsonpath={.status.availableReplicas}")
	if out != "2" {
		t.Errorf("kubectl says %q", out)
	}
	k.Delete(t, "Deployment.apps", ns, "web")
	k.Delete(t, "Deployment.apps", ns, "web")
	WaitFor(t, "its pods are gone", func() bool {
		return k.Kubectl(t, "get", "pods", "--namespace", ns, "--output=name") == ""
	})
}

func TestADefinitionAndItsObjectAreAppliedInOneGo(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	k.Apply(t, ns, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.kubetest.changeover.dev}
spec:
  group: kubetest.changeover.dev
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: kubetest.changeover.dev/v1
kind: Widget
metadata: {name: one}
`)
	k.Get(t, "Widget.kubetest.changeover.dev", ns, "one")
	k.Delete(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "widgets.kubetest.changeover.dev")
	WaitFor(t, "it is gone with its kind", func() bool { return k.Lookup(t, "Widget.kubetest.changeover.dev", ns, "one") == nil })
	k.Delete(t, "Widget.kubetest.changeover.dev", ns, "one")
}

func TestManifestsThatAreWrongAreRefused(t *testing.T) {
	k := Shared(t)
	for text, want := range map[string]string{
		"{a: b":                             "read a manifest",
		"{apiVersion: v1, kind: ConfigMap}": "want kind and name",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	objects, err := parse("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, nonsense: {}}")
	must(t, err)
	if _, err := k.apply(objects[0], "default", metav1.PatchOptions{FieldManager: Manager, Force: new(true)}); err == nil || !strings.Contains(err.Error(), `apply ConfigMap "a"`) {
		t.Errorf("a field that does not exist: got %v", err)
	}
}

func TestKubectlThatFailsTellsWhy(t *testing.T) {
	k := Shared(t)
	if _, err := k.RunKubectl("", "get", "nonsense"); err == nil || !strings.Contains(err.Error(), `the server doesn't have a resource type "nonsense"`) {
		t.Errorf("got %v", err)
	}
	ns := k.Namespace(t)
	if out, err := k.RunKubectl(deployment, "apply", "--namespace", ns, "-f", "-"); err != nil || !strings.Contains(out, "deployment.apps/web created") {
		t.Errorf("got %q, %v", out, err)
	}
	path, err := k.UserKubeconfig("nobody")
	must(t, err)
	if _, err := k.RunKubectl("", "--kubeconfig="+path, "get", "pods"); err == nil || !strings.Contains(err.Error(), `User "nobody" cannot list resource "pods"`) {
		t.Errorf("got %v", err)
	}
}

func TestWaitingEnds(t *testing.T) {
	asked := 0
	if err := wait(time.Minute, func() bool { asked++; return asked == 3 }); err != nil || asked != 3 {
		t.Errorf("got %v after %d", err, asked)
	}
	if err := wait(100*time.Millisecond, func() bool { return false }); !errors.Is(err, errNotSeen) {
		t.Errorf("got %v", err)
	}
}

func TestADryRunTellsEveryDifference(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	object := func(kind, name string, more map[string]any) render.Object {
		o := render.Object{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": ns}}
		for key, v := range more {
			o[key] = v
		}
		return o
	}
	settings := func(value string) render.Object {
		return object("ConfigMap", "settings", map[string]any{"data": map[string]any{"a": value}})
	}
	secret := func(value string) render.Object {
		return object("Secret", "key", map[string]any{"data": map[string]any{"password": value}})
	}
	// As Changeover applies: with its marks.
	k.ApplyAs(t, render.FieldManager, ns, `
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, labels: {changeover.dev/managed: "true"}, annotations: {changeover.dev/plan: default/orders}}, data: {a: "1"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: key}, data: {password: b3Blbi1zZXNhbWU=}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {a: "1", b: "2"}}
`)
	if diff := k.DryRunDiff(t, []render.Object{settings("1"), secret("b3Blbi1zZXNhbWU=")}); diff != "" {
		t.Errorf("nothing changed, and yet:\n%s", diff)
	}
	diff := k.DryRunDiff(t, []render.Object{
		settings("2"), secret("c2hvdXQ="), object("ConfigMap", "none", nil), object("Nonsense", "it", nil),
		object("ConfigMap", "more", map[string]any{"data": map[string]any{"a": "1"}}),
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns, "namespace": ns}},
	})
	for _, want := range []string{
		"ConfigMap " + ns + "/settings: ", `string("1")`, `string("2")`, "Secret " + ns + "/key: ", "ConfigMap " + ns + "/none: it is not there",
		`no matches for kind "Nonsense"`, "ConfigMap " + ns + "/more: ", `"b":`, "does not fit its kind",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("it does not tell of %s", want)
		}
	}
	if strings.Contains(diff, "b3Blbi") || strings.Contains(diff, "c2hvdXQ") {
		t.Error("it has what is in a Secret")
	}
	if t.Failed() {
		t.Log(diff)
	}
	if got := k.Get(t, "ConfigMap", ns, "settings").Object["data"].(map[string]any)["a"]; got != "1" {
		t.Errorf("the comparison wrote %v", got)
	}

	// Who else owns the field is told, and nothing is taken from them.
	k.ApplyAs(t, "someone-else", ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: "3"}}`)
	if diff := k.DryRunDiff(t, []render.Object{settings("1")}); !strings.Contains(diff, `conflict with "someone-else"`) {
		t.Errorf("got %q", diff)
	}
}

func TestRequestsAreCountedByProgramAndVerb(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	before := user(t, k.Kubeconfig, "early")
	must(t, create(t, before, ns, "early"))
	audit := k.Audit(t)
	if got := audit.Requests(t).By("early"); len(got) != 0 {
		t.Errorf("it has what was before it: %v", got)
	}

	client := user(t, k.Kubeconfig, "worker/1.0")
	resource := client.Resource(configMaps).Namespace(ns)
	for range 7 {
		_, err := resource.Get(t.Context(), "early", metav1.GetOptions{})
		must(t, err)
	}
	must(t, create(t, client, ns, "late"))
	_, err := resource.Create(t.Context(), configMap("dry", "1"), metav1.CreateOptions{DryRun: []string{"All"}})
	must(t, err)
	if err := create(t, client, ns, "late"); !apierrors.IsAlreadyExists(err) {
		t.Errorf("got %v", err)
	}
	watching, stop := context.WithCancel(t.Context())
	w, err := resource.Watch(watching, metav1.ListOptions{})
	must(t, err)
	<-w.ResultChan()

	worker := audit.Requests(t).By("worker/")
	if got := worker.String(); got != "     3 create configmaps\n     7 get configmaps\n     1 watch configmaps\n" {
		t.Errorf("got\n%s", got)
	}
	if got := worker.Writes(); len(got) != 2 || got[0].Code != 201 || got[1].Code != 409 || got[0].Name != "late" || got[0].Namespace != ns || got[0].User != "admin" {
		t.Errorf("got writes %v", got)
	}
	between := k.Audit(t)
	stop()
	for range w.ResultChan() { // until it has ended
	}
	time.Sleep(200 * time.Millisecond)
	if got := between.Requests(t).By("worker/"); len(got) != 0 {
		t.Errorf("the end of a watch counts: %v", got)
	}
}
