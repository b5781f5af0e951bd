package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

func TestCompareSaysWhatChanged(t *testing.T) {
	at := func(phase string, percent plan.Percent) plan.Position {
		return plan.Position{Phase: phase, Percent: percent}
	}
	same := plan.Change{From: at("gradual", 10), To: at("gradual", 10), Direction: plan.Same}
	for name, c := range map[string]struct {
		old, new string
		want     func(plan.Change) plan.Change
	}{
		"comments and format":   {"  position: {phase: gradual, percent: 10}", "  # why\n  position:\n    percent: 10.0\n    phase: 'gradual'", func(c plan.Change) plan.Change { return c }},
		"a default spelled out": {"{name: orders}", "{name: orders, namespace: default}", func(c plan.Change) plan.Change { return c }},
		"forward": {"percent: 10}", "percent: 50}", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Fields = at("gradual", 50), plan.Forward, []string{"spec.position.percent"}
			return c
		}},
		"backward": {"{phase: gradual, percent: 10}", "{phase: setup}", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Fields = at("setup", 0), plan.Backward, []string{"spec.position.percent", "spec.position.phase"}
			return c
		}},
		"suspend": {"  gateway:", "  suspend: true\n  gateway:", func(c plan.Change) plan.Change {
			c.Suspend, c.Fields = true, []string{"spec.suspend"}
			return c
		}},
		"a gate is quiet": {"> 0.03", "> 0.04", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.phases[gradual].gates.rollback[high-errors].expr"}
			return c
		}},
		"bake is quiet": {"bake: 1h", "bake: 2h", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.phases[gradual].bake"}
			return c
		}},
		"a signal is quiet": {"errors_total", "failures_total", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.signals.errors.query"}
			return c
		}},
		"a route is live": {"[{to: split}]", "[{to: modern}]", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.phases[gradual].routes[0].to"}
			return c
		}},
		"a backend is live": {":8000", ":8001", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.backends.modern.url"}
			return c
		}},
		"the gateway is live": {"bridge: {}", "nginx: {}", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.gateway.bridge", "spec.gateway.nginx"}
			return c
		}},
		"the cohort is live": {"X-Tenant-ID}", "X-Tenant-ID, cohort: so}", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.identity.cohort"}
			return c
		}},
		"a kustomization is live": {"      bake: 1h", "      cluster: {path: cluster/gradual}\n      bake: 1h", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.phases[gradual].cluster"}
			return c
		}},
		"objects are quiet": {"  phases:", "  objects: {orders: {apiVersion: apps/v1, kind: Deployment, name: orders}}\n  phases:", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.objects"}
			return c
		}},
		"what is required is quiet": {"  phases:", "  requires: {kubernetes: \">=1.29\"}\n  phases:", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.requires"}
			return c
		}},
		"a removed stop": {"percent: 10}\n", "percent: 50}\n", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Content, c.Live = at("gradual", 50), plan.Unknown, true, true
			c.Removed = []plan.Position{at("gradual", 10)}
			c.Fields = []string{"spec.phases[gradual].percents[0]", "spec.phases[gradual].percents[1]", "spec.position.percent"}
			return c
		}},
		"a new phase": {"    - name: gradual", "    - {name: shadow, routes: [{to: legacy}]}\n    - name: gradual", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.phases[shadow]"}
			return c
		}},
	} {
		t.Run(name, func(t *testing.T) {
			src := with(t, c.old, c.new)
			if name == "a removed stop" {
				src = strings.Replace(src, "[10, 50]", "[50]", 1)
			}
			if diff := cmp.Diff(c.want(same), plan.Compare(good(t, base), good(t, src))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// kube is a good plan that uses a cluster.
const kube = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: setup}
  requires: {kubernetes: ">=1.29", apis: [apps/v1/Deployment]}
  serviceAccountName: orders
  backends:
    legacy: {service: {name: legacy, port: 8080}}
    modern: {service: {name: modern, port: 8000}}
  gateway: {gatewayAPI: {parentRefs: [{name: edge}], hostnames: [shop.example.com]}}
  objects:
    orders: {apiVersion: apps/v1, kind: Deployment, name: orders}
  phases:
    - name: setup
      cluster: {path: cluster/setup}
      routes:
        - match: {path: /orders}
          to: legacy
          mirror: {percent: 10}
          rewrite: {path: /v2/orders}
        - to: legacy
`

func TestCompareSaysWhatChangedOfACluster(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		live     bool
		field    string
	}{
		"the path":            {"cluster/setup", "cluster/other", true, "spec.phases[setup].cluster.path"},
		"prune":               {"{path: cluster/setup}", "{path: cluster/setup, prune: false}", true, "spec.phases[setup].cluster.prune"},
		"maxPrune":            {"{path: cluster/setup}", "{path: cluster/setup, maxPrune: 5}", true, "spec.phases[setup].cluster.maxPrune"},
		"the timeout":         {"{path: cluster/setup}", "{path: cluster/setup, timeout: 1m}", false, "spec.phases[setup].cluster.timeout"},
		"the account":         {"serviceAccountName: orders", "serviceAccountName: other", true, "spec.serviceAccountName"},
		"a Service":           {"port: 8000", "port: 8001", true, "spec.backends.modern.service.port"},
		"a parent":            {"{name: edge}", "{name: edge, sectionName: https}", true, "spec.gateway.gatewayAPI.parentRefs[edge].sectionName"},
		"a hostname":          {"shop.example.com", "shop.example.org", true, "spec.gateway.gatewayAPI.hostnames[0]"},
		"a mirror":            {"percent: 10", "percent: 11", true, "spec.phases[setup].routes[0].mirror.percent"},
		"a rewrite":           {"/v2/orders", "/v3/orders", true, "spec.phases[setup].routes[0].rewrite.path"},
		"the object's kind":   {"kind: Deployment", "kind: StatefulSet", false, "spec.objects.orders.kind"},
		"the version's range": {">=1.29", ">=1.30", false, "spec.requires.kubernetes"},
		"the APIs":            {"[apps/v1/Deployment]", "[apps/v1/StatefulSet]", false, "spec.requires.apis[0]"},
	} {
		got := plan.Compare(good(t, kube), good(t, strings.Replace(kube, c.old, c.new, 1)))
		if !got.Content || got.Live != c.live || !cmp.Equal(got.Fields, []string{c.field}) {
			t.Errorf("%s: %+v, want %s, live %v", name, got, c.field, c.live)
		}
	}
	spelled := strings.NewReplacer("cluster/setup}", "cluster/setup, prune: true, maxPrune: 20, timeout: 5m}",
		"{name: legacy, port", "{name: legacy, namespace: default, port", "{name: edge}", "{name: edge, namespace: default}",
		"Deployment, name: orders}", "Deployment, namespace: default, name: orders}").Replace(kube)
	if got := plan.Compare(good(t, kube), good(t, spelled)); !got.IsZero() || spelled == kube {
		t.Errorf("defaults that are spelled out: %+v", got)
	}
}

func TestTheOrderOfPhasesIsAChange(t *testing.T) {
	a, b := good(t, base), good(t, base)
	b.Spec.Phases[0], b.Spec.Phases[1] = b.Spec.Phases[1], b.Spec.Phases[0]
	if c := plan.Compare(a, b); !c.Content || !c.Live || !cmp.Equal(c.Fields, []string{"spec.phases"}) {
		t.Errorf("change %+v", c)
	}
}

func TestAPlanThatWasNotThereComesForward(t *testing.T) {
	p := good(t, base)
	if c := plan.Compare(nil, p); c.Direction != plan.Forward || !c.Content || !c.Live || c.Removed != nil || c.To != p.Spec.Position {
		t.Errorf("added: %+v", c)
	}
	if c := plan.Compare(p, nil); c.Direction != plan.Backward || !c.Content || !c.Live || len(c.Removed) != 3 {
		t.Errorf("removed: %+v", c)
	}
}

func TestDigestsAreStable(t *testing.T) {
	p := good(t, base)
	content, live := plan.ContentDigest(p), plan.LiveDigest(p)
	for range 20 {
		if q := good(t, base); plan.ContentDigest(q) != content || plan.LiveDigest(q) != live {
			t.Fatal("the digests differ from one decoding to the next")
		}
	}
	if content == live || !strings.HasPrefix(string(content), "sha256:") || len(content) != len("sha256:")+64 {
		t.Errorf("content %s, live %s", content, live)
	}
	// They are in records that outlive a version of the program.
	golden(t, "testdata/digests", string(content)+"\n"+string(live)+"\n")
}
