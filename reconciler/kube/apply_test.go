package kube

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/kubetest"
)

const widgetKind = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.KIND.example.com}
spec:
  group: KIND.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

const widget = `{apiVersion: KIND.example.com/v1, kind: Widget, metadata: {name: one}, spec: {size: 3}}`

func TestADefinitionAndItsObjectsComeInOneRender(t *testing.T) {
	r := setup(t)
	kind := strings.ReplaceAll(widget+"\n---\n"+widgetKind, "KIND", r.ns)
	d := r.want(kind + "\n---\n" + settings)
	r.bring(d)
	if st := r.observe(d); !st.InSync || !st.Healthy || st.Message != "" {
		t.Errorf("after bringing it: %+v", st)
	}
	inv, _, err := r.c.readInventory(r.ctx(), r.key)
	must(t, err)
	if id := (render.ID{Group: r.ns + ".example.com", Kind: "Widget", Namespace: r.ns, Name: "one"}); !inv.ids[id] || len(inv.ids) != 3 {
		t.Errorf("the inventory lists %v", inv.ids)
	}
}

func TestADeploymentBecomesAvailable(t *testing.T) {
	r := setup(t)
	d := r.want(web)
	r.expand(d)
	if ok, why, err := r.c.Healthy(r.ctx(), d); ok || !strings.Contains(why, "Deployment "+r.ns+"/web: ") {
		t.Errorf("at once: %v %q %v", ok, why, err)
	}
	r.waitHealthy(d)
	o := r.get("Deployment/web")
	if o.GetLabels()[render.ManagedLabel] != "true" || o.GetAnnotations()[render.PlanAnnotation] != r.key.String() {
		t.Errorf("it bears %v %v", o.GetLabels(), o.GetAnnotations())
	}
	// The server writes 1000m as 1, and adds defaults: no drift.
	if st := r.observe(d); !st.InSync || !st.Healthy {
		t.Errorf("after it was applied: %+v", st)
	}
	r.requests.take()
	r.expand(d)
	if got := with(r.requests.take(), "PATCH"); len(got) != 0 {
		t.Errorf("the same again wrote %v", got)
	}
}

func TestStagesComeInOrder(t *testing.T) {
	r := setup(t)
	text := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS.example.com}
webhooks: []
---
`+widget+"\n---\n"+web+"\n---\n"+settings+`
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
`+widgetKind+`
---
{apiVersion: v1, kind: Namespace, metadata: {name: NS-more}}
`, "KIND", r.ns)
	d := r.want(text)
	t.Cleanup(func() { r.kubectl("delete", "namespace", r.ns+"-more", "--wait=false") })
	r.expand(d)
	var order []string
	for _, q := range with(r.requests.take(), "PATCH ") {
		path, _, _ := strings.Cut(q, "?")
		order = append(order, path[strings.LastIndex(path[:strings.LastIndex(path, "/")], "/")+1:])
	}
	at := func(what string) int {
		i := slices.IndexFunc(order, func(s string) bool { return strings.HasPrefix(s, what) })
		if i < 0 {
			t.Fatalf("%q was not applied: %v", what, order)
		}
		return i
	}
	for _, pair := range [][2]string{
		{"namespaces/", "roles/"}, {"customresourcedefinitions/", "roles/"}, {"roles/", "rolebindings/"}, {"rolebindings/", "configmaps/"},
		{"configmaps/", "deployments/"}, {"configmaps/", "widgets/"}, {"deployments/", "validatingwebhook"}, {"widgets/", "validatingwebhook"},
	} {
		if at(pair[0]) > at(pair[1]) {
			t.Errorf("%s came before %s: %v", pair[1], pair[0], order)
		}
	}
}

func TestAFailureStopsTheNextStageButNotItsOwn(t *testing.T) {
	r := setup(t)
	err := r.c.Expand(r.ctx(), r.want(`
{apiVersion: v1, kind: Service, metadata: {name: wrong}, spec: {ports: [{port: 99999}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: misspelt}, dta: {a: b}}
---
`+settings+"\n---\n"+web+`
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: never}, webhooks: []}
`))
	says(t, err, "Service "+r.ns+"/wrong: ", "must be between 1 and 65535", "ConfigMap "+r.ns+"/misspelt: ", ".dta (field not declared in schema)")
	if r.get("ConfigMap/settings") == nil || r.get("Deployment/web") == nil {
		t.Error("the others of the stage were not applied")
	}
	if o := r.k.Lookup(t, "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "", "never"); o != nil {
		t.Error("the next stage was applied")
	}
	basics := r.want(`
{apiVersion: v1, kind: ResourceQuota, metadata: {name: wrong}, spec: {hard: {"no such !": "1"}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: never}}
`)
	says(t, r.c.Expand(r.ctx(), basics), "ResourceQuota "+r.ns+"/wrong: ")
	if r.get("ConfigMap/never") != nil {
		t.Error("the rest was applied though the basics failed")
	}
}

func TestAKindThatIsNotServedIsNamedAndHoldsOnlyItsStageUp(t *testing.T) {
	r := setup(t)
	d := r.want(settings + "\n---\n{apiVersion: nowhere.example.com/v1, kind: Nothing, metadata: {name: one}}")
	says(t, r.c.Expand(r.ctx(), d), "Nothing one: ", "the API server does not serve the kind", "CustomResourceDefinition")
	if r.get("ConfigMap/settings") == nil {
		t.Error("the rest was not applied")
	}
	if st := r.observe(d); st.InSync || st.Healthy || !strings.Contains(st.Message, "Nothing one: ") {
		t.Errorf("%+v", st)
	}
}

func TestAJobIsReadyWhenItIsComplete(t *testing.T) {
	r := setup(t)
	const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}}
`
	d := r.want(job)
	r.bring(d)
	o := r.get("Job/migrate")
	if kubetest.Condition(o, "Complete") != "True" {
		t.Errorf("it is healthy and not complete: %v", o.Object["status"])
	}
	if st := r.observe(d); !st.InSync || !st.Healthy {
		t.Errorf("%+v", st)
	}
	changed := r.want(strings.Replace(job, "a:1", "a:2", 1))
	says(t, r.c.Expand(r.ctx(), changed), "Job "+r.ns+"/migrate: a field cannot be changed once the object exists", "spec.template")
	if now := r.get("Job/migrate"); now.GetUID() != o.GetUID() || now.GetGeneration() != o.GetGeneration() {
		t.Error("the object was touched")
	}
}

