package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, cluster.Options{})) }

// canary stands for what must never be repeated.
const canary = "c4n4ry"

var encodedCanary = base64.StdEncoding.EncodeToString([]byte(canary))

func connect(t *testing.T, kubeconfig string) *client.Client {
	t.Helper()
	cfg, err := client.Load(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// apply applies a manifest as a manager, in which CANARY and BASE64 stand for
// the canary.
func apply(t *testing.T, c *client.Client, ns, manager, text string) error {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(strings.NewReplacer("CANARY", canary, "BASE64", encodedCanary, "NS", ns).Replace(text)))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	m, err := c.Mapping(u.GroupVersionKind())
	if err != nil {
		return err
	}
	if u.GetNamespace() != "" {
		ns = u.GetNamespace()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = c.Resource(m, ns).Patch(ctx, u.GetName(), types.ApplyPatchType, j,
		metav1.PatchOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict})
	return client.Explain(err)
}

// says fails where an error does not hold the words, or holds the canary.
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
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has several lines", err)
	}
	for _, secret := range []string{canary, encodedCanary, encodedCanary[:6]} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q holds %q", err, secret)
		}
	}
}

const things = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.explain.example.com}
spec:
  group: explain.example.com
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {size: {type: integer}, color: {type: string, enum: [red]}}
              x-kubernetes-validations: [{rule: "!has(self.size) || self.size < 10", message: must be small}]
`

func TestRefusalsInWordsWithoutValues(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	c := connect(t, k.Kubeconfig)
	k.Apply(t, "", things)
	workload := func(kind, spec string) string {
		return `{apiVersion: apps/v1, kind: ` + kind + `, metadata: {name: web}, spec: {` + spec + `selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "web:1"}]}}}}`
	}
	thing := func(spec string) string {
		return `{apiVersion: explain.example.com/v1, kind: Thing, metadata: {name: one}, spec: {` + spec + `}}`
	}
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: i, env: [{name: A, value: "VALUE"}]}]}}`
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: i, env: [{name: A, value: "VALUE"}]}]}}}}`
	const volume = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: v}, spec: {accessModes: [VALUE], resources: {requests: {storage: 1Gi}}}}`
	const binding = `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b}, roleRef: {kind: Role, name: VALUE, apiGroup: rbac.authorization.k8s.io}}`
	secret := func(rest string) string {
		return `{apiVersion: v1, kind: Secret, metadata: {name: s}, ` + rest + `}`
	}
	as := func(text, value string) string { return strings.Replace(text, "VALUE", value, 1) }
	const fixed = "cannot be changed once the object exists"
	for name, s := range map[string]struct {
		first, text string // first is applied before, by the same manager
		want        []string
	}{
		"a selector":                {workload("Deployment", ""), strings.ReplaceAll(workload("Deployment", ""), "app: web", "app: CANARY"), []string{fixed, "spec.selector"}},
		"fields of a StatefulSet":   {workload("StatefulSet", "serviceName: a, "), workload("StatefulSet", "serviceName: CANARY, "), []string{fixed, "statefulset spec"}},
		"a Job's template":          {as(job, "1"), as(job, "CANARY"), []string{fixed, "spec.template"}},
		"a Pod":                     {as(pod, "1"), as(pod, "CANARY"), []string{fixed, "pod updates may not change"}},
		"a claim":                   {as(volume, "ReadWriteOnce"), as(volume, "ReadWriteMany"), []string{fixed, "spec is immutable"}},
		"what a binding binds":      {as(binding, "one"), as(binding, "CANARY"), []string{fixed, "roleRef"}},
		"an immutable Secret":       {secret(`immutable: true, data: {password: Zm9ybWVy}`), secret(`immutable: true, data: {password: BASE64}`), []string{fixed, "data"}},
		"a Secret's type":           {secret(`type: one, data: {password: BASE64}`), secret(`type: two, data: {password: BASE64}`), []string{fixed, "type"}},
		"a field that is none":      {"", workload("Deployment", "replcas: CANARY, "), []string{"does not fit its kind", ".spec.replcas (field not declared in schema)"}},
		"a field of a wrong type":   {"", workload("Deployment", "paused: CANARY, "), []string{".spec.paused (expected boolean)"}},
		"two of them":               {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: {b: CANARY}, c: 4711}}`, []string{".data.a (expected string), .data.c (expected string)"}},
		"a port twice":              {"", `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80, name: CANARY}, {port: 80, name: b}]}}`, []string{".spec.ports (duplicate entries)"}},
		"a Secret that is no text":  {"", secret(`data: {password: {a: CANARY}}`), []string{".data.password (expected string)"}},
		"a Secret that is no map":   {"", secret(`data: CANARY`), []string{".data (expected map)"}},
		"a Secret not in base64":    {"", secret(`data: {password: "CANARY!"}`), []string{"is not base64"}},
		"a misspelt Secret":         {"", secret(`dta: {password: CANARY}`), []string{".dta (field not declared in schema)"}},
		"a Secret without its keys": {"", secret(`type: kubernetes.io/tls, data: {password: BASE64}`), []string{"data[tls.crt] (Required value)"}},
		"a registry's Secret":       {"", secret(`type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: BASE64}`), []string{"data[.dockerconfigjson] (Invalid value"}},
		"a bad name":                {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: Bad_Name}}`, []string{"metadata.name", "lowercase RFC 1123"}},
		"a bad label":               {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {a: "CANARY !"}}}`, []string{"metadata.labels", "valid label"}},
		"a port out of range":       {"", `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: CANARY, ports: [{port: 99999}]}}`, []string{"spec.ports[0].port (Invalid value: must be between 1 and 65535", "spec.type (Unsupported value)"}},
		"too much":                  {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "` + strings.Repeat(canary, 300_000) + `"}}`, []string{"Too long"}},
		"far too much":              {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "` + strings.Repeat(canary, 600_000) + `"}}`, []string{"larger than the API server takes"}},
		"a custom field":            {"", thing("sice: CANARY"), []string{"spec.sice (field not declared in schema)"}},
		"a custom type":             {"", thing("size: CANARY"), []string{"spec.size (expected numeric"}},
		"a custom value":            {"", thing("color: CANARY"), []string{"spec.color (Unsupported value"}},
		"a custom rule":             {"", thing("size: 4711"), []string{"spec (Invalid value: must be small)"}},
		"no namespace":              {"", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: nowhere}}`, []string{`namespace "nowhere" does not exist`, "add it to the kustomization"}},
		"no kind":                   {"", `{apiVersion: nowhere.example.com/v1, kind: Nothing, metadata: {name: c}}`, []string{"find kind Nothing of nowhere.example.com/v1", "CustomResourceDefinition"}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := k.Namespace(t)
			if s.first != "" {
				if err := apply(t, c, ns, "changeover", s.first); err != nil {
					t.Fatal(err)
				}
			}
			says(t, apply(t, c, ns, "changeover", s.text), s.want...)
		})
	}
	if err := apply(t, c, ns, "changeover", thing("size: 1")); err != nil {
		t.Errorf("what is in order is refused: %v", err)
	}
}

