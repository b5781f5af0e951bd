package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// client is what a user of a kubeconfig may do.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
}

// as reads a kubeconfig the way that everybody's client does.
func as(t *testing.T, kubeconfig string, err error) client {
	t.Helper()
	must(t, err)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(t, err)
	config.Timeout = 30 * time.Second
	h, err := rest.HTTPClientFor(config)
	must(t, err)
	return client{t, h, config.Host}
}

func admin(t *testing.T, c *Cluster) client {
	t.Helper()
	return as(t, c.Kubeconfig, nil)
}

// try asks once.
func (c client) try(method, path, body string) (code int, answer string, err error) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	must(c.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// ask asks once and wants this code.
func (c client) ask(want int, method, path, body string) (answer string) {
	c.t.Helper()
	code, answer, err := c.try(method, path, body)
	must(c.t, err)
	if code != want {
		c.t.Fatalf("%s %s: got %d, want %d\n%s", method, path, code, want, answer)
	}
	return answer
}

func (c client) get(path string, into any) {
	c.t.Helper()
	must(c.t, json.Unmarshal([]byte(c.ask(200, "GET", path, "")), into))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that needs controllers.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}

func deployment(name, selector string) string {
	return fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": %q}, "spec": {
  "replicas": 2, "selector": {"matchLabels": {"app": %[1]q}},
  "template": {"metadata": {"labels": {"app": %[1]q}}, "spec": {"nodeSelector": {%[2]s}, "containers": [{"name": "it", "image": "any"}]}}}}`, name, selector)
}

const deployments = "/apis/apps/v1/namespaces/default/deployments"

type deploymentStatus struct {
	Status struct {
		AvailableReplicas int
		Conditions        []condition
	}
}

func (c client) available(name string) bool {
	c.t.Helper()
	var d deploymentStatus
	c.get(deployments+"/"+name, &d)
	return holds(d.Status.Conditions, "Available") && d.Status.AvailableReplicas == 2
}

func TestControlPlane(t *testing.T) {
	start := time.Now()
	c := Start(t, Options{GatewayAPI: Experimental, Audit: true, Tokens: []Token{{Token: "some-token", User: "somebody", Groups: []string{"guests", "visitors"}}}})
	t.Logf("ready after %s", time.Since(start).Round(10*time.Millisecond))

	for _, s := range []struct {
		name string
		test func(*testing.T, *Cluster)
	}{
		{"it is ready, and the version that is pinned", isReady},
		{"a Deployment becomes available and a Job completes", podsRun},
		{"a Deployment that fits no node never becomes available", fitsNoNode},
		{"RBAC decides what a user of a token may do", tokens},
		{"RBAC decides what a user of a certificate may do", certificates},
		{"a service account gets a token", serviceAccount},
		{"an HTTPRoute is accepted, and a bad one refused by a rule", routes},
		{"a namespace is emptied and goes away", namespaceGoes},
		{"the audit log has every request and no body", audited},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.test(t, c)
		})
	}
}

func isReady(t *testing.T, c *Cluster) {
	a := admin(t, c)
	if got := a.ask(200, "GET", "/readyz", ""); got != "ok" {
		t.Errorf("readyz: %s", got)
	}
	var version struct{ GitVersion string }
	a.get("/version", &version)
	if version.GitVersion != "v1.36.1" {
		t.Errorf("got version %q", version.GitVersion)
	}
	var nodes struct {
		Items []struct {
			Status struct {
				Conditions  []condition
				Allocatable map[string]string
			}
		}
	}
	a.get("/api/v1/nodes", &nodes)
	if n := nodes.Items; len(n) != 1 || !holds(n[0].Status.Conditions, "Ready") || n[0].Status.Allocatable["cpu"] == "" {
		t.Errorf("got nodes %+v, want one that is ready and has room", n)
	}
}

func podsRun(t *testing.T, c *Cluster) {
	a := admin(t, c)
	a.ask(201, "POST", deployments, deployment("runs", ""))
	const jobs = "/apis/batch/v1/namespaces/default/jobs"
	a.ask(201, "POST", jobs, `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {
  "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "it", "image": "any"}]}}}}`)
	eventually(t, "the Deployment is available", func() bool { return a.available("runs") })
	eventually(t, "the Job is complete", func() bool {
		var j struct {
			Status struct{ Conditions []condition }
		}
		a.get(jobs+"/once", &j)
		return holds(j.Status.Conditions, "Complete")
	})
}