func TestAnImmutableFieldIsReportedAndTheObjectStays(t *testing.T) {
	r := setup(t)
	d := r.want(web)
	r.bring(d)
	before := r.get("Deployment/web")
	changed := r.want(strings.ReplaceAll(web, "app: web", "app: other"))
	err := r.c.Expand(r.ctx(), changed)
	says(t, err, "Deployment "+r.ns+"/web: a field cannot be changed once the object exists, and nothing is deleted", "spec.selector")
	if now := r.get("Deployment/web"); now.GetUID() != before.GetUID() || now.GetGeneration() != before.GetGeneration() {
		t.Error("the object was touched")
	}
	if st := r.observe(changed); st.InSync || !strings.Contains(st.Message, "Deployment "+r.ns+"/web: spec.selector.matchLabels.app is not as it was applied") {
		t.Errorf("%+v", st)
	}
}

func TestReplicasRiseInExpandAndFallInContract(t *testing.T) {
	r := setup(t)
	of := func(n string) reconciler.Desired {
		return r.want(strings.Replace(web, "replicas: 2", "replicas: "+n, 1))
	}
	r.bring(of("3"))
	low := of("1")
	r.expand(low)
	if n := r.replicas("Deployment/web"); n != 3 {
		t.Errorf("Expand lowered to %d", n)
	}
	if st := r.observe(low); st.InSync || !st.Healthy || !strings.Contains(st.Message, "it has 3 replicas, 1 are wanted") {
		t.Errorf("before Contract: %+v", st)
	}
	r.waitHealthy(low)
	must(t, r.c.Contract(r.ctx(), low))
	if n := r.replicas("Deployment/web"); n != 1 {
		t.Errorf("Contract left %d", n)
	}
	if st := r.observe(low); !st.InSync {
		t.Errorf("after Contract: %+v", st)
	}
	high := of("4")
	r.expand(high)
	if n := r.replicas("Deployment/web"); n != 4 {
		t.Errorf("Expand raised to %d", n)
	}
	// A manifest that no longer says how many gives the field up, which makes
	// it one: not before Contract.
	unsaid := r.want(strings.Replace(web, "  replicas: 2\n", "", 1))
	r.expand(unsaid)
	if n := r.replicas("Deployment/web"); n != 4 {
		t.Errorf("Expand of a manifest without replicas lowered to %d", n)
	}
}

