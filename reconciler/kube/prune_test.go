package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

func configMap(name string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + "}}"
}

func many(n int) string {
	var docs []string
	for i := range n {
		docs = append(docs, configMap(fmt.Sprintf("many-%02d", i)))
	}
	return strings.Join(docs, "\n---\n")
}

func (r *rig) listed() map[render.ID]bool {
	r.Helper()
	inv, _, err := r.c.readInventory(r.ctx(), r.key)
	must(r.TB, err)
	return inv.ids
}

func (r *rig) lists(kind, name string) bool {
	r.Helper()
	for id := range r.listed() {
		if id.Kind == kind && id.Name == name {
			return true
		}
	}
	return false
}

func TestWhatIsNotWantedAnyMoreGoesInContract(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n" + configMap("former") + "\n---\n" + web))
	d := r.want(settings)
	r.expand(d)
	if r.get("ConfigMap/former") == nil || r.get("Deployment/web") == nil {
		t.Fatal("Expand deleted something")
	}
	if st := r.observe(d); st.InSync || !strings.Contains(st.Message, "ConfigMap "+r.ns+"/former: it is not wanted any more") {
		t.Errorf("before Contract: %+v", st)
	}
	must(t, r.c.Contract(r.ctx(), d))
	if r.get("ConfigMap/former") != nil || r.get("Deployment/web") != nil {
		t.Error("they are still there")
	}
	if st := r.observe(d); !st.InSync || st.Message != "" {
		t.Errorf("after Contract: %+v", st)
	}
	if ids := r.listed(); len(ids) != 1 {
		t.Errorf("the inventory lists %v", ids)
	}
	r.eventually("its pods are gone", func() bool { return !strings.Contains(r.kubectl("get", "pods"), "web-") })
}

func TestWhatWasObservedIsLookedAtAgainBeforeItIsDeleted(t *testing.T) {
	r := setup(t)
	r.watch()
	r.bring(r.want(settings + "\n---\n" + configMap("former") + "\n---\n" + configMap("second")))
	r.settle(settings + "\n---\n" + configMap("former") + "\n---\n" + configMap("second"))
	d := r.want(settings)
	r.expand(d)
	r.observe(d)
	r.observe(d)
	r.requests.take()
	must(t, r.c.Contract(r.ctx(), d))
	if r.get("ConfigMap/former") != nil || r.get("ConfigMap/second") != nil {
		t.Error("they are still there")
	}
	got := r.requests.take()
	if deletes := with(got, "DELETE"); len(deletes) != 2 || len(with(got, "GET /api/v1/namespaces/"+r.ns+"/configmaps/former")) != 2 {
		t.Errorf("asked %v", got)
	}
}

func TestMoreThanMaxPruneDeletesNothing(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n" + many(21)))
	d := r.want(settings)
	r.expand(d)
	says(t, r.c.Contract(r.ctx(), d), "nothing is deleted: 21 objects are not wanted any more, and this stop may delete 20",
		"ConfigMap "+r.ns+"/many-00; ConfigMap "+r.ns+"/many-01; ConfigMap "+r.ns+"/many-02; and 18 more", "raise maxPrune of the phase's cluster to 21")
	if n := strings.Count(r.kubectl("get", "configmaps", "-oname"), "many-"); n != 21 {
		t.Errorf("%d are left", n)
	}
	if st := r.observe(d); st.InSync {
		t.Errorf("%+v", st)
	}
	// With one wanted again it may.
	d = r.want(settings + "\n---\n" + configMap("many-07"))
	must(t, r.c.Contract(r.ctx(), d))
	if n := strings.Count(r.kubectl("get", "configmaps", "-oname"), "many-"); n != 1 {
		t.Errorf("%d are left", n)
	}
	d = r.want(settings)
	d.MaxPrune = 0
	says(t, r.c.Contract(r.ctx(), d), "nothing is deleted: 1 objects")
}

func TestWithoutPruneThingsStayAndAreNamed(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n" + configMap("former")))
	d := r.want(settings)
	d.Prune = false
	r.bring(d)
	st := r.observe(d)
	if r.get("ConfigMap/former") == nil || !st.InSync || !strings.Contains(st.Message, "ConfigMap "+r.ns+"/former is not wanted any more, and stays as prune is false") {
		t.Errorf("%+v", st)
	}
	// It is still known, and goes when a stop says so.
	r.bring(r.want(settings))
	if r.get("ConfigMap/former") != nil {
		t.Error("it is still there")
	}
}