func TestAConflictNamesManagersAndFields(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	c := connect(t, k.Kubeconfig)
	const text = `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {b: ZmZm, a: VALUE}}`
	for _, manager := range []string{"one", "two"} {
		if err := apply(t, c, ns, manager, strings.Replace(text, "VALUE", "Zm9ybWVy", 1)); err != nil {
			t.Fatal(err)
		}
	}
	err := apply(t, c, ns, "changeover", strings.Replace(text, "VALUE", "BASE64", 1))
	says(t, err, `owned by another manager: "one", "two" (.data.a)`, "nothing was forced", `force-conflicts: "true"`)
	var f *client.Failure
	if !errors.As(err, &f) || strings.Join(f.Managers, " ") != "one two" {
		t.Errorf("%#v", err)
	}
}

func TestAdmissionIsNamedAndNotRepeated(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	c := connect(t, k.Kubeconfig)
	const text = `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: BASE64}}`
	hook := k.Webhook(t, kubetest.WebhookOptions{Namespace: ns, Resources: []string{"secrets"}})
	hook.Deny("I do not like " + encodedCanary)
	says(t, apply(t, c, ns, "changeover", text), `admission webhook "fault.kubetest.changeover.dev" denied the request`)
	hook.Hang()
	says(t, apply(t, c, ns, "changeover", text), `admission webhook "fault.kubetest.changeover.dev" did not answer in time; it is tried again`)
	hook.Allow()
	if err := apply(t, c, ns, "changeover", text); err != nil {
		t.Error(err)
	}

	k.Apply(t, "", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: explain.example.com}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]}
  validations: [{expression: "object.metadata.name != 'denied'", messageExpression: "'denied: ' + string(object.data.a)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: explain.example.com}
spec: {policyName: explain.example.com, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: `+ns+`}}}}
`)
	var err error
	kubetest.WaitFor(t, "the policy is in force", func() bool {
		err = apply(t, c, ns, "changeover", strings.Replace(text, "name: s", "name: denied", 1))
		if err == nil {
			k.Delete(t, "Secret", ns, "denied")
		}
		return err != nil
	})
	says(t, err, `admission policy "explain.example.com" denied the request`)
}

func TestWhatIsForbiddenIsNamed(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	c := connect(t, k.Kubeconfig)
	plain, err := c.As(ns, "plain")
	if err != nil {
		t.Fatal(err)
	}
	says(t, apply(t, plain, ns, "changeover", `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: BASE64}}`),
		"permission is missing", `User "system:serviceaccount:`+ns+`:plain" cannot patch resource "secrets"`, `in the namespace "`+ns+`"`)
	k.Apply(t, ns, `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: roles}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get, create, patch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: roles}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: roles}, subjects: [{kind: ServiceAccount, name: plain, namespace: `+ns+`}]}
