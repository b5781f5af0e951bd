package kube

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/render"
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
