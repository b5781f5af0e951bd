package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// TestTheGatewaysRouteAlike gives plans to a real nginx and to the real bridge
// and asks both the same: they must send a request to the same side, or answer
// it with the same status, headers and body, or both refuse it. Shares between
// 0 and 100 % are of other callers in each by design; there, callers must stay
// on modern in each as the share rises.
func TestTheGatewaysRouteAlike(t *testing.T) {
	t.Parallel()
	w := startPair(t)
	seed := uint64(1)
	if accept() {
		seed = uint64(time.Now().UnixNano())
	}
	plans := count(12, 400)
	outcomes := map[string]int{}
	for i := range plans {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(i))), repeat: w.firstCounts}
		p := w.plan(t, g)
		was := map[string]bool{} // gateway and request that modern served
		reqs := g.requests(p, 100)
		for _, stop := range p.Itinerary() {
			w.apply(t, p, stop)
			for _, r := range reqs {
				n, b := w.nginx.ask(t, r), w.bridge.ask(t, r)
				if n.kind() == "refused" && n.status == 400 && r.nginxMayRefuse(p) {
					outcomes["refused by nginx alone"]++
					continue
				}
				outcomes[n.kind()]++
				d := differ(r, n, b, isSplit(p, stop, n, b) && !r.forces(p))
				if p.Spec.Override != nil && n.force+b.force != "" {
					d = "a backend got the header that chooses a side"
				}
				if d != "" {
					t.Errorf("seed %d, plan %d at %s: %s\n  %.500q\n  nginx:  %v\n  bridge: %v\n  routes: %s", seed, i, stop, d, r.raw(), n, b, routesOf(p, stop))
				}
				for name, a := range map[string]answer{"nginx": n, "bridge": b} {
					key := name + r.raw()
					if was[key] && a.side != "modern" {
						t.Errorf("seed %d, plan %d: %s took %.300q from modern as the share rose to %s", seed, i, name, r.raw(), stop)
					}
					was[key] = r.tenant && a.side == "modern"
				}
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("%d plans with seed %d: %v", plans, seed, outcomes)
	for _, kind := range []string{"legacy", "modern", "respond", "refused"} {
		if outcomes[kind] < plans {
			t.Errorf("only %d requests ended in %q: the test proved little", outcomes[kind], kind)
		}
	}
}

// pair is the two gateways before the same two backends.
type pair struct {
	nginx, bridge     *wire
	legacy, modern    string
	toNGINX, toBridge reconciler.Traffic
	// firstCounts: of a repeated header nginx takes the first, as before 1.23.
	firstCounts bool
}

// echo says what a backend was asked for.
func echo(t *testing.T, side string) string {
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got-Target", r.RequestURI)
		w.Header().Set("X-Got-Headers", strings.Join([]string{r.Host, r.Header.Get("X-Beta"), r.Header.Get("X-Via"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto")}, "|"))
		w.Header().Set("X-Got-Force", strings.Join(r.Header.Values("X-Force"), "|"))
		fmt.Fprint(w, side)
	}))
	t.Cleanup(b.Close)
	return b.URL
}

func startPair(t *testing.T) *pair {
	t.Helper()
	s := nginxtest.New(t, nginxtest.Config{Server: "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;"})
	s.Run()
	config := filepath.Join(t.TempDir(), "bridge.json")
	addr, admin := child.FreeAddr(t), child.FreeAddr(t)
	cmd := exec.Command(filepath.Join(bin, "changeover-bridge"), "--config", config, "--listen", addr, "--admin", admin, "--trusted-proxies", "127.0.0.0/8")
	var said bytes.Buffer
	cmd.Stderr = &said
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if t.Failed() {
			t.Logf("the bridge said:\n%s", said.String())
		}
	}))
	w := &pair{
		nginx: &wire{addr: strings.TrimPrefix(s.URL, "http://")}, bridge: &wire{addr: addr},
		legacy: echo(t, "legacy"), modern: echo(t, "modern"), firstCounts: firstCounts(t),
	}
	if w.toNGINX, err = nginx.New(nginx.Options{Dir: s.Dir, Conf: s.Conf, URL: s.URL}); err != nil {
		t.Fatal(err)
	}
	if w.toBridge, err = bridge.New(bridge.Options{Store: bridge.File(config), Replicas: bridge.URLs{"http://" + admin}}); err != nil {
		t.Fatal(err)
	}
	return w
}

// plan draws a plan until one passes validation, for nginx, which can do less.
func (w *pair) plan(t *testing.T, g *generator) *plan.Plan {
	t.Helper()
	var problems []plan.Problem
	for range 100 {
		p := g.plan()
		p.Spec.Backends = plan.Backends{Legacy: plan.Backend{URL: w.legacy}, Modern: plan.Backend{URL: w.modern}}
		src, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var doc *plan.Document
		if doc, problems = plan.Decode("plan.yaml", src); !plan.HasErrors(problems) {
			return doc.Plan
		}
	}
	t.Fatalf("no plan of 100 is valid, the last for: %v", problems)
	return nil
}

// firstCounts asks nginx for its version.
func firstCounts(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command(nginxtest.Bin, "-v").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(out), "nginx/")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("read the version in %q: %v", out, err)
	}
	return major == 1 && minor < 23
}

func (w *pair) apply(t *testing.T, p *plan.Plan, stop plan.Position) {
	t.Helper()
	mark := reconciler.Mark{Stop: stop, Since: time.Now(), Revision: plan.Revision(strings.Repeat("a", 40))}
	if err := w.toNGINX.Apply(t.Context(), p, mark); err != nil {
		t.Fatal(err)
	}
	q := *p
	q.Spec.Gateway = &plan.Gateway{Bridge: &plan.BridgeGateway{}}
	if err := w.toBridge.Apply(t.Context(), &q, mark); err != nil {
		t.Fatal(err)
	}
	// A reload closes connections that are not in use.
	w.nginx.close()
}

func routesOf(p *plan.Plan, stop plan.Position) string {
	b, _ := json.Marshal(p.Phase(stop.Phase).Routes)
	return string(b)
}

// isSplit reports whether both gateways may have come upon a split that is not
// decided.
func isSplit(p *plan.Plan, stop plan.Position, n, b answer) bool {
	if n.side == "" || b.side == "" {
		return false
	}
	for _, r := range p.Phase(stop.Phase).Routes {
		if r.To == plan.ToSplit && r.Percent == nil && stop.Percent > 0 && stop.Percent < 100 {
			return true
		}
	}
	return false
}

// differ says in what two answers differ; "" where they agree.
func differ(r request, n, b answer, split bool) string {
	switch {
	case n.kind() != b.kind() && !split:
		return "one ends in " + n.kind() + ", the other in " + b.kind()
	case n.kind() == "refused":
		return "" // each in its own words
	case n.status != b.status:
		return "the status differs"
	case n.side != "" && n.target != b.target && (!uncleanPath.MatchString(r.target) || decoded(n.target) != decoded(b.target)):
		return "the backends were asked for different targets"
	case n.side != "" && n.rewritten != b.rewritten:
		return "the backends got different headers"
	case n.side != "" && (n.body != n.side && n.body != "" || b.body != b.side && b.body != ""):
		return "another backend answered than is said"
	case n.side == "" && n.body != b.body && (n.status < 300 || n.status > 399):
		return "the body differs" // nginx adds a page to redirects
	case !maps.Equal(n.headers, b.headers):
		return "the headers differ"
	}
	return ""
}
