package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// settle observes until that asks nothing of the API server.
func (r *rig) settle(text string) {
	r.Helper()
	d := r.want(text)
	r.eventually("the watches are connected", func() bool {
		r.requests.take()
		r.observe(d)
		return len(r.requests.take()) == 0
	})
}

func TestInTheSteadyStateNothingIsAsked(t *testing.T) {
	r := setup(t)
	r.watch()
	text := web + "\n---\n" + settings + "\n---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}"
	d := r.want(text)
	// Nor is it of what is left alone.
	r.bring(r.want(text + "\n---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: former, annotations: {changeover.dev/prune: disabled}}}"))
	r.bring(d)
	r.settle(text)
	for range 50 {
		if st := r.observe(d); !st.InSync || !st.Healthy {
			t.Fatalf("%+v", st)
		}
		if ok, why, err := r.c.Healthy(r.ctx(), d); !ok || err != nil {
			t.Fatalf("%q %v", why, err)
		}
		must(t, r.c.Expand(r.ctx(), d))
		must(t, r.c.Contract(r.ctx(), d))
		if _, err := r.c.Mark(r.ctx(), r.key); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.requests.take(); len(got) != 0 {
		t.Errorf("asked %v", got)
	}
	// But not for ever: a watch may be wrong.
	r.skew.Add(int64(reread))
	r.observe(d)
	if got := r.requests.take(); len(with(got, "GET")) != 5 || len(got) != 5 {
		t.Errorf("after ten minutes: %v", got)
	}
	r.observe(d)
	if got := r.requests.take(); len(got) != 0 {
		t.Errorf("and then: %v", got)
	}
}

func TestWhatChangesWakesThePlan(t *testing.T) {
	r := setup(t)
	r.watch()
	text := web + "\n---\n" + settings
	d := r.want(text)
	r.bring(d)
	r.settle(text)
	for name, change := range map[string]func(){
		"an edit":            func() { r.edit("configmap/settings", "someone", `{"data":{"more":"x"}}`) },
		"a deletion":         func() { r.kubectl("delete", "configmap/settings") },
		"the status":         func() { r.kubectl("scale", "deployment/web", "--replicas=3") },
		"the label":          func() { r.kubectl("label", "deployment/web", "changeover.dev/managed-") },
		"the inventory":      func() { r.kubectl("annotate", "--overwrite", "configmap/changeover-inventory-shop", "x=y") },
		"the inventory gone": func() { r.kubectl("delete", "configmap/changeover-inventory-shop") },
	} {
		time.Sleep(2 * gather) // what came before has been told
		before := r.woken.Load()
		change()
		r.eventually(name+" wakes", func() bool { return r.woken.Load() > before })
		r.bring(d)
		if o := r.get("Deployment/web"); r.get("ConfigMap/settings") == nil || r.replicas("Deployment/web") != 2 || o.GetLabels()["changeover.dev/managed"] != "true" {
			t.Errorf("%s was not put right", name)
		}
		r.settle(text)
	}
}

func TestWakesOfOnePlanAreGathered(t *testing.T) {
	r := setup(t)
	r.watch()
	r.bring(r.want(settings))
	r.settle(settings)
	time.Sleep(2 * gather)
	before, begun := r.woken.Load(), time.Now()
	for i := range 30 {
		r.k.ApplyAs(t, "someone", r.ns, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {n: n%d}}", i))
	}
	took := time.Since(begun)
	time.Sleep(3 * gather)
	if n, most := r.woken.Load()-before, int64(took/gather)+2; n == 0 || n > most {
		t.Errorf("%d wakes in %s, want 1 to %d", n, took, most)
	}
}

func TestWhatThisProcessDoesItselfWakesNobody(t *testing.T) {
	r := setup(t)
	r.watch()
	r.bring(r.want(settings))
	r.settle(settings)
	time.Sleep(2 * gather)
	before := r.woken.Load()
	d := r.want(strings.Replace(settings, "mode: a", "mode: b", 1))
	r.expand(d)
	must(t, r.c.SetMark(r.ctx(), d))
	time.Sleep(3 * gather)
	if n := r.woken.Load() - before; n > 0 {
		t.Errorf("%d wakes", n)
	}
}

func TestWatchesEndWithTheirUse(t *testing.T) {
	r := setup(t)
	r.watch()
	count := func() int {
		r.c.watches.mu.Lock()
		defer r.c.watches.mu.Unlock()
		return len(r.c.watches.all)
	}
	text := settings + "\n---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n---\n" + web
	r.bring(r.want(text))
	if n := count(); n != 3 { // of ConfigMaps, the inventory among them, Services and Deployments
		t.Errorf("%d watches", n)
	}
	r.key.Name = "other"
	r.bring(r.want(`{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: [{port: 80}]}}`))
	if n := count(); n != 3 {
		t.Errorf("%d watches with a second plan", n)
	}
	r.key.Name = "shop"
	r.c.watches.mu.Lock()
	var former *watch
	for k, one := range r.c.watches.all {
		if k.resource.Resource == "deployments" {
			former = one
		}
	}
	r.c.watches.mu.Unlock()
	connected := func() bool {
		former.mu.Lock()
		defer former.mu.Unlock()
		return former.live
	}
	r.eventually("that of Deployments is connected", connected)
	r.bring(r.want(settings))
	r.eventually("it ends", func() bool { return !connected() })
	if n := count(); n != 2 {
		t.Errorf("%d watches when Deployments are not used any more", n)
	}
	r.skew.Add(int64(idleAfter + time.Minute))
	r.c.forgetIdle()
	if n := count(); n != 0 || len(r.c.states) != 0 {
		t.Errorf("%d watches and %d states of plans that nobody asks for", n, len(r.c.states))
	}
	r.bring(r.want(settings))
	r.settle(settings)
}

func TestAForbiddenWatchIsNamedAndReadInstead(t *testing.T) {
	r := setup(t)
	r.watch()
	r.create(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mover}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mover}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mover}