func TestWhatIsLeftAloneAndWhy(t *testing.T) {
	for name, c := range map[string]struct {
		object string // its name is former
		change func(r *rig)
		note   string // in Message; empty: it is none of ours any more
	}{
		"annotated in the manifest": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: former, annotations: {changeover.dev/prune: disabled}}}`, nil, "annotated changeover.dev/prune: disabled"},
		"annotated by hand":         {configMap("former"), func(r *rig) { r.kubectl("annotate", "configmap/former", "changeover.dev/prune=disabled") }, "annotated changeover.dev/prune: disabled"},
		"a claim":                   {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: former}, spec: {accessModes: [ReadWriteOnce], volumeName: NS, storageClassName: "", resources: {requests: {storage: 1Gi}}}}`, nil, "may hold data"},
		"another plan's":            {configMap("former"), func(r *rig) { r.kubectl("annotate", "--overwrite", "configmap/former", "changeover.dev/plan=a/b") }, ""},
		"adopted":                   {configMap("former"), func(r *rig) { r.kubectl("annotate", "configmap/former", "changeover.dev/plan-") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t)
			if strings.Contains(c.object, "volumeName") { // what it asks for is there
				r.create(`{apiVersion: v1, kind: PersistentVolume, metadata: {name: NS}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /none}}}`)
				t.Cleanup(func() { r.kubectl("delete", "pv", r.ns, "--wait=false") })
			}
			kind := r.objects(c.object)[0].Kind()
			r.bring(r.want(settings + "\n---\n" + c.object))
			if c.change != nil {
				c.change(r)
			}
			d := r.want(settings)
			r.renewed(func() {
				r.bring(d)
				if r.get(kind+"/former") == nil {
					t.Fatal("it is gone")
				}
				st := r.observe(d)
				if !st.InSync || !strings.Contains(st.Message, c.note) || c.note == "" && st.Message != "" {
					t.Errorf("%+v", st)
				}
				if listed := r.lists(kind, "former"); listed != (c.note != "") {
					t.Errorf("in the inventory: %v", listed)
				}
			})
			if c.note == "" && !strings.Contains(r.log.String(), "an object that was applied is left to another") {
				t.Errorf("the log says %s", r.log)
			}
			if c.note != "" { // until it is allowed
				r.kubectl("annotate", "--overwrite", kind+"/former", "changeover.dev/prune=enabled")
				must(t, r.c.Contract(r.ctx(), d))
				r.eventually("it is gone", func() bool { return r.get(kind+"/former") == nil })
			}
		})
	}
}

func TestANamespaceGoesOnlyWhereItIsAllowed(t *testing.T) {
	r := setup(t)
	more := r.ns + "-more"
	text := "{apiVersion: v1, kind: Namespace, metadata: {name: " + more + "}}"
	t.Cleanup(func() { r.kubectl("delete", "namespace", more, "--wait=false", "--ignore-not-found") })
	r.bring(r.want(settings + "\n---\n" + text))
	d := r.want(settings)
	r.bring(d)
	if st := r.observe(d); !st.InSync || !strings.Contains(st.Message, "Namespace "+more+" is not wanted any more: may hold data") || r.get("Namespace/"+more) == nil {
		t.Errorf("%+v", st)
	}
	r.bring(r.want(settings + "\n---\n" + strings.Replace(text, "name: "+more, "name: "+more+", annotations: {changeover.dev/prune: enabled}", 1)))
	r.bring(d)
	r.eventually("it is gone", func() bool { return r.get("Namespace/"+more) == nil })
}

func TestADefinitionStaysWhileThereAreObjectsThatOthersMade(t *testing.T) {
	r := setup(t)
	def, one := strings.ReplaceAll(widgetKind, "KIND", r.ns), strings.ReplaceAll(widget, "KIND", r.ns)
	r.bring(r.want(settings + "\n---\n" + def + "\n---\n" + one))
	d := r.want(settings)
	foreign := strings.Replace(one, "name: one", "name: foreign", 1)
	r.create(foreign)
	r.bring(d)
	widgets := "widgets." + r.ns + ".example.com"
	if st := r.observe(d); !st.InSync || !strings.Contains(st.Message, "CustomResourceDefinition "+widgets+" is not wanted any more: there is still Widget "+r.ns+"/foreign") {
		t.Errorf("%+v", st)
	}
	if out := r.kubectl("get", widgets, "-oname"); strings.Contains(out, "/one") || !strings.Contains(out, "/foreign") {
		t.Errorf("left: %s", out)
	}
	r.kubectl("delete", widgets, "foreign")
	// An object of another plan, and one that is to stay, hold it as well.
	mine := r.key
	r.key = plan.Key{Namespace: r.ns, Name: "other"}
	r.bring(r.want(foreign))
	r.key = mine
	r.renew()
	r.bring(d)
	if r.get(kindCRD+"/"+widgets) == nil {
		t.Fatal("the definition went, with an object of another plan")
	}
	r.key = plan.Key{Namespace: r.ns, Name: "other"}
	r.bring(r.want(settings2))
	r.key = mine
	r.renew()
	r.bring(d)
	r.eventually("the definition is gone", func() bool { return r.get(kindCRD+"/"+widgets) == nil })
	if st := r.observe(d); !st.InSync || st.Message != "" {
		t.Errorf("%+v", st)
	}
}

