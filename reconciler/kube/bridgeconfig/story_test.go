package bridgeconfig_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/bridge"
	"github.com/changeover-dev/changeover/reconciler/kube/bridgeconfig"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// name of ConfigMap and Service in the component that is shipped.
const name = "changeover-bridge"

// world is a cluster with the shipped roles, in a namespace of the test.
type world struct {
	*kubetest.Kube
	t              *testing.T
	namespace      string
	daemon, bridge *kubetest.Account
	closed         error // why nothing may be written
	client         *client.Client
}

func newWorld(t *testing.T) *world {
	w := &world{Kube: kubetest.Start(t, cluster.Options{}), t: t}
	w.namespace = w.Namespace(t)
	w.daemon, w.bridge = w.Account(t, w.namespace, "changeover"), w.Account(t, w.namespace, name)
	roles, err := os.ReadFile("../../../examples/install/components/bridge-replicas/roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.Apply(t, w.namespace, strings.ReplaceAll(string(roles), "changeover-system", w.namespace))
	config, err := client.Load(w.daemon.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	if w.client, err = client.New(client.Options{Config: config, Fence: func() error { return w.closed }}); err != nil {
		t.Fatal(err)
	}
	return w
}

// process is a running bridge with the bridges' account.
type process struct {
	traffic, admin string
	end            func()
}

func (w *world) start(binary, cache string) *process {
	w.t.Helper()
	cmd := exec.Command(binary, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config-map", w.namespace+"/"+name,
		"--kubeconfig", w.bridge.Kubeconfig, "--config-cache", cache)
	stderr, out, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = out
	ended, err := child.Start(cmd, syscall.SIGKILL)
	_ = out.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{end: sync.OnceFunc(func() { _ = cmd.Process.Kill(); <-ended; _ = stderr.Close() })}
	w.t.Cleanup(p.end)
	listening := make(chan struct{})
	go func() {
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			var line struct{ Msg, Traffic, Admin string }
			if _ = json.Unmarshal(sc.Bytes(), &line); line.Msg == "listening" {
				p.traffic, p.admin = line.Traffic, line.Admin
				close(listening)
			}
		}
	}()
	select {
	case <-listening:
	case <-ended:
		w.t.Fatal("the bridge ended at once")
	case <-time.After(time.Minute):
		w.t.Fatal("the bridge does not listen")
	}
	return p
}

// side is who answers a request to a bridge.
func (p *process) side(t *testing.T) string {
	t.Helper()
	return get(t, "http://"+p.traffic+"/")
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// addresses of the endpoints, which an API server does not take from the
// loopback network; each leads to a bridge of this test.
type addresses struct {
	mu   sync.Mutex
	real map[string]string
}

func (a *addresses) set(address string, p *process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.real == nil {
		a.real = map[string]string{}
	}
	a.real[address] = p.admin
}

func (a *addresses) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		a.mu.Lock()
		to := a.real[addr]
		a.mu.Unlock()
		if to == "" {
			return nil, fmt.Errorf("nobody is at %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}}}
}

// endpoints makes the slice of the Service, with one endpoint for each word:
// ready or not.
func (w *world) endpoints(ready ...bool) {
	w.t.Helper()
	text := "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{name: admin, port: 8081}], metadata: {name: bridges, labels: {kubernetes.io/service-name: " + name + "}}, endpoints: ["
	for i, r := range ready {
		text += fmt.Sprintf("{addresses: [192.0.2.%d], conditions: {ready: %t}},", i+1, r)
	}
	w.Apply(w.t, w.namespace, text+"]}")
}

func planOf(legacy, modern string) *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: "so", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: legacy}, Modern: plan.Backend{URL: modern}},
			Phases: []plan.Phase{
				{Name: "setup", Routes: []plan.Route{{To: plan.ToLegacy}}},
				{Name: "sunset", Routes: []plan.Route{{To: plan.ToModern}}},
			},
		},
	}
}