func TestReplicasThatAnotherSetStayWhereTheManifestSaysNone(t *testing.T) {
	r := setup(t)
	d := r.want(strings.Replace(web, "  replicas: 2\n", "", 1))
	r.bring(d)
	r.kubectl("scale", "deployment/web", "--replicas=3")
	if st := r.observe(d); !st.InSync {
		t.Errorf("%+v", st)
	}
	r.bring(d)
	if n := r.replicas("Deployment/web"); n != 3 {
		t.Errorf("%d replicas", n)
	}
}

func TestNothingIsContractedBeforeAllIsReady(t *testing.T) {
	r := setup(t)
	r.bring(r.want(web + "\n---\n" + settings))
	stuck := strings.Replace(web, "      containers:", "      nodeSelector: {no: where}\n      containers:", 1)
	stuck = strings.Replace(stuck, "name: web}", "name: stuck}", 1)
	d := r.want(strings.Replace(web, "replicas: 2", "replicas: 1", 1) + "\n---\n" + stuck)
	r.expand(d)
	err := r.c.Contract(r.ctx(), d)
	says(t, err, "nothing is lowered or deleted before everything is ready", "Deployment "+r.ns+"/stuck: ")
	if r.replicas("Deployment/web") != 2 || r.get("ConfigMap/settings") == nil {
		t.Error("something was lowered or deleted")
	}
	r.eventually("the pod's reason is told", func() bool {
		_, why, err := r.c.Healthy(r.ctx(), d)
		must(t, err)
		return strings.Contains(why, "Deployment "+r.ns+"/stuck: 0 of 2 replicas are ready (pod stuck-") && strings.Contains(why, "it cannot be scheduled: 0/1 nodes are available")
	})
	if r.replicas("Deployment/web") != 2 {
		t.Error("replicas were lowered")
	}
}

func TestAServiceIsAnnotatedBesideOthers(t *testing.T) {
	r := setup(t)
	r.create(`{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {theirs: "1"}}, spec: {ports: [{port: 80}], selector: {app: web}}}`)
	d := r.want(`{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {ours: "1"}}}`)
	r.bring(d)
	o := r.get("Service/web")
	if a := o.GetAnnotations(); a["ours"] != "1" || a["theirs"] != "1" {
		t.Errorf("annotations %v", a)
	}
	if st := r.observe(d); !st.InSync || !st.Healthy {
		t.Errorf("%+v", st)
	}
	r.bring(r.want(`{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {mine: "1"}}}`))
	if a := r.get("Service/web").GetAnnotations(); a["ours"] != "" || a["theirs"] != "1" || a["mine"] != "1" {
		t.Errorf("annotations afterwards %v", a)
	}
}

func TestTheNamespaceOfThePlanMayBeAPartOfTheRender(t *testing.T) {
	r := setup(t)
	own := r.ns + "-own"
	r.key = plan.Key{Namespace: own, Name: "shop"}
	t.Cleanup(func() { r.kubectl("delete", "namespace", own, "--wait=false") })
	says(t, r.c.Expand(r.ctx(), r.want(settings)), `namespace "`+own+`" does not exist`, "write the inventory")
	d := r.want(settings + "\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: " + own + "}}")
	r.requests.take()
	r.bring(d)
	writes := r.requests.take()
	writes = append(with(writes, "PATCH"), with(writes, "POST")...)
	if len(writes) != 4 { // the first that makes the inventory is refused
		t.Errorf("writes: %v", writes)
	}
	if st := r.observe(d); !st.InSync || !st.Healthy {
		t.Errorf("%+v", st)
	}
}

func TestStringDataIsAppliedAsData(t *testing.T) {
	r := setup(t)
	const secret = `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: Zmlyc3Q=}, stringData: {b: second}}`
	d := r.want(secret)
	r.bring(d)
	data, _, _ := unstructured.NestedStringMap(r.get("Secret/s").Object, "data")
	if data["a"] != "Zmlyc3Q=" || data["b"] != "c2Vjb25k" {
		t.Errorf("data %v", data)
	}
	r.renew()
	if st := r.observe(d); !st.InSync {
		t.Errorf("%+v", st)
	}
	// A key that is not wanted any more goes, which stringData would not do.
	r.bring(r.want(strings.Replace(secret, "stringData: {b: second}", "stringData: {c: third}", 1)))
	data, _, _ = unstructured.NestedStringMap(r.get("Secret/s").Object, "data")
	if len(data) != 2 || data["c"] == "" {
		t.Errorf("data afterwards %v", data)
	}
}

