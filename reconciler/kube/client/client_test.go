package client_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestAKindIsFoundOnceItIsServed(t *testing.T) {
	k := kubetest.Shared(t)
	cfg, err := client.Load(k.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c, err := client.New(client.Options{Config: cfg, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	late := schema.GroupVersionKind{Group: "late.example.com", Version: "v1", Kind: "Thing"}
	if _, err := c.Mapping(late); !errors.Is(err, client.ErrNoKind) {
		t.Fatalf("a kind that is not served: %v", err)
	}
	k.Apply(t, "", strings.ReplaceAll(things, "explain.", "late."))
	if _, err := c.Mapping(late); !errors.Is(err, client.ErrNoKind) {
		t.Errorf("the server was asked again within two seconds: %v", err)
	}
	now = now.Add(3 * time.Second)
	m, err := c.Mapping(late)
	if err != nil || m.Resource.Resource != "things" {
		t.Fatalf("after two seconds: %v %v", m, err)
	}
	if _, err := c.Mapping(schema.GroupVersionKind{Group: "late.example.com", Kind: "Thing"}); err != nil {
		t.Errorf("without a version: %v", err)
	}
	if _, err := c.Mapping(schema.GroupVersionKind{Group: "late.example.com", Version: "v2", Kind: "Thing"}); !errors.Is(err, client.ErrNoKind) {
		t.Errorf("another version: %v", err)
	}
}

func TestForgottenKindsAreReadAnewAtOnce(t *testing.T) {
	k := kubetest.Shared(t)
	c := connect(t, k.Kubeconfig)
	soon := schema.GroupVersionKind{Group: "soon.example.com", Version: "v1", Kind: "Thing"}
	if _, err := c.Mapping(soon); !errors.Is(err, client.ErrNoKind) {
		t.Fatalf("a kind that is not served: %v", err)
	}
	k.Apply(t, "", strings.ReplaceAll(things, "explain.", "soon."))
	c.Forget()
	if _, err := c.Mapping(soon); err != nil {
		t.Error(err)
	}
}

func TestAnAccountIsImpersonated(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	c := connect(t, k.Kubeconfig)
	p := &plan.Plan{Metadata: plan.Metadata{Namespace: ns, Name: "shop"}}
	if own, err := c.ForPlan(p); err != nil || own != c || own.Account() != "" {
		t.Errorf("a plan without an account: %v %v", own, err)
	}
	p.Spec.ServiceAccountName = "reader"
	a, err := c.ForPlan(p)
	if err != nil || a.Account() != "system:serviceaccount:"+ns+":reader" {
		t.Fatalf("%v %v", a, err)
	}
	if b, _ := c.As(ns, "reader"); b != a {
		t.Error("an account has two clients")
	}
	m, err := a.Mapping(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Resource(m, ns).List(t.Context(), metav1.ListOptions{})
	says(t, client.Explain(err), `"system:serviceaccount:`+ns+`:reader" cannot list resource "configmaps"`)
	if _, err := a.Metadata().Resource(m.Resource).Namespace(ns).List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("the metadata are read as someone else")
	}
}

func TestAKindWithoutNamespacesHasNone(t *testing.T) {
	k := kubetest.Shared(t)
	c := connect(t, k.Kubeconfig)
	m, err := c.Mapping(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resource(m, "elsewhere").Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAMissingKubeconfigIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere")
	if _, err := client.Load(path, ""); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if _, err := client.InCluster(); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("%v", err)
	}
}