func markOf(p *plan.Plan, stop string) reconciler.Mark {
	return reconciler.Mark{Key: p.Key(), Stop: plan.Position{Phase: stop}, Since: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Revision: "0123abc"}
}

// TestBridgesFollowAConfigMap goes there and back over a real API server, with
// the shipped roles and real bridges.
func TestBridgesFollowAConfigMap(t *testing.T) {
	w := newWorld(t)
	t.Run("stores", w.stores)
	t.Run("nobody may read another one", w.onlyThat)
	w.Delete(t, "ConfigMap", w.namespace, name)

	backend := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	p := planOf(backend("legacy"), backend("modern"))
	dir := t.TempDir()
	binary := filepath.Join(dir, "changeover-bridge")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/changeover-dev/changeover/cmd/changeover-bridge").CombinedOutput(); err != nil {
		t.Fatalf("build the bridge: %v\n%s", err, out)
	}
	cache := filepath.Join(dir, "one.json")
	one, two := w.start(binary, cache), w.start(binary, filepath.Join(dir, "two.json"))
	at := new(addresses)
	at.set("192.0.2.1:8081", one)
	at.set("192.0.2.2:8081", two)
	gateway := func(timeout time.Duration) *bridge.Gateway {
		g, err := bridge.New(bridge.Options{
			Store: bridgeconfig.NewConfigMap(w.client, w.namespace, name), Replicas: bridgeconfig.NewService(w.client, w.namespace, name, 0),
			HTTP: at.client(), Timeout: timeout,
		})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	patient, hasty := gateway(time.Minute), gateway(3*time.Second)

	if err := hasty.Apply(t.Context(), p, markOf(p, "setup")); !errors.Is(err, bridge.ErrNotObserved) || !strings.Contains(err.Error(), "no ready endpoint") {
		t.Fatalf("error %v, want that nobody is ready", err)
	}
	w.endpoints(true, true, false)
	for i, stop := range []string{"setup", "sunset", "setup", "sunset"} {
		began := time.Now()
		if err := patient.Apply(t.Context(), p, markOf(p, stop)); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s on both after %s", stop, time.Since(began).Round(time.Millisecond))
		want := []string{"legacy", "modern"}[i%2]
		if a, b := one.side(t), two.side(t); a != want || b != want {
			t.Errorf("at %s the bridges answer %q and %q", stop, a, b)
		}
		s, err := patient.Observe(t.Context(), p, plan.Position{Phase: stop})
		if m := markOf(p, stop); err != nil || !s.Serving || s.Mark == nil || s.Mark.Stop != m.Stop || !s.Mark.Since.Equal(m.Since) || s.Mark.Revision != m.Revision {
			t.Errorf("state %+v, error %v", s, err)
		}
	}

	// One is killed and still counted as ready: it is named, and the other goes back.
	two.end()
	if err := hasty.Apply(t.Context(), p, markOf(p, "setup")); !errors.Is(err, bridge.ErrNotObserved) || !strings.Contains(err.Error(), "192.0.2.2:8081 cannot be reached") || strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("error %v, want the dead one alone", err)
	}
	if got := one.side(t); got != "legacy" {
		t.Errorf("the other one answers %q", got)
	}
	w.endpoints(true, false, false)
	if err := patient.Apply(t.Context(), p, markOf(p, "sunset")); err != nil {
		t.Errorf("one that is not ready any more is asked: %v", err)
	}

	// Without an API server everything stays, also over a restart.
	if err := w.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	health := func(p *process) string { return get(t, "http://"+p.admin+"/healthz") }
	kubetest.WaitFor(t, "the bridge says that it follows nothing", func() bool { return strings.Contains(health(one), "cannot be reached") })
	if got := one.side(t); got != "modern" || !strings.Contains(health(one), `"degraded"`) {
		t.Errorf("without an API server it answers %q and is %s", got, health(one))
	}
	one.end()
	one = w.start(binary, cache)
	at.set("192.0.2.1:8081", one)
	if got := one.side(t); got != "modern" || !strings.Contains(health(one), `"degraded"`) {
		t.Errorf("after a restart it answers %q and is %s", got, health(one))
	}
	if s, err := patient.Observe(t.Context(), p, plan.Position{Phase: "sunset"}); err == nil || !strings.Contains(err.Error(), "ConfigMap") {
		t.Errorf("state %+v, error %v, want that the ConfigMap cannot be read", s, err)
	}
	if err := w.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := patient.Apply(t.Context(), p, markOf(p, "setup")); err != nil {
		t.Fatal(err)
	}
	if got := one.side(t); got != "legacy" || !strings.Contains(health(one), `"ok"`) {
		t.Errorf("with the API server it answers %q and is %s", got, health(one))
	}
}

