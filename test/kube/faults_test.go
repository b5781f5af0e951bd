package kube

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// says is all that a status tells of what keeps a plan waiting.
func says(s reconciler.Status) string {
	text := s.Error + "\n" + s.Waiting + "\n" + s.Observed.Cluster.Message + "\n" + s.Observed.Gateway.Message + "\n" + s.Decision.Message
	if s.Move != nil {
		text += "\n" + s.Move.Error
	}
	return text
}

// tells waits until the status tells all of these.
func (r *rig) tells(words ...string) {
	r.t.Helper()
	st := r.Await("it tells "+strings.Join(words, ", "), patience, func(s reconciler.Status) bool {
		for _, w := range words {
			if !strings.Contains(says(s), w) {
				return false
			}
		}
		return true
	})
	r.t.Logf("it says: %s", cmp.Or(st.Error, st.Waiting, says(st)))
}

// Whatever the API server does, the plan says what it waits for and arrives
// where it was declared.
func TestFaultsOfTheAPIServerAreOutlived(t *testing.T) {
	k := kubetest.Shared(t)
	acc := k.Account(t, k.Namespace(t), "daemon")
	k.Kubectl(t, "create", "clusterrolebinding", acc.User[len("system:serviceaccount:"):len(acc.User)-len(":daemon")]+"-admin", "--clusterrole=cluster-admin", "--serviceaccount="+strings.TrimPrefix(acc.User, "system:serviceaccount:"))
	proxy := k.Proxy(t, acc.Kubeconfig)
	r := newRig(t, k, "kubernetes", nil, "--kubeconfig", proxy.Kubeconfig)
	_, url := r.withGateway()
	r.StartDaemon()
	r.awaitEqual("setup")
	r.load(url)
	stops := []string{"shadow", "gradual@10", "gradual@25", "gradual@50", "gradual@100", "sunset"}
	next := func() string {
		stop := stops[0]
		stops = stops[1:]
		r.t.Helper()
		r.Declare(stop)
		return stop
	}

	t.Run("too many requests", func(t *testing.T) {
		f := proxy.Inject(kubetest.Fault{Method: "PATCH", Path: r.namespace, Code: 429, RetryAfter: time.Second, Times: 6})
		r.awaitEqual(next())
		if f.Struck() != 6 {
			t.Errorf("%d requests were struck, want 6", f.Struck())
		}
	})
	t.Run("conflict", func(t *testing.T) {
		f := proxy.Inject(kubetest.Fault{Method: "PATCH", Path: r.namespace, Code: 409, Times: 3})
		r.awaitEqual(next())
		if f.Struck() == 0 {
			t.Error("nothing was struck")
		}
	})
	t.Run("internal error", func(t *testing.T) {
		f := proxy.Inject(kubetest.Fault{Method: "PATCH", Path: r.namespace, Code: 500})
		stop := next()
		r.tells("the API server failed (500")
		f.Lift()
		r.awaitEqual(stop)
	})
	t.Run("the answer is lost", func(t *testing.T) {
		f := proxy.Inject(kubetest.Fault{Method: "PATCH", Path: r.namespace, AnswerLost: true, Times: 3})
		r.awaitEqual(next())
		if f.Struck() == 0 {
			t.Error("nothing was struck")
		}
	})
	t.Run("expired token", func(t *testing.T) {
		acc.Expire(t)
		stop := next()
		r.tells("does not accept the credentials")
		acc.Renew(t)
		r.awaitEqual(stop)
	})
	t.Run("webhook", func(t *testing.T) {
		hook := k.Webhook(t, kubetest.WebhookOptions{Namespace: r.namespace, Resources: []string{"deployments", "services"}})
		hook.Hang()
		stop := next()
		r.tells("admission webhook", "did not answer in time")
		hook.Allow()
		r.awaitEqual(stop)
	})
}

// An object of a kind that is not defined, or in a namespace that is going,
// keeps its plan waiting with words, and is applied when it can be.
func TestWhatCannotBeAppliedYetIsWaitedFor(t *testing.T) {
	k := kubetest.Shared(t)
	other := k.Namespace(t)
	r := newRig(t, k, "kubernetes", func(files map[string]string) {
		const name = "overlays/setup/kustomization.yaml"
		files[name] = strings.Replace(files[name], "[../base]", "[../base, book.yaml]", 1)
		files["overlays/setup/book.yaml"] = "apiVersion: late.example.com/v1\nkind: Book\nmetadata: {name: main}\nspec: {}\n"
	})
	r.withGateway()
	r.StartDaemon()
	r.tells("kind Book", "late.example.com/v1", "CustomResourceDefinition")
	definition := strings.NewReplacer("ledger.example.com", "late.example.com", "Ledger", "Book", "ledger", "book").Replace(files(t, "kubernetes")["overlays/modern/definition.yaml"])
	k.Apply(t, "", definition)
	t.Cleanup(func() { k.Delete(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "books.late.example.com") })
	r.awaitEqual("setup")

	// A namespace that something holds in its deletion.
	k.Apply(t, other, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n")
	k.Delete(t, "Namespace", "", other)
	kubetest.WaitFor(t, "the namespace is going", func() bool {
		o := k.Lookup(t, "Namespace", "", other)
		return o != nil && o.GetDeletionTimestamp() != nil
	})
	r.Pull()
	r.Write("overlays/shadow/there.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there, namespace: "+other+"}\n")
	// A namespace of its own is set by no transformer.
	text := strings.Replace(r.Read("overlays/shadow/kustomization.yaml"), "namespace: "+r.namespace+"\n", "", 1)
	r.Write("overlays/shadow/kustomization.yaml", strings.Replace(text, "job.yaml]", "job.yaml, there.yaml]", 1))
	r.Commit("orders: reach into another namespace")
	r.Declare("shadow")
	r.tells("the namespace is being deleted")
	k.Kubectl(t, "patch", "configmap", "held", "-n", other, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	kubetest.WaitFor(t, "the namespace is gone", func() bool { return k.Lookup(t, "Namespace", "", other) == nil })
	r.tells("does not exist")
	k.Kubectl(t, "create", "namespace", other)
	r.awaitAt("shadow")
	k.Get(t, "ConfigMap", other, "there")
}

// The API server is killed in the middle of an apply, and comes back.
func TestTheAPIServerIsKilledInMidApply(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{GatewayAPI: cluster.Standard})
	proxy := k.Proxy(t, k.Kubeconfig)
	r := newRig(t, k, "kubernetes", nil, "--kubeconfig", proxy.Kubeconfig)
	r.withGateway()
	r.StartDaemon()
	r.awaitEqual("setup")
	first := proxy.Inject(kubetest.Fault{Method: "PATCH", Path: r.namespace, Code: 200, Delay: 300 * time.Millisecond})
	r.Declare("shadow")
	kubetest.WaitFor(t, "an object is being applied", func() bool { return first.Struck() > 1 })
	k.KillAPIServer()
	r.Await("it says that there is no answer", patience, func(s reconciler.Status) bool {
		return strings.Contains(says(s), "cannot be reached") || strings.Contains(says(s), "did not answer")
	})
	first.Lift()
	if err := k.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.awaitEqual("shadow")
	r.inForce("shadow")
	r.Declare("setup")
	r.awaitEqual("setup")
	r.inForce("setup")
	r.gone("Deployment.apps", "modern")
	r.gone("Job.batch", "copy-orders")
}
