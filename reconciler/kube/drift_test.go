package kube

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// drifts checks that a change is seen, named and put right.
func (r *rig) drifts(text, change string, named string) {
	r.Helper()
	d := r.want(text)
	st := r.observe(d)
	if st.InSync || !strings.Contains(st.Message, named) {
		r.Errorf("after %s: %+v, want %q", change, st, named)
	}
	r.expand(d)
	r.waitHealthy(d)
	must(r.TB, r.c.Contract(r.ctx(), d))
	if st := r.observe(d); !st.InSync || !st.Healthy {
		r.Errorf("after %s was put right: %+v", change, st)
	}
}

func TestDriftIsPutRight(t *testing.T) {
	r := setup(t)
	text := web + "\n---\n" + settings
	r.bring(r.want(text))
	r.renewed(func() {
		r.kubectl("patch", "configmap/settings", "--type=merge", `--patch={"data":{"mode":"b"}}`)
		r.drifts(text, "kubectl patch", "ConfigMap "+r.ns+"/settings: data.mode is not as it was applied")
		r.kubectl("scale", "deployment/web", "--replicas=1")
		r.drifts(text, "kubectl scale", "it has 1 replicas, 2 are wanted")
		r.kubectl("set", "image", "deployment/web", "web=web:2")
		r.drifts(text, "kubectl set image", "Deployment "+r.ns+"/web: spec.template.spec.containers[0].image is not")
		r.kubectl("label", "configmap/settings", render.ManagedLabel+"-")
		r.drifts(text, "kubectl label", "metadata.labels[changeover.dev/managed] is not")
		r.kubectl("delete", "configmap/settings")
		r.drifts(text, "kubectl delete", "ConfigMap "+r.ns+"/settings: it is not there")
		// A field that is gone has no owner any more.
		r.edit("ConfigMap/settings", "someone", `{"data":null}`)
		r.drifts(text, "a field was removed", "data.mode is not")
	})
	if a := r.get("ConfigMap/settings").GetAnnotations()[render.PlanAnnotation]; a != r.key.String() {
		t.Errorf("the plan's annotation is %q", a)
	}
}

// renewed does something with the process that applied, and with one that has
// just started.
func (r *rig) renewed(do func()) {
	r.Helper()
	do()
	r.renew()
	do()
}

func TestAFieldOfAnotherManagerIsReportedAndNotTaken(t *testing.T) {
	r := setup(t)
	d := r.want(web + "\n---\n" + settings)
	r.bring(d)
	r.edit("Deployment/web", "autoscaler", `{"spec":{"replicas":5}}`)
	r.waitHealthy(d) // with the two that are wanted
	says(t, r.c.Contract(r.ctx(), d), `Deployment `+r.ns+`/web: owned by another manager: "autoscaler" (.spec.replicas)`, "nothing was forced")
	if n := r.replicas("Deployment/web"); n != 5 {
		t.Errorf("%d replicas", n)
	}
	// Expand takes nothing away, so it has nothing to quarrel about.
	r.expand(d)
	r.edit("Deployment/web", "autoscaler", `{"spec":{"replicas":1}}`)
	says(t, r.c.Expand(r.ctx(), d), `owned by another manager: "autoscaler" (.spec.replicas)`)
	// One that a person and another manager changed is the other's still.
	r.edit("Deployment/web", "pipeline", `{"spec":{"template":{"metadata":{"labels":{"app":"web","v":"1"}}}}}`)
	r.kubectl("set", "image", "deployment/web", "web=web:2")
	err := r.c.Expand(r.ctx(), d)
	says(t, err, `"autoscaler", "kubectl-set"`)
	forced := r.want(strings.Replace(web, "{name: web}", `{name: web, annotations: {changeover.dev/force-conflicts: "true"}}`, 1) + "\n---\n" + settings)
	r.expand(forced)
	if n := r.replicas("Deployment/web"); n != 2 {
		t.Errorf("forced, but %d replicas", n)
	}
}

