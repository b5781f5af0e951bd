package kube

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestGatesReadObjectsAsTheAccountSeesThem(t *testing.T) {
	r := setup(t)
	r.create(settings)
	p := &plan.Plan{Metadata: plan.Metadata{Namespace: r.ns, Name: "shop"}, Spec: plan.Spec{Objects: map[string]plan.ObjectRef{
		"settings": {APIVersion: "v1", Kind: "ConfigMap", Name: "settings"},
		"space":    {APIVersion: "v1", Kind: "Namespace", Name: r.ns},
		"absent":   {APIVersion: "v1", Kind: "ConfigMap", Namespace: r.ns, Name: "absent"},
		"unserved": {APIVersion: "nowhere.example.com/v1", Kind: "Nothing", Name: "one"},
		"secret":   {APIVersion: "v1", Kind: "Secret", Name: "s"},
		"service":  {APIVersion: "v1", Kind: "Service", Name: "s"},
	}}}
	names := []string{"settings", "space", "absent", "unserved", "secret", "unnamed"}
	got := r.c.Read(r.ctx(), p, names)
	if len(got) != len(names) {
		t.Fatalf("%d objects for %d names", len(got), len(names))
	}
	if o := got["settings"]; o.Err != nil || o.Value["data"].(map[string]any)["mode"] != "a" || o.Value["metadata"].(map[string]any)["managedFields"] != nil {
		t.Errorf("%+v", o)
	}
	if o := got["space"]; o.Err != nil || o.Value == nil {
		t.Errorf("%+v", o)
	}
	if o := got["absent"]; o.Err != nil || o.Value != nil {
		t.Errorf("%+v", o)
	}
	says(t, got["unserved"].Err, `read object "unserved"`, "does not serve the kind")
	says(t, got["secret"].Err, "a Secret is not read for gates")
	says(t, got["unnamed"].Err, "the plan does not name it")

	p.Spec.ServiceAccountName = "mover"
	r.grant(`{apiGroups: [""], resources: [configmaps], verbs: [get]}`)
	r.eventually("it may", func() bool { return r.c.Read(r.ctx(), p, []string{"settings"})["settings"].Err == nil })
	says(t, r.c.Read(r.ctx(), p, []string{"service"})["service"].Err, `read object "service": Service `+r.ns+`/s: permission is missing: User "system:serviceaccount:`+r.ns+`:mover" cannot get resource "services"`)
}

func TestWithoutAnAnswerEveryObjectHasAnError(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	p := &plan.Plan{Metadata: plan.Metadata{Namespace: r.ns, Name: "shop"}, Spec: plan.Spec{Objects: map[string]plan.ObjectRef{}}}
	var names []string
	for i := range 20 {
		names = append(names, string(rune('a'+i)))
		p.Spec.Objects[names[i]] = plan.ObjectRef{APIVersion: "v1", Kind: "ConfigMap", Name: "settings"}
	}
	r.c.Read(r.ctx(), p, names) // learns what is served
	proxy.Inject(kubetest.Fault{})
	for name, o := range r.c.Read(r.ctx(), p, names) {
		if o.Err == nil || o.Value != nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestWhatAPlanRequiresAndTheClusterLacks(t *testing.T) {
	r := setup(t)
	unmet := func(q *plan.Requires) string {
		t.Helper()
		got, err := r.c.Unmet(r.ctx(), &plan.Plan{Spec: plan.Spec{Requires: q}})
		must(t, err)
		return strings.Join(got, "|")
	}
	for _, q := range []*plan.Requires{nil, {}, {Kubernetes: ">=1.25", APIs: []string{"apps/v1/Deployment", "v1/Service"}}} {
		if got := unmet(q); got != "" {
			t.Errorf("%+v: %s", q, got)
		}
	}
	got := unmet(&plan.Requires{Kubernetes: ">=1.999", APIs: []string{"apps/v1/Deployment", "apps/v9/Deployment", "example.com/v1/Nothing"}})
	if !strings.HasPrefix(got, "Kubernetes >=1.999 is required, and the cluster has v1.") ||
		!strings.HasSuffix(got, "|API apps/v9/Deployment is required, and the cluster does not serve it|API example.com/v1/Nothing is required, and the cluster does not serve it") {
		t.Error(got)
	}
}
