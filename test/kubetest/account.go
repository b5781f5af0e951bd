package kubetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Account is a service account and a token of it. Rights are granted to its
// name, as to any other.
type Account struct {
	// User is what RBAC and the audit log call it.
	User string
	// Kubeconfig names the file with the token, which clients read again after
	// a while, as in a pod.
	Kubeconfig string
	// TokenFile is that file.
	TokenFile string

	kube            *Kube
	namespace, name string
}

// Account creates a service account with a token.
func (k *Kube) Account(t testing.TB, namespace, name string) *Account {
	t.Helper()
	dir := t.TempDir()
	a := &Account{
		User:       "system:serviceaccount:" + namespace + ":" + name,
		Kubeconfig: filepath.Join(dir, "account.kubeconfig"), TokenFile: filepath.Join(dir, "token"),
		kube: k, namespace: namespace, name: name,
	}
	k.Apply(t, namespace, a.manifest())
	a.Renew(t)
	config := kubeconfigFor(k.URL, k.Config.CAData, &api.AuthInfo{TokenFile: a.TokenFile})
	if err := clientcmd.WriteToFile(config, a.Kubeconfig); err != nil {
		t.Fatalf("write the account's kubeconfig: %v", err)
	}
	return a
}

func (a *Account) manifest() string {
	return fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {name: %q}}", a.name)
}

// Expire ends every token of the account and returns when the API server
// refuses the one in the file, with 401; that takes up to some 10 s, as long as
// it remembers tokens that were good. The account keeps its name and rights.
func (a *Account) Expire(t testing.TB) {
	t.Helper()
	a.kube.Delete(t, "ServiceAccount", a.namespace, a.name)
	a.kube.Apply(t, a.namespace, a.manifest()) // tokens are for the one that was deleted
	WaitFor(t, "the token of "+a.User+" is refused", func() bool { return a.status(t) == http.StatusUnauthorized })
}

// Renew writes a new token to the file.
func (a *Account) Renew(t testing.TB) {
	t.Helper()
	ctx, cancel := within()
	defer cancel()
	path := fmt.Sprintf("%s/api/v1/namespaces/%s/serviceaccounts/%s/token", a.kube.URL, a.namespace, a.name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.kube.http.Do(req)
	if err != nil {
		t.Fatalf("ask for a token of %s: %v", a.User, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var issued struct{ Status struct{ Token string } }
	if err == nil {
		err = json.Unmarshal(text, &issued)
	}
	if err != nil || issued.Status.Token == "" {
		t.Fatalf("ask for a token of %s: %s, %v", a.User, resp.Status, err)
	}
	if err := os.WriteFile(a.TokenFile, []byte(issued.Status.Token), 0o600); err != nil {
		t.Fatalf("write the token: %v", err)
	}
}

// status is what the API server answers to the token in the file.
func (a *Account) status(t testing.TB) int {
	t.Helper()
	token, err := os.ReadFile(a.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := within()
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.kube.URL+"/api/v1/namespaces/"+a.namespace+"/configmaps?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := a.kube.anonymous.Do(req)
	if err != nil {
		t.Fatalf("show the token of %s: %v", a.User, err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
