package dir

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// liveDir has a Dir on a folder, beside a real cluster in which its account may
// read and nothing else. The plan's namespace is of the cluster.
func liveDir(t *testing.T) (k *kubetest.Kube, b *bench, at func(stop, manifests string) reconciler.Desired) {
	t.Helper()
	k = kubetest.Shared(t)
	ns := k.Namespace(t)
	account := k.Account(t, ns, "reader")
	k.Apply(t, ns, `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: reader, namespace: `+ns+`}]`)
	config, err := client.Load(account.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	live, err := kube.New(kube.Options{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	b = inFolder(t, Options{Live: live})
	key := plan.Key{Namespace: ns, Name: "shop"}
	return k, b, func(stop, manifests string) reconciler.Desired {
		d := desired(t, stop, manifests)
		d.Mark.Key = key
		return d
	}
}

// app is a Deployment that a cluster takes.
func app(name, image, more string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `}
spec:
  replicas: 2
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec:
      containers: [{name: web, image: "` + image + `", resources: {requests: {cpu: 100m, memory: 1024Mi}}}]` + more
}

func TestHealthIsThatOfTheLiveObjects(t *testing.T) {
	k, b, at := liveDir(t)
	ctx := t.Context()
	// The engine, in the place of Argo CD or Flux.
	engine := func(d reconciler.Desired) {
		t.Helper()
		k.Kubectl(t, "apply", "-k", filepath.Join(b.o.Folder, d.Mark.Key.String()))
	}
	unhealthy := func(d reconciler.Desired, want ...string) {
		t.Helper()
		ok, why, err := b.Healthy(ctx, d)
		if err != nil || ok {
			t.Fatalf("healthy %t, %v", ok, err)
		}
		st := b.observe(d)
		for _, w := range want {
			if !strings.Contains(why, w) || !strings.Contains(st.Message, w) || st.Healthy {
				t.Errorf("want %q in %q, and in what is observed: %+v", w, why, st)
			}
		}
	}
	healthy := func(d reconciler.Desired) {
		t.Helper()
		kubetest.WaitFor(t, "it is healthy", func() bool {
			ok, _, err := b.Healthy(ctx, d)
			return ok && err == nil
		})
	}
	first := at("setup", all(configMap("settings"), app("web", "web:1", "")))
	b.must(b.Expand(ctx, first))
	unhealthy(first, "ConfigMap "+first.Mark.Key.Namespace+"/settings: it is not there yet: folder ", "has yet to be applied")
	if err := b.Contract(ctx, first); err == nil || !strings.Contains(err.Error(), "before everything is ready") {
		t.Errorf("contracted before it is there: %v", err)
	}
	engine(first)
	healthy(first)
	b.must(b.Contract(ctx, first))
	b.must(b.SetMark(ctx, first))
	if st := b.observe(first); !st.InSync || !st.Healthy || st.Message != "" {
		t.Errorf("observed %+v", st)
	}

	next := at("gradual@10", all(strings.Replace(configMap("settings"), "1.10", "2", 1), app("web", "web:2", "")))
	b.must(b.Expand(ctx, next))
	unhealthy(next, "settings: it is not yet as it is written", "Deployment "+first.Mark.Key.Namespace+"/web: it is not yet as it is written")
	engine(next)
	healthy(next)

	stuck := at("gradual@25", app("web", "web:3", "\n      nodeSelector: {no: node}"))
	b.must(b.Expand(ctx, stuck))
	engine(stuck)
	unhealthy(stuck, "Deployment "+first.Mark.Key.Namespace+"/web: ")
	if err := b.Contract(ctx, stuck); err == nil {
		t.Error("contracted before it is ready")
	}
	t.Run("and what has fewer replicas by hand is not lowered", func(t *testing.T) {
		b.must(b.Expand(ctx, first))
		engine(first)
		healthy(first)
	})
	t.Run("objects that gates read come from it", func(t *testing.T) {
		p := &plan.Plan{Metadata: plan.Metadata{Namespace: first.Mark.Key.Namespace, Name: "shop"}}
		p.Spec.Objects = map[string]plan.ObjectRef{"web": {APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, "none": {APIVersion: "v1", Kind: "ConfigMap", Name: "none"}}
		got := b.Read(ctx, p, []string{"web", "none"})
		if got["web"].Err != nil || got["web"].Value == nil || got["none"].Err != nil || got["none"].Value != nil {
			t.Errorf("got %+v", got)
		}
		p.Spec.Requires = &plan.Requires{APIs: []string{"example.com/v1/Nothing"}}
		if unmet, err := b.Unmet(ctx, p); err != nil || len(unmet) != 1 {
			t.Errorf("unmet %v, %v", unmet, err)
		}
	})
}

// What the reader may not see is said, and is no health.
func TestWhatMayNotBeReadIsNotHealthy(t *testing.T) {
	k, b, at := liveDir(t)
	d := at("setup", all(configMap("settings"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: not-for-readers}",
		"apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: x}"))
	b.must(b.Expand(t.Context(), d))
	k.Apply(t, d.Mark.Key.Namespace, b.text(d, "02-configmap-"+d.Mark.Key.Namespace+"-settings.yaml"))
	ok, why, err := b.Healthy(t.Context(), d)
	if ok || err != nil || !strings.Contains(why, "Namespace not-for-readers: ") || !strings.Contains(why, "Nothing x: ") || strings.Contains(why, "settings") {
		t.Errorf("healthy %t, %q, %v", ok, why, err)
	}
}