func fitsNoNode(t *testing.T, c *Cluster) {
	a := admin(t, c)
	a.ask(201, "POST", deployments, deployment("waits", `"no": "node"`))
	eventually(t, "the scheduler has refused both pods", func() bool {
		var pods struct {
			Items []struct {
				Status struct {
					Conditions []struct{ Type, Status, Reason string }
				}
			}
		}
		a.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dwaits", &pods)
		refused := 0
		for _, p := range pods.Items {
			for _, c := range p.Status.Conditions {
				if c.Type == "PodScheduled" && c.Status == "False" && c.Reason == "Unschedulable" {
					refused++
				}
			}
		}
		return refused == 2
	})
	// A Deployment that fits is available long before this.
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if a.available("waits") {
			t.Fatal("it became available")
		}
	}
}

const configMaps = "/api/v1/namespaces/default/configmaps"

// grant lets a user or group read ConfigMaps in the default namespace.
func grant(a client, name, kind, subject string) {
	a.t.Helper()
	const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
	a.ask(201, "POST", rbac+"roles", fmt.Sprintf(`{"metadata": {"name": %q}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]}`, name))
	a.ask(201, "POST", rbac+"rolebindings", fmt.Sprintf(`{"metadata": {"name": %q},
  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": %[1]q},
  "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": %q, "name": %q}]}`, name, kind, subject))
}

func isAllowed(c client) bool {
	c.t.Helper()
	code, _, err := c.try("GET", configMaps, "")
	must(c.t, err)
	return code == 200
}

func tokens(t *testing.T, c *Cluster) {
	path, err := c.TokenKubeconfig("some-token")
	somebody := as(t, path, err)
	if got := somebody.ask(403, "GET", configMaps, ""); !strings.Contains(got, `User \"somebody\" cannot list resource \"configmaps\"`) {
		t.Errorf("the refusal does not say who may not do what: %s", got)
	}
	grant(admin(t, c), "tokens", "Group", "visitors")
	eventually(t, "the user is allowed by its group", func() bool { return isAllowed(somebody) })
	somebody.ask(403, "POST", configMaps, `{"metadata": {"name": "mine"}}`)

	path, err = c.TokenKubeconfig("nobodys-token")
	as(t, path, err).ask(401, "GET", configMaps, "")
}

func certificates(t *testing.T, c *Cluster) {
	path, err := c.UserKubeconfig("anna", "operators", "readers")
	anna := as(t, path, err)
	anna.ask(403, "GET", configMaps, "")
	grant(admin(t, c), "certificates", "Group", "readers")
	eventually(t, "the user is allowed by her group", func() bool { return isAllowed(anna) })
	path, err = c.UserKubeconfig("bert", "operators")
	as(t, path, err).ask(403, "GET", configMaps, "")
}

func serviceAccount(t *testing.T, c *Cluster) {
	a := admin(t, c)
	const accounts = "/api/v1/namespaces/default/serviceaccounts"
	a.ask(201, "POST", accounts, `{"metadata": {"name": "worker"}}`)
	var issued struct{ Status struct{ Token string } }
	must(t, json.Unmarshal([]byte(a.ask(201, "POST", accounts+"/worker/token", `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}`)), &issued))
	path, err := c.TokenKubeconfig(issued.Status.Token)
	who := as(t, path, err).ask(201, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`)
	if !strings.Contains(who, `"system:serviceaccount:default:worker"`) {
		t.Errorf("got %s", who)
	}
}

const httpRoutes = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"

func routes(t *testing.T, c *Cluster) {
	a := admin(t, c)
	route := func(name, rule string) string {
		return fmt.Sprintf(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": %q}, "spec": {
  "parentRefs": [{"name": "gw"}], "rules": [%s]}}`, name, rule)
	}
	a.ask(201, "POST", httpRoutes, route("split", `{"backendRefs": [{"name": "legacy", "port": 80, "weight": 90}, {"name": "modern", "port": 80, "weight": 10}]}`))
	const rule = "RequestRedirect filter must not be used together with backendRefs"
	got := a.ask(422, "POST", httpRoutes, route("both", `{"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}}], "backendRefs": [{"name": "legacy", "port": 80}]}`))
	if !strings.Contains(got, rule) {
		t.Errorf("it is not refused by the rule %q: %s", rule, got)
	}
	a.ask(404, "GET", httpRoutes+"/both", "")
	a.ask(200, "GET", "/apis/gateway.networking.x-k8s.io/v1alpha1/xbackendtrafficpolicies", "")
}

func namespaceGoes(t *testing.T, c *Cluster) {
	a := admin(t, c)
	a.ask(201, "POST", "/api/v1/namespaces", `{"metadata": {"name": "short"}}`)
	a.ask(201, "POST", "/apis/apps/v1/namespaces/short/deployments", deployment("left", ""))
	a.ask(200, "DELETE", "/api/v1/namespaces/short", "")
	eventually(t, "the namespace is gone", func() bool {
		code, _, err := a.try("GET", "/api/v1/namespaces/short", "")
		must(t, err)
		return code == 404
	})
}