subjects: [{kind: ServiceAccount, name: mover, namespace: NS}]
`)
	d := r.want(settings)
	d.Account = "mover"
	r.bring(d)
	words := `configmaps in namespace ` + r.ns + ` are not watched, but read at every look: permission is missing: User "system:serviceaccount:` + r.ns + `:mover" cannot list resource "configmaps"`
	r.eventually("it is named", func() bool { return strings.Contains(r.observe(d).Message, words) })
	for range 3 {
		if st := r.observe(d); !st.InSync || !st.Healthy {
			t.Errorf("%+v", st)
		}
	}
	if got := with(r.requests.take(), "GET /api/v1/namespaces/"+r.ns+"/configmaps/settings"); len(got) < 3 {
		t.Errorf("it was not read: %v", got)
	}
	if n := strings.Count(r.log.String(), "a watch is refused"); n != 1 {
		t.Errorf("%d lines in the log: %s", n, r.log)
	}
}

func TestAWatchComesBackWithTheAPIServer(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{})
	r := setupOn(t, k, k.Kubeconfig)
	r.watch()
	text := settings + "\n---\n" + web
	d := r.want(text)
	r.bring(d)
	r.settle(text)
	k.KillAPIServer()
	r.eventually("nothing is believed any more", func() bool {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		_, err := r.c.Observe(ctx, d)
		if err == nil || !strings.Contains(err.Error(), "the API server cannot be reached") {
			return false
		}
		_, _, err = r.c.Healthy(ctx, d)
		return err != nil
	})
	must(t, k.StartAPIServer(r.ctx()))
	r.eventually("it is there again", func() bool { st, err := r.c.Observe(r.ctx(), d); return err == nil && st.InSync })
	r.settle(text)
	before := r.woken.Load()
	r.kubectl("delete", "configmap/settings")
	r.eventually("a change wakes", func() bool { return r.woken.Load() > before })
}

func TestWhatChangedBetweenTwoListsWakes(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings))
	w := &watch{
		key: watchKey{resource: configMaps, namespace: r.ns}, on: watchOn{c: r.c.o.Client, id: render.ID{Kind: "ConfigMap"}}, parent: r.c.watches,
		seen: map[name]entry{},
	}
	woken := func() int64 {
		t.Helper()
		before := r.woken.Load()
		_, err := w.list(r.ctx())
		must(t, err)
		time.Sleep(2 * gather)
		return r.woken.Load() - before
	}
	if n := woken(); n != 0 {
		t.Errorf("%d wakes for what this process applied", n)
	}
	w.seen[name{r.ns, "gone"}] = entry{version: "1", plan: r.key}
	if n := woken(); n != 1 {
		t.Errorf("%d wakes for an object that is gone", n)
	}
	r.edit("configmap/settings", "someone", `{"data":{"more":"x"}}`)
	if n := woken(); n != 1 {
		t.Errorf("%d wakes for one that was changed", n)
	}
	if n := woken(); n != 0 {
		t.Errorf("%d wakes for nothing", n)
	}
}

func TestAKeyIsReadFromAnAnnotation(t *testing.T) {
	for text, want := range map[string]plan.Key{"a/b": {Namespace: "a", Name: "b"}, "a": {}, "/b": {}, "a/": {}, "": {}} {
		if got, ok := parseKey(text); ok != (want != plan.Key{}) || ok && got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
}
