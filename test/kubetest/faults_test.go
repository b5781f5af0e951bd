package kubetest

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/test/cluster"
)

func TestAWebhookDeniesAndHangsInItsNamespaceAlone(t *testing.T) {
	k := Shared(t)
	ns, other := k.Namespace(t), k.Namespace(t)
	admin := user(t, k.Kubeconfig, "admin")
	// The controller manager puts one into each new namespace, and the calls are counted.
	WaitFor(t, "the cluster's own ConfigMap", func() bool { return exists(t, k, ns, "kube-root-ca.crt") })
	w := k.Webhook(t, WebhookOptions{Namespace: ns, Resources: []string{"configmaps"}})
	if w.Calls() != 0 {
		t.Errorf("it was called %d times before anybody asked", w.Calls())
	}
	must(t, create(t, admin, ns, "allowed"))
	if w.Calls() != 1 {
		t.Errorf("it was called %d times", w.Calls())
	}
	w.Deny("not on a Friday")
	if err := create(t, admin, ns, "denied"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "denied the request: not on a Friday") {
		t.Errorf("got %v", err)
	}
	k.Apply(t, ns, "{apiVersion: v1, kind: Service, metadata: {name: of-another-kind}, spec: {ports: [{port: 80}]}}")
	must(t, create(t, admin, other, "elsewhere"))
	w.Hang()
	start := time.Now()
	if err := create(t, admin, ns, "hung"); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed calling webhook") || !strings.Contains(err.Error(), "context deadline exceeded") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d < 900*time.Millisecond || d > 10*time.Second {
		t.Errorf("it hung for %s, want one second", d)
	}
	w.Allow()
	must(t, create(t, admin, ns, "hung"))
}

func TestAWebhookGoesWithItsTest(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	t.Run("one", func(t *testing.T) { k.Webhook(t, WebhookOptions{Namespace: ns}).Deny("no") })
	if out := k.Kubectl(t, "get", "validatingwebhookconfigurations", "--output=name"); strings.Contains(out, ns) {
		t.Errorf("it left %s", out)
	}
	WaitFor(t, "objects are taken again", func() bool { return create(t, user(t, k.Kubeconfig, "admin"), ns, "after") == nil })
}

// exists asks directly.
func exists(t *testing.T, k *Kube, ns, name string) bool {
	t.Helper()
	return k.Lookup(t, "ConfigMap", ns, name) != nil
}

func TestAProxyPassesOnWhatNoFaultStrikes(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	p := k.Proxy(t, "")
	client := user(t, p.Kubeconfig, "through")
	w, err := client.Resource(configMaps).Namespace(ns).Watch(t.Context(), metav1.ListOptions{})
	must(t, err)
	defer w.Stop()
	audit := k.Audit(t)
	must(t, create(t, client, ns, "a"))
	select {
	case e := <-w.ResultChan():
		if e.Type != "ADDED" {
			t.Errorf("the watch got %v", e)
		}
	case <-time.After(20 * time.Second):
		t.Error("the watch got nothing")
	}
	if got := audit.Requests(t).By("through").Verb("create"); len(got) != 1 || got[0].User != "admin" {
		t.Errorf("the API server saw %v", got)
	}
	// The user's own rights, and impersonation.
	path, err := k.UserKubeconfig("nobody")
	must(t, err)
	if err := create(t, user(t, k.Proxy(t, path).Kubeconfig, "x"), ns, "b"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "nobody"`) {
		t.Errorf("got %v", err)
	}
	config, err := ReadKubeconfig(p.Kubeconfig)
	must(t, err)
	config.Impersonate.UserName = "somebody"
	as, err := dynamic.NewForConfig(config)
	must(t, err)
	if err := create(t, as, ns, "b"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "somebody"`) {
		t.Errorf("got %v", err)
	}
	if out, err := k.RunKubectl("", "--kubeconfig="+p.Kubeconfig, "get", "configmap/a", "--namespace="+ns, "--output=name"); err != nil || out != "configmap/a\n" {
		t.Errorf("kubectl: %q, %v", out, err)
	}
}