func audited(t *testing.T, c *Cluster) {
	path, err := c.UserKubeconfig("auditor", "system:masters")
	a := as(t, path, err)
	a.ask(201, "POST", "/api/v1/namespaces/default/secrets", `{"metadata": {"name": "hidden"}, "stringData": {"password": "open-sesame"}}`)
	a.ask(404, "GET", configMaps+"/none", "")
	text, err := os.ReadFile(c.AuditLog)
	must(t, err)
	var verbs []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var e struct {
			Verb, UserAgent string
			User            struct{ Username string }
			ResponseStatus  struct{ Code int }
		}
		must(t, json.Unmarshal([]byte(line), &e))
		if e.User.Username == "auditor" {
			verbs = append(verbs, fmt.Sprint(e.Verb, " ", e.ResponseStatus.Code))
		}
	}
	if got := strings.Join(verbs, ", "); got != "create 201, get 404" {
		t.Errorf("got %s", got)
	}
	if strings.Contains(string(text), "open-sesame") || strings.Contains(string(text), "b3Blbi1zZXNhbWU=") {
		t.Error("it has what is in a Secret")
	}
}

func TestAPIServerComesBackWithItsObjects(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Tokens: []Token{{Token: "old-token", User: "somebody"}}})
	a, url := admin(t, c), c.URL
	path, err := c.TokenKubeconfig("old-token")
	old := as(t, path, err)
	old.ask(403, "GET", configMaps, "")
	for i, end := range []func() error{func() error { c.KillAPIServer(); return nil }, c.StopAPIServer} {
		name := fmt.Sprintf("kept-%d", i)
		a.ask(201, "POST", configMaps, fmt.Sprintf(`{"metadata": {"name": %q}, "data": {"a": "b"}}`, name))
		must(t, end())
		if code, answer, err := a.try("GET", configMaps, ""); err == nil {
			t.Fatalf("it still answers: %d %s", code, answer)
		}
		must(t, c.Ended()) // it was ended, and did not end by itself
		must(t, c.SetTokens(Token{Token: "new-token", User: "somebody"}))
		start := time.Now()
		must(t, c.StartAPIServer(t.Context()))
		t.Logf("ready again after %s", time.Since(start).Round(10*time.Millisecond))
		var kept struct{ Data map[string]string }
		a.get(configMaps+"/"+name, &kept)
		if kept.Data["a"] != "b" || c.URL != url {
			t.Errorf("got data %v at %s, want that of before at %s", kept.Data, c.URL, url)
		}
		old.ask(401, "GET", configMaps, "")
		a.ask(201, "POST", deployments, deployment(name, ""))
		eventually(t, "controllers work again", func() bool { return a.available(name) })
	}
	path, err = c.TokenKubeconfig("new-token")
	as(t, path, err).ask(403, "GET", configMaps, "")
}

func TestTwoClustersInParallelKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	type started struct {
		c   *Cluster
		err error
	}
	starts := make(chan started)
	for range 2 {
		go func() {
			c, err := New(t.Context(), Options{GatewayAPI: Standard})
			starts <- started{c, err}
		}()
	}
	var both []*Cluster
	for range 2 {
		s := <-starts
		if s.err != nil {
			t.Error(s.err)
			continue
		}
		t.Cleanup(s.c.Stop)
		both = append(both, s.c)
	}
	if len(both) != 2 {
		t.Fatal("want two clusters")
	}
	for i, c := range both {
		admin(t, c).ask(201, "POST", configMaps, fmt.Sprintf(`{"metadata": {"name": "of-%d"}}`, i))
		admin(t, c).ask(200, "GET", httpRoutes, "")
		// Only the experimental channel has it.
		admin(t, c).ask(404, "GET", "/apis/gateway.networking.x-k8s.io/v1alpha1/xbackendtrafficpolicies", "")
	}
	for i, c := range both {
		admin(t, c).ask(404, "GET", fmt.Sprintf("%s/of-%d", configMaps, 1-i), "")
		// The other's certificates are worth nothing.
		if _, _, err := (client{t, admin(t, both[1-i]).http, c.URL}).try("GET", configMaps, ""); err == nil {
			t.Error("a client of the other cluster trusts this one")
		}
	}
	both[0].Stop()
	both[0].Stop()
	if _, err := os.Stat(both[0].Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stopped cluster left its folder: %v", err)
	}
	if got := admin(t, both[1]).ask(200, "GET", "/readyz", ""); got != "ok" {
		t.Errorf("the other one: %s", got)
	}
}