// stores does to each kind of store what a gateway does.
func (w *world) stores(t *testing.T) {
	m := bridgeconfig.NewConfigMap(w.client, w.namespace, name)
	for kind, s := range map[string]bridge.Store{"file": bridge.File(filepath.Join(t.TempDir(), "bridge.json")), "ConfigMap": m} {
		holds := func(want string, exists bool) {
			t.Helper()
			got, err := s.Read(t.Context())
			if err != nil || string(got) != want || (got != nil) != exists {
				t.Errorf("%s holds %q (%t), error %v; want %q (%t)", kind, got, got != nil, err, want, exists)
			}
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		holds("", false)
		do(s.Write(t.Context(), []byte("one")))
		holds("one", true)
		do(s.Write(t.Context(), []byte("two\n")))
		holds("two\n", true)
		do(s.Write(t.Context(), []byte("")))
		holds("", true)
		do(s.Remove(t.Context()))
		holds("", false)
		do(s.Write(t.Context(), []byte("three")))
		holds("three", true)
		if !strings.HasPrefix(s.String(), "the bridge's ") {
			t.Errorf("%s calls itself %q", kind, s)
		}
	}

	// What somebody else has in it stays, what he has done to the config does not.
	w.Kubectl(t, "patch", "configmap", name, "-n", w.namespace, "--type=merge", "-p", `{"data": {"bridge.json": "edited", "note": "mine"}}`)
	if err := m.Write(t.Context(), []byte("four")); err != nil {
		t.Error(err)
	}
	if got := w.Kubectl(t, "get", "configmap", name, "-n", w.namespace, "-o", `jsonpath={.data.bridge\.json} {.data.note}`); got != "four mine" {
		t.Errorf("the ConfigMap holds %q", got)
	}
	if err := m.Write(t.Context(), make([]byte, 1<<20+1)); err == nil || !strings.Contains(err.Error(), "a ConfigMap holds at most 1048576") {
		t.Errorf("what is too large: %v", err)
	}
	w.closed = errors.New("another daemon leads")
	if err := m.Write(t.Context(), []byte("five")); !errors.Is(err, w.closed) {
		t.Errorf("behind a closed fence: %v", err)
	}
	w.closed = nil
	if got, err := m.Read(t.Context()); err != nil || string(got) != "four" {
		t.Errorf("it holds %q, error %v", got, err)
	}
}

// onlyThat tries what the shipped roles do not give.
func (w *world) onlyThat(t *testing.T) {
	other := bridgeconfig.NewConfigMap(w.client, w.namespace, "other")
	if err := other.Write(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), "permission is missing") {
		t.Errorf("the daemon writes another ConfigMap: %v", err)
	}
	if _, err := other.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "permission is missing") {
		t.Errorf("the daemon reads another ConfigMap: %v", err)
	}
	for _, c := range []string{"list configmaps", "watch configmaps", "get secrets", "patch configmaps/" + name, "get configmaps/" + name} {
		verb, what, _ := strings.Cut(c, " ")
		if out, _ := w.RunKubectl("", "auth", "can-i", verb, what, "-n", w.namespace, "--as", w.bridge.User); strings.TrimSpace(out) != "no" {
			t.Errorf("may the bridge %s? %s", c, out)
		}
	}
}
