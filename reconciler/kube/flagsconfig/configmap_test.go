package flagsconfig_test

import (
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/flags"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/flagsconfig"
	"github.com/changeover-dev/changeover/render/flagd"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// The flags of a plan are in one ConfigMap, written with the rights that are
// shipped, and never over one that is another's.
func TestFlagsAreInAConfigMap(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{})
	namespace := k.Namespace(t)
	account := k.Account(t, namespace, "changeover")
	roles, err := os.ReadFile("../../../examples/install/base/roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, namespace, strings.ReplaceAll(string(roles), "changeover-system", namespace))
	k.Apply(t, namespace, `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: changeover}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: changeover-namespace}
subjects: [{kind: ServiceAccount, name: changeover, namespace: `+namespace+`}]
`)
	config, err := client.Load(account.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	p := &plan.Plan{Metadata: plan.Metadata{Name: "shop", Namespace: namespace}, Spec: plan.Spec{
		Phases: []plan.Phase{{Name: "gradual", Percents: []plan.Percent{10, 50}}},
		Flags:  []plan.Flag{{Name: "checkout", Default: plan.Legacy, Percent: &plan.Share{Position: true}}},
	}}
	o := flags.New(flagsconfig.New(c), 0)
	maps := c.Dynamic().Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(namespace)
	version := ""
	for i, percent := range []plan.Percent{10, 50, 50, 10} {
		stop := plan.Position{Phase: "gradual", Percent: percent}
		if err := o.Apply(t.Context(), p, stop, now); err != nil {
			t.Fatal(err)
		}
		want, err := flagd.Compile(p, stop, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := maps.Get(t.Context(), "shop-flags", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		data, _ := got.Object["data"].(map[string]any)
		if data["flags.flagd.json"] != string(want.Definitions()) || got.GetAnnotations()[flagsconfig.HashAnnotation] != want.Hash || got.GetAnnotations()["changeover.dev/stop"] != stop.String() {
			t.Fatalf("at %s the ConfigMap is %v", stop, got.Object)
		}
		if same := got.GetResourceVersion() == version; same != (i == 2) {
			t.Errorf("step %d at %s: version %s followed %s", i, stop, got.GetResourceVersion(), version)
		}
		version = got.GetResourceVersion()
	}
	k.Apply(t, namespace, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other-flags}\ndata: {flags.flagd.json: mine}\n")
	p.Metadata.Name = "other"
	err = o.Apply(t.Context(), p, plan.Position{Phase: "gradual", Percent: 10}, now)
	if err == nil || !strings.Contains(err.Error(), "is not that of the plan's flags") {
		t.Errorf("over a ConfigMap of another: %v", err)
	}
}