func TestWhatTheRenderHoldsStaysAsItIs(t *testing.T) {
	r := setup(t)
	d := r.want(web)
	before := digestOf(d.Objects)
	r.bring(d)
	r.observe(d)
	if digestOf(d.Objects) != before {
		t.Error("the render was written to")
	}
}

func TestObjectsThatCannotBeAppliedAreNamed(t *testing.T) {
	r := setup(t)
	nameless := r.want(`{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}`)
	says(t, r.c.Expand(r.ctx(), nameless), "it has no name")
	if ok, why, err := r.c.Healthy(r.ctx(), nameless); ok || err != nil || !strings.Contains(why, "it has no name") {
		t.Errorf("%v %q %v", ok, why, err)
	}
	says(t, r.c.Expand(r.ctx(), r.want(settings+"\n---\n"+strings.Replace(settings, "name: settings", "name: settings, namespace: NS", 1))), "ConfigMap "+r.ns+"/settings: ", "twice")
	says(t, r.c.Expand(r.ctx(), r.want(`{apiVersion: v1, kind: ConfigMap, metadata: {name: changeover-inventory-shop}}`)), "kept for the inventory")
	empty := r.want(settings)
	empty.Objects = nil
	says(t, r.c.Expand(r.ctx(), empty), "nothing is desired")
	says(t, r.c.Contract(r.ctx(), empty), "nothing is desired")
}

func TestANamespaceThatGoesIsWaitedFor(t *testing.T) {
	r := setup(t)
	goes := r.ns + "-goes"
	r.create("{apiVersion: v1, kind: Namespace, metadata: {name: " + goes + "}}")
	r.k.Apply(t, goes, "{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, finalizers: [example.com/stays]}}")
	r.k.Kubectl(t, "delete", "namespace", goes, "--wait=false")
	text := "{apiVersion: v1, kind: Namespace, metadata: {name: " + goes + "}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: " + goes + "}}"
	d := r.want(text)
	says(t, r.c.Expand(r.ctx(), d), "Namespace "+goes+": it is being deleted")
	within := r.want("{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: " + goes + "}}")
	says(t, r.c.Expand(r.ctx(), within), "ConfigMap "+goes+"/one: the namespace is being deleted")
	r.k.Kubectl(t, "patch", "configmap", "stays", "--namespace="+goes, "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	t.Cleanup(func() { r.k.Kubectl(t, "delete", "namespace", goes, "--wait=false") })
	r.eventually("it is made anew", func() bool { return r.c.Expand(r.ctx(), d) == nil })
	if o := r.k.Lookup(t, "ConfigMap", goes, "one"); o == nil {
		t.Error("its object is not there")
	}
}

func TestAJobThatGoesByItselfDoesNotRunAgain(t *testing.T) {
	r := setup(t)
	r.watch()
	const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {ttlSecondsAfterFinished: 3600, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}}
`
	text := job + "\n---\n" + settings
	d := r.want(text)
	r.bring(d)
	r.renewed(func() {
		r.kubectl("delete", "job/migrate", "--ignore-not-found")
		r.bring(d)
		if r.get("Job/migrate") != nil {
			t.Fatal("it runs again")
		}
		if st := r.observe(d); !st.InSync || !st.Healthy || st.Message != "" {
			t.Errorf("%+v", st)
		}
	})
	// What is known of it survives the loss of the inventory while we run.
	r.kubectl("delete", "configmap/changeover-inventory-shop")
	r.bring(d)
	if r.get("Job/migrate") != nil {
		t.Error("it runs again, as the inventory was lost")
	}
	// Another one is another Job, and so is one that comes back later.
	r.bring(r.want(strings.Replace(text, "a:1", "a:2", 1)))
	if r.get("Job/migrate") == nil {
		t.Error("the next one does not run")
	}
	r.kubectl("delete", "job/migrate")
	r.bring(r.want(settings))
	r.bring(r.want(strings.Replace(text, "a:1", "a:2", 1)))
	if r.get("Job/migrate") == nil {
		t.Error("it does not run when it comes back")
	}
	// One that was not seen to be complete is missed.
	r.bring(r.want(settings))
	r.expand(d)
	r.kubectl("delete", "job/migrate")
	if ok, why, _ := r.c.Healthy(r.ctx(), d); ok || !strings.Contains(why, "before it was seen to be complete") {
		t.Errorf("%v %q", ok, why)
	}
}