func TestAProxyAnswersInPlaceOfTheAPIServer(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	p := k.Proxy(t, "")
	client := user(t, p.Kubeconfig, "through")
	posts := func(f Fault) Fault {
		f.Method, f.Path = http.MethodPost, "/namespaces/"+ns+"/configmaps"
		return f
	}
	for name, c := range map[string]struct {
		fault Fault
		want  func(error) bool
		there bool // the object, after the request that was struck
	}{
		"unauthorized": {Fault{Code: 401}, apierrors.IsUnauthorized, false},
		"conflict":     {Fault{Code: 409}, apierrors.IsConflict, false},
		"error":        {Fault{Code: 500}, apierrors.IsInternalError, false},
		"reset":        {Fault{}, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }, false},
		"lost":         {Fault{AnswerLost: true}, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }, true},
		"lost-500":     {Fault{AnswerLost: true, Code: 500}, apierrors.IsInternalError, true},
		"matched":      {Fault{Code: 409, Match: func(r *http.Request) bool { return r.URL.Query().Has("fieldManager") }}, func(err error) bool { return err == nil }, true},
	} {
		i := p.Inject(posts(c.fault))
		err := create(t, client, ns, name)
		if !c.want(err) {
			t.Errorf("%s: got %v", name, err)
		}
		if want := map[bool]int{true: 0, false: 1}[name == "matched"]; i.Struck() != want {
			t.Errorf("%s: struck %d, want %d", name, i.Struck(), want)
		}
		if exists(t, k, ns, name) != c.there {
			t.Errorf("%s: the object is there: %v, want %v", name, !c.there, c.there)
		}
		i.Lift()
		i.Lift()
		if err := create(t, client, ns, name+"-again"); err != nil {
			t.Errorf("%s, lifted: %v", name, err)
		}
	}
}

func TestAProxyThrottlesAndClientsComeBack(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	p := k.Proxy(t, "")
	client := user(t, p.Kubeconfig, "through")
	i := p.Inject(Fault{Method: http.MethodPost, Code: 429, RetryAfter: time.Second, Times: 2})
	start := time.Now()
	must(t, create(t, client, ns, "throttled")) // client-go waits and asks again
	if d := time.Since(start); i.Struck() != 2 || d < 2*time.Second {
		t.Errorf("struck %d times, and done after %s", i.Struck(), d)
	}
	p.Inject(Fault{Method: http.MethodPost, Delay: 300 * time.Millisecond, Code: 200, Times: 1})
	start = time.Now()
	must(t, create(t, client, ns, "late"))
	if d := time.Since(start); d < 300*time.Millisecond {
		t.Errorf("done after %s", d)
	}
	start = time.Now()
	must(t, create(t, client, ns, "fast"))
	if d := time.Since(start); d > 250*time.Millisecond {
		t.Logf("the one after took %s", d)
	}
}

func TestAnAccountsTokenEndsAndIsRenewed(t *testing.T) {
	k := Shared(t)
	ns := k.Namespace(t)
	a := k.Account(t, ns, "worker")
	client := user(t, a.Kubeconfig, "worker")
	if err := create(t, client, ns, "a"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "`+a.User+`"`) {
		t.Errorf("without rights: %v", err)
	}
	if err := create(t, user(t, k.Proxy(t, a.Kubeconfig).Kubeconfig, "worker"), ns, "a"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "`+a.User+`"`) {
		t.Errorf("without rights, through a proxy: %v", err)
	}
	k.Apply(t, ns, `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: worker}, rules: [{apiGroups: [""], resources: [configmaps], verbs: [create]}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: worker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: worker}
subjects: [{kind: ServiceAccount, name: worker, namespace: `+ns+`}]
`)
	WaitFor(t, "the rights are known", func() bool { return create(t, client, ns, "b") == nil })
	start := time.Now()
	a.Expire(t)
	t.Logf("refused after %s", time.Since(start).Round(time.Millisecond))
	if err := create(t, client, ns, "c"); !apierrors.IsUnauthorized(err) {
		t.Errorf("with a token that has ended: %v", err)
	}
	a.Renew(t)
	// A new client, as one that runs reads the file again only after a while.
	must(t, create(t, user(t, a.Kubeconfig, "worker"), ns, "c"))
}

func TestATestMayHaveAClusterOfItsOwnAndKillIt(t *testing.T) {
	t.Parallel()
	k := Start(t, cluster.Options{})
	ns := k.Namespace(t)
	p := k.Proxy(t, "")
	client := user(t, p.Kubeconfig, "through")
	must(t, create(t, client, ns, "before"))
	k.KillAPIServer()
	if err := create(t, client, ns, "meanwhile"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	must(t, k.StartAPIServer(t.Context()))
	WaitFor(t, "it works again", func() bool { return create(t, client, ns, "after") == nil })
	if !exists(t, k, ns, "before") || exists(t, k, ns, "meanwhile") {
		t.Error("its data are others")
	}
}