func TestWhatAnotherCreatedIsNotTakenByForceThoughAPersonDid(t *testing.T) {
	r := setup(t)
	r.kubectl("create", "configmap", "settings", "--from-literal=mode=theirs")
	says(t, r.c.Expand(r.ctx(), r.want(settings)), `owned by another manager: "kubectl-create" (.data.mode)`)
	r.kubectl("patch", "configmap/settings", "--type=merge", `--patch={"data":{"mode":"patched"}}`)
	says(t, r.c.Expand(r.ctx(), r.want(settings)), `owned by another manager: "kubectl-patch" (.data.mode)`)
	if m := r.get("ConfigMap/settings").Object["data"].(map[string]any)["mode"]; m != "patched" {
		t.Errorf("mode %v", m)
	}
	// Nor is what a person applies: another source of truth stands behind it.
	r.bring(r.want(configMap("ours")))
	applied := "{apiVersion: v1, kind: ConfigMap, metadata: {name: ours, namespace: " + r.ns + "}, data: {mode: theirs}}"
	if _, err := r.k.RunKubectl(applied, "apply", "--server-side", "-f-"); err != nil {
		t.Fatal(err)
	}
	says(t, r.c.Expand(r.ctx(), r.want(`{apiVersion: v1, kind: ConfigMap, metadata: {name: ours}, data: {mode: ours}}`)), `owned by another manager: "kubectl" (.data.mode)`)
	// The same value is agreed upon: nobody's field is taken.
	r.expand(r.want(strings.Replace(settings, "mode: a", "mode: patched", 1)))
}

func TestAnObjectOfAnotherPlanIsRefused(t *testing.T) {
	r := setup(t)
	d := r.want(settings)
	r.bring(d)
	mine := r.key
	r.key = plan.Key{Namespace: r.ns, Name: "other"}
	theirs := r.want(strings.Replace(settings, "mode: a", "mode: b", 1))
	says(t, r.c.Expand(r.ctx(), theirs), "ConfigMap "+r.ns+"/settings: it belongs to plan "+mine.String())
	if st := r.observe(theirs); st.InSync || !strings.Contains(st.Message, "belongs to plan "+mine.String()) {
		t.Errorf("%+v", st)
	}
	// What it could not apply it does not prune either.
	second := r.want(`{apiVersion: v1, kind: ConfigMap, metadata: {name: own}}`)
	r.bring(second)
	if o := r.get("ConfigMap/settings"); o == nil || o.GetAnnotations()[render.PlanAnnotation] != mine.String() {
		t.Errorf("it is %v", o)
	}
}

func TestOfTwoPlansThatWantOneObjectOneIsRefused(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	// All have looked before the first has applied.
	proxy.Inject(kubetest.Fault{Method: http.MethodPatch, Delay: 300 * time.Millisecond, Code: http.StatusOK})
	errs := make(chan error)
	for _, name := range []string{"one", "two", "three"} {
		r.key = plan.Key{Namespace: r.ns, Name: name}
		d := r.want(strings.Replace(settings, "mode: a", "mode: "+name, 1))
		go func() { errs <- r.c.Expand(r.ctx(), d) }()
	}
	refused := 0
	for range 3 {
		if err := <-errs; err != nil {
			says(t, err, "it belongs to plan "+r.ns+"/")
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d were refused", refused)
	}
}

func TestAfterARestartOnlyWhatDiffersIsWritten(t *testing.T) {
	r := setup(t)
	text := settings + "\n---\n" + strings.ReplaceAll(strings.ReplaceAll(web, "1000m", "1"), "1024Mi", "1Gi") + `
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
`
	r.bring(r.want(text))
	r.renew()
	r.requests.take()
	if st := r.observe(r.want(text)); !st.InSync {
		t.Errorf("%+v", st)
	}
	r.bring(r.want(text))
	if writes := with(r.requests.take(), "P"); len(writes) != 0 {
		t.Errorf("writes %v", writes)
	}
	// What the server writes otherwise may look like drift, once.
	r.renew()
	odd := r.want(text + `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  metrics: [{type: Pods, pods: {metric: {name: requests}, target: {type: AverageValue, averageValue: 1000m}}}]
`)
	r.bring(odd)
	r.renew()
	r.requests.take()
	r.bring(odd)
	r.bring(odd)
	r.observe(odd)
	if writes := with(r.requests.take(), "PATCH"); len(writes) != 1 {
		t.Errorf("writes %v", writes)
	}
}

func TestAFieldThatIsNotWantedAnyMoreGoesThoughTheProcessKnowsNothing(t *testing.T) {
	r := setup(t)
	r.bring(r.want(strings.Replace(settings, "mode: a", "mode: a, former: x", 1)))
	r.renew()
	d := r.want(settings)
	if st := r.observe(d); st.InSync || !strings.Contains(st.Message, "data.former is not as it was applied") {
		t.Errorf("%+v", st)
	}
	r.bring(d)
	if data := r.get("ConfigMap/settings").Object["data"].(map[string]any); len(data) != 1 {
		t.Errorf("data %v", data)
	}
}