---
{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {"count/secrets": "0"}}}
`)
	says(t, apply(t, plain, ns, "changeover", `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: more}, rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]}`),
		"permission is missing", "may not grant rights that it does not have itself", `Resources:["secrets"]`, `Verbs:["get"]`)
	kubetest.WaitFor(t, "the quota is known", func() bool {
		err = apply(t, c, ns, "changeover", `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: BASE64}}`)
		return err != nil
	})
	says(t, err, "exceeded quota: few")
}

func TestANamespaceThatGoesIsNamed(t *testing.T) {
	k := kubetest.Shared(t)
	c := connect(t, k.Kubeconfig)
	ns := k.Namespace(t)
	k.Apply(t, ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, finalizers: [example.com/stays]}}`)
	k.Kubectl(t, "delete", "namespace", ns, "--wait=false")
	t.Cleanup(func() {
		k.Kubectl(t, "patch", "configmap", "stays", "--namespace="+ns, "--type=merge", "--patch={\"metadata\":{\"finalizers\":null}}")
	})
	var err error
	kubetest.WaitFor(t, "nothing can be created", func() bool {
		err = apply(t, c, ns, "changeover", `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: BASE64}}`)
		return err != nil
	})
	says(t, err, "the namespace is being deleted")
}

func TestFaultsBetweenInWords(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	p := k.Proxy(t, "")
	c := connect(t, p.Kubeconfig)
	const text = `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: BASE64}}`
	if err := apply(t, c, ns, "changeover", text); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]kubetest.Fault{
		"too much to do (429)":           {Code: http.StatusTooManyRequests},
		"failed (500 InternalError)":     {Code: http.StatusInternalServerError},
		"failed (503 ServiceUnavailable": {Code: http.StatusServiceUnavailable},
		"did not answer in time":         {Code: http.StatusGatewayTimeout},
		"does not accept the credential": {Code: http.StatusUnauthorized},
		"changed by someone else":        {Code: http.StatusConflict},
		"cannot be reached":              {},
	} {
		i := p.Inject(kubetest.Fault{Method: "PATCH", Code: f.Code})
		err := apply(t, c, ns, "changeover", text)
		says(t, err, want)
		if unreachable := want == "cannot be reached"; client.Unreachable(err) != unreachable {
			t.Errorf("%q: unreachable %v", err, !unreachable)
		}
		i.Lift()
	}
	i := p.Inject(kubetest.Fault{Method: "PATCH", Delay: 2 * time.Second, Code: http.StatusOK})
	defer i.Lift()
	m, err := c.Mapping(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = c.Resource(m, ns).Patch(ctx, "s", types.ApplyPatchType, []byte(`{}`), metav1.PatchOptions{FieldManager: "changeover"})
	says(t, client.Explain(err), "did not answer in time")
	if !client.Unreachable(client.Explain(err)) {
		t.Error("no answer is not unreachable")
	}
}

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	if err := client.Explain(nil); err != nil {
		t.Error(err)
	}
	if err := client.Explain(os.ErrExist); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	once := client.Explain(context.DeadlineExceeded)
	if again := client.Explain(once); !errors.Is(again, once) || again.Error() != once.Error() {
		t.Errorf("explained twice: %v", again)
	}
}

// The API server goes over maps, and so names faults in any order.
func TestFaultsOfAManifestReadTheSameEachTime(t *testing.T) {
	const a, c = "\n  .data.a: expected string, got &value.valueUnstructured{Value:1}", "\n  .data.c: expected string, got &value.valueUnstructured{Value:2}"
	const head = "failed to create typed patch object (ns/c; /v1, Kind=ConfigMap): errors:"
	for _, msg := range []string{head + a + c, head + c + a} {
		err := client.Explain(apierrors.NewBadRequest(msg))
		if want := "does not fit its kind: .data.a (expected string), .data.c (expected string)"; !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %q, want it to end in %q", err, want)
		}
	}
}