func TestADefinitionStaysWhileItsObjectsAreWanted(t *testing.T) {
	r := setup(t)
	def, one := strings.ReplaceAll(widgetKind, "KIND", r.ns), strings.ReplaceAll(widget, "KIND", r.ns)
	r.bring(r.want(def + "\n---\n" + one))
	d := r.want(one)
	r.bring(d)
	if st := r.observe(d); !st.InSync || !strings.Contains(st.Message, "there is still Widget "+r.ns+"/one, which would go with it") {
		t.Errorf("%+v", st)
	}
	kept := strings.Replace(one, "name: one", "name: one, annotations: {changeover.dev/prune: disabled}", 1)
	r.bring(r.want(kept))
	d = r.want(settings)
	r.bring(d)
	if r.get(kindCRD+"/widgets."+r.ns+".example.com") == nil || !strings.Contains(r.kubectl("get", "widgets."+r.ns+".example.com", "-oname"), "/one") {
		t.Error("an object that is to stay went with its definition")
	}
}

const settings2 = `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings2}}`

func TestADefinitionGoesWithItsObjectsInOneStep(t *testing.T) {
	r := setup(t)
	kinds := strings.ReplaceAll(widgetKind+"\n---\n"+widget, "KIND", r.ns)
	r.bring(r.want(settings + "\n---\n" + kinds))
	d := r.want(settings)
	r.requests.take()
	r.bring(d)
	deletes := with(r.requests.take(), "DELETE")
	if len(deletes) != 2 || !strings.Contains(deletes[0], "/widgets/one") || !strings.Contains(deletes[1], "/customresourcedefinitions/") {
		t.Errorf("deletes %v", deletes)
	}
	// And comes back.
	d = r.want(settings + "\n---\n" + kinds)
	r.eventually("the former definition is gone", func() bool { return r.c.Expand(r.ctx(), d) == nil })
}

func TestADeletionThatHangsIsReportedUntilItIsDone(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: former, finalizers: [example.com/stays]}}"))
	d := r.want(settings)
	r.expand(d)
	must(t, r.c.Contract(r.ctx(), d))
	st := r.observe(d)
	if !st.InSync || !st.Healthy || !strings.Contains(st.Message, "ConfigMap "+r.ns+"/former is not wanted any more: it is being deleted and waits for its finalizers: example.com/stays") {
		t.Errorf("%+v", st)
	}
	if !r.lists("ConfigMap", "former") {
		t.Error("the inventory has forgotten it")
	}
	// Wanted again it is applied once it is gone.
	again := r.want(settings + "\n---\n" + configMap("former"))
	says(t, r.c.Expand(r.ctx(), again), "ConfigMap "+r.ns+"/former: it is being deleted and waits for its finalizers: example.com/stays")
	r.kubectl("patch", "configmap/former", "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	if st := r.observe(d); !st.InSync || st.Message != "" {
		t.Errorf("once it is gone: %+v", st)
	}
	must(t, r.c.Contract(r.ctx(), d))
	if r.lists("ConfigMap", "former") {
		t.Error("the inventory lists what is gone")
	}
}

func TestVersionsOfAKindAreTheSameObject(t *testing.T) {
	r := setup(t)
	scaler := `
apiVersion: autoscaling/VERSION
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
`
	r.bring(r.want(strings.Replace(scaler, "VERSION", "v1", 1)))
	uid := r.k.Get(t, "HorizontalPodAutoscaler.autoscaling", r.ns, "web").GetUID()
	d := r.want(strings.Replace(scaler, "VERSION", "v2", 1))
	r.bring(d)
	if now := r.k.Lookup(t, "HorizontalPodAutoscaler.autoscaling", r.ns, "web"); now == nil || now.GetUID() != uid {
		t.Error("it was pruned")
	}
	if st := r.observe(d); !st.InSync {
		t.Errorf("%+v", st)
	}
}

func TestAnObjectThatWasReplacedIsNotDeletedForAnother(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n" + configMap("former")))
	d := r.want(settings)
	r.expand(d)
	p, err := r.c.begin(r.ctx(), d)
	must(t, err)
	lefts, err := p.leftovers(r.ctx())
	must(t, err)
	if len(lefts) != 1 || lefts[0].fate != fateDelete {
		t.Fatalf("%+v", lefts)
	}
	// Somebody makes it anew, as his own, between the look and the deletion.
	r.kubectl("delete", "configmap/former")
	r.create(configMap("former"))
	must(t, p.delete(r.ctx(), lefts[0]))
	if r.get("ConfigMap/former") == nil || lefts[0].fate != fateAdopted {
		t.Errorf("fate %v", lefts[0].fate)
	}
}
