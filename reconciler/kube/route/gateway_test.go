package route_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/cluster/components"
	"github.com/changeover-dev/changeover/test/kubetest"
)

const soon = 20 * time.Second

func TestARouteOfAnotherIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ annotations, says string }{
		"made by nobody":  {"{}", "was not made by Changeover"},
		"of another plan": {"{changeover.dev/plan: default/other}", `belongs to plan "default/other"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "edge")
			r.kube.Apply(t, r.ns, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop, annotations: `+c.annotations+`}, spec: {hostnames: [theirs.example.com]}}`)
			before := r.live()
			refuses(t, r.applyWithin(soon, setup), route.ErrNotOurs, c.says, "HTTPRoute "+r.ns+"/shop")
			if after := r.live(); after.GetGeneration() != before.GetGeneration() || !reflect.DeepEqual(after.GetAnnotations(), before.GetAnnotations()) {
				t.Error("it was changed")
			}
			if st := r.observe(setup); st.Mark != nil || st.Serving || !strings.Contains(st.Message, c.says) {
				t.Errorf("observed: %+v", st)
			}
		})
	}
}

func TestFieldsOfAnotherManagerAreReportedAndNotTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(at10)
	o := r.live()
	manifest := `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {rules: [{backendRefs: [{name: theirs, port: 80}]}]}}`
	r.kube.ApplyAs(t, "some-operator", r.ns, manifest)
	theirs := r.live()
	if st := r.observe(at10); st.Serving || !strings.Contains(st.Message, `"some-operator"`) {
		t.Errorf("observed: %+v", st)
	}
	refuses(t, r.applyWithin(soon, at25), nil, `"some-operator"`, "nothing was forced", "kubectl annotate httproute")
	if now := r.live(); now.GetGeneration() != theirs.GetGeneration() || !atStop(now, at10) {
		t.Error("it was changed")
	}
	// What the error advises works.
	r.kube.Kubectl(t, "annotate", "httproute", "--namespace="+r.ns, "shop", "changeover.dev/force-conflicts=true")
	r.apply(at10)
	if now := r.live(); !reflect.DeepEqual(now.Object["spec"], o.Object["spec"]) {
		t.Errorf("after taking the fields:\n%v\nwant\n%v", now.Object["spec"], o.Object["spec"])
	}
	if st := r.observe(at10); !st.Serving {
		t.Errorf("observed: %+v", st)
	}
}

func TestAFieldThatAnotherManagerAddedIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(at10)
	r.kube.ApplyAs(t, "some-operator", r.ns, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {hostnames: [theirs.example.com]}}`)
	if st := r.observe(at10); st.Serving || !strings.Contains(st.Message, `"some-operator"`) {
		t.Errorf("observed: %+v", st)
	}
	refuses(t, r.applyWithin(soon, at10), nil, `"some-operator"`)
}

func TestARefusedRouteIsPutBack(t *testing.T) {
	t.Parallel()
	for name, no := range map[string]answer{
		"not accepted":      {accepted: "False", resolved: "True", reason: "UnsupportedValue"},
		"refs not resolved": {accepted: "True", resolved: "False", reason: "BackendNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "edge", "inner")
			r.apply(at10)
			before := r.live()
			r.says("edge", no)
			// The old route was good, and is again when the new one is gone.
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				kubetest.WaitFor(t, "the new route was there and is gone", func() bool { return r.live().GetGeneration() == before.GetGeneration()+2 })
				r.says("edge", yes)
			}()
			err := r.applyWithin(soon, at25)
			<-gone
			refuses(t, err, route.ErrRefused, "Gateway "+r.ns+"/edge", "False: "+no.reason, "the route from before was put back and is served")
			after := r.live()
			if !reflect.DeepEqual(after.Object["spec"], before.Object["spec"]) || !reflect.DeepEqual(after.GetAnnotations(), before.GetAnnotations()) {
				t.Errorf("the route is now\n%v\nwant\n%v", after.Object, before.Object)
			}
			if st := r.observe(at10); !st.Serving {
				t.Errorf("observed: %+v", st)
			}
			r.apply(at25) // the fields are still ours
		})
	}
}

func TestARefusedFirstRouteIsDeletedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.says("edge", answer{accepted: "False", reason: "NotAllowedByListeners"})
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "NotAllowedByListeners", "deleted again")
	if o := r.kube.Lookup(t, httpRoute, r.ns, "shop"); o != nil {
		t.Errorf("it is still there: %v", o)
	}
}

func TestARefusalThatPassesIsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.says("edge", answer{accepted: "True", resolved: "False", reason: "BackendNotFound"})
	time.AfterFunc(300*time.Millisecond, func() { r.says("edge", yes) })
	r.apply(setup)
}

func TestGoingBackStaysWhereOneParentTookIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge", "inner")
	r.apply(at25)
	r.says("inner", answer{accepted: "False", resolved: "True", reason: "NoMatchingParent"})
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "Gateway "+r.ns+"/inner", "NoMatchingParent", "it stays for Gateway "+r.ns+"/edge")
	if !atStop(r.live(), setup) {
		t.Error("the traffic did not go back")
	}
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "left as it is")
	r.says("inner", yes)
	r.apply(setup)
}

func TestGoingBackIsPutBackWhereNobodyTookIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(at25)
	r.says("edge", answer{accepted: "False", resolved: "True", reason: "UnsupportedValue"})
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "the route from before was put back, but")
	if !atStop(r.live(), at25) {
		t.Error("the route from before was not put back")
	}
}

// A Service that is gone must not keep the traffic from leaving it.
func TestGoingBackStaysWhereItIsServedThoughABackendIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(at25)
	r.says("edge", answer{accepted: "True", resolved: "False", reason: "BackendNotFound"})
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "it stays for")
	if !atStop(r.live(), setup) {
		t.Error("the traffic was sent back to the backend that is gone")
	}
}

func TestASilentParentIsNamedAndTheRouteStays(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]struct {
		answer
		says string
	}{
		"nothing said":         {mute, "no controller has said anything"},
		"of an old generation": {answer{accepted: "True", resolved: "True", reason: "Accepted", behind: 1}, "is said of generation 1, and the route is at 2"},
		"undecided":            {answer{accepted: "Unknown", resolved: "True", reason: "Pending"}, "Accepted is not decided: Pending"},
		"half":                 {answer{accepted: "True", reason: "Accepted"}, "nothing is said about ResolvedRefs"},
		"pending":              {answer{accepted: "False", resolved: "True", reason: "Pending"}, "Accepted is not decided: Pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "edge", "inner")
			r.apply(setup)
			r.says("inner", silence.answer)
			refuses(t, r.applyWithin(1500*time.Millisecond, at10), route.ErrNotTaken, "Gateway "+r.ns+"/inner: ", silence.says, "the new route is written and stays")
			if !atStop(r.live(), at10) {
				t.Error("the new route did not stay")
			}
			if st := r.observe(at10); st.Serving || st.Hash != "" || !strings.Contains(st.Message, silence.says) || st.Mark == nil || st.Mark.Stop != at10 {
				t.Errorf("observed: %+v", st)
			}
			r.says("inner", yes)
			r.apply(at10)
		})
	}
}

func TestEveryControllerOfAParentCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(setup)
	old := yes
	old.behind, old.controller = 1, "example.com/gone"
	r.says("edge", yes, old)
	refuses(t, r.applyWithin(time.Second, at10), route.ErrNotTaken, "controller example.com/gone")
}

func TestAParentThatIsNotNamedAnyMoreDoesNotCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge", "inner")
	r.apply(setup)
	r.says("inner", answer{accepted: "False", resolved: "False", reason: "Broken"})
	r.plan = newPlan(t, r.ns, "", "edge")
	r.apply(at10)
	if st := r.observe(at10); !st.Serving {
		t.Errorf("observed: %+v", st)
	}
}

func TestAParentThatLagsIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge", "inner", "far")
	r.apply(setup)
	const lag = time.Second
	late := yes
	late.after = lag
	r.says("far", late)
	begun := time.Now()
	r.apply(at10)
	if took := time.Since(begun); took < lag-50*time.Millisecond || took > lag+1500*time.Millisecond {
		t.Errorf("it took %s, want a little more than %s", took, lag)
	}
}

func TestAMarkAloneLeavesTheGenerationAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	r.apply(at10)
	before := r.live()
	m := markAt(r.plan, at10)
	m.Since, m.Revision, m.Holds = m.Since.Add(time.Hour), "ffff", []plan.Revision{"aaaa", "bbbb"}
	must(t, r.Apply(t.Context(), r.plan, m))
	after := r.live()
	if after.GetGeneration() != before.GetGeneration() {
		t.Errorf("generation %d became %d", before.GetGeneration(), after.GetGeneration())
	}
	want := map[string]string{
		"changeover.dev/plan": r.ns + "/shop", "changeover.dev/stop": "gradual@10", "changeover.dev/since": "2026-03-01T13:00:00Z",
		"changeover.dev/revision": "ffff", "changeover.dev/holds": "aaaa,bbbb",
	}
	if got := after.GetAnnotations(); !reflect.DeepEqual(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
	if after.GetLabels()["changeover.dev/managed"] != "true" {
		t.Errorf("labels %v", after.GetLabels())
	}
	must(t, r.Apply(t.Context(), r.plan, m))
	if same := r.live(); same.GetResourceVersion() != after.GetResourceVersion() {
		t.Error("the same again was written")
	}
	m.Holds = nil
	must(t, r.Apply(t.Context(), r.plan, m))
	if _, ok := r.live().GetAnnotations()["changeover.dev/holds"]; ok {
		t.Error("the holds were not lifted")
	}
}

func TestDamagedMarksAreSaid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stop", "since", "revision"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "edge")
			r.apply(at10)
			r.kube.Kubectl(t, "annotate", "--overwrite", "httproute", "--namespace="+r.ns, "shop", "changeover.dev/"+name+"=")
			if st := r.observe(at10); st.Mark != nil || st.Serving || !strings.Contains(st.Message, "changeover.dev/"+name) {
				t.Errorf("observed: %+v", st)
			}
			r.apply(setup) // whosever they are now
			if st := r.observe(setup); !st.Serving || st.Mark == nil {
				t.Errorf("observed after going back: %+v", st)
			}
		})
	}
}

func TestFeaturesThatAClassLacksAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	class := func(name, features string) {
		k.Apply(t, "", `{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: `+name+`}, spec: {controllerName: example.com/fixture}}`)
		t.Cleanup(func() { k.Delete(t, "GatewayClass.gateway.networking.k8s.io", "", name) })
		if features != "" {
			k.Kubectl(t, "patch", "gatewayclass", name, "--subresource=status", "--type=merge", `--patch={"status":{"supportedFeatures":[`+features+`]}}`)
		}
	}
	class("small", `{"name":"HTTPRouteMethodMatching"}`)
	class("able", `{"name":"HTTPRouteMethodMatching"},{"name":"HTTPRouteRequestMirror"}`)
	class("unsaid", "")
	gateway := func(ns, name, class string) {
		k.Apply(t, ns, `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: `+name+`}, spec: {gatewayClassName: `+class+`, listeners: [{name: http, port: 80, protocol: HTTP}]}}`)
	}
	newRig := func(t *testing.T, classes ...string) *rig {
		var parents []string
		for i := range classes {
			parents = append(parents, fmt.Sprintf("gw-%d", i))
		}
		r := newRig(t, "", parents...)
		for i, c := range classes {
			gateway(r.ns, parents[i], c)
		}
		r.plan.Phase("gradual").Routes[1].Mirror = nil
		r.plan.Phase("setup").Routes = []plan.Route{{Match: &plan.Match{Methods: []string{"GET"}}, To: plan.ToLegacy, Mirror: &plan.Mirror{}}, {To: plan.ToLegacy}}
		return r
	}
	t.Run("one of two classes lacks one", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "able", "small")
		// Also at a stop that does not mirror itself: the plan would get stuck.
		refuses(t, r.applyWithin(soon, at10), route.ErrLacking, `GatewayClass "small"`, "Gateway "+r.ns+"/gw-1", `["HTTPRouteRequestMirror"]`, "bridge")
		if k.Lookup(t, httpRoute, r.ns, "shop") != nil {
			t.Error("it was written")
		}
	})
	t.Run("all have all, or do not say", func(t *testing.T) {
		t.Parallel()
		newRig(t, "able", "unsaid", "does-not-exist").apply(setup)
	})
	t.Run("the Gateway does not exist", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "able")
		k.Delete(t, "Gateway.gateway.networking.k8s.io", r.ns, "gw-0")
		refuses(t, r.applyWithin(soon, setup), nil, "Gateway "+r.ns+"/gw-0 does not exist")
	})
	t.Run("going back is not kept from", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "able")
		r.apply(at10)
		gateway(r.ns, "gw-0", "small")
		refuses(t, r.applyWithin(soon, at25), route.ErrLacking)
		r.apply(setup)
	})
}

func TestThatTheGatewayAPIIsNotInstalledIsSaid(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{})
	g := open(t, k.Kubeconfig, nil)
	p := newPlan(t, "default", "", "edge")
	for range 2 {
		refuses(t, g.Apply(t.Context(), p, markAt(p, setup)), route.ErrNotInstalled, "Gateway API is not installed: ")
		st, err := g.Observe(t.Context(), p, setup)
		if err != nil || st.Mark != nil || st.Serving || !strings.HasPrefix(st.Message, "Gateway API is not installed: ") {
			t.Errorf("observed: %+v, %v", st, err)
		}
	}
	// That it is there later is found.
	k.Kubectl(t, "create", "--filename="+definition(t))
	kubetest.WaitFor(t, "routes are served", func() bool {
		st, err := g.Observe(t.Context(), p, setup)
		return err == nil && st.Message == "HTTPRoute default/shop does not exist"
	})
}

func TestAnAnswerThatGotLostIsMadeUpFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	proxy := r.kube.Proxy(t, "")
	r.Gateway = open(t, proxy.Kubeconfig, nil)
	r.apply(setup)
	proxy.Inject(kubetest.Fault{Method: "PATCH", AnswerLost: true, Times: 1})
	refuses(t, r.applyWithin(soon, at10), nil, "cannot be reached")
	generation := r.live().GetGeneration()
	if !atStop(r.live(), at10) {
		t.Fatal("the API server did not carry it out")
	}
	r.apply(at10)
	if r.live().GetGeneration() != generation {
		t.Error("it was written again")
	}
}

func TestAnAPIServerThatGoesAwayInMidApplyLeavesTheRoute(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		kubetest.Fault
		says string
	}{
		"connections are reset": {kubetest.Fault{Method: "GET", Path: "/httproutes/"}, "the API server"},
		"it fails":              {kubetest.Fault{Method: "GET", Path: "/httproutes/", Code: 500}, "the API server failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "edge")
			proxy := r.kube.Proxy(t, "")
			r.Gateway = open(t, proxy.Kubeconfig, nil)
			r.apply(setup)
			late := yes
			late.after = 300 * time.Millisecond
			r.says("edge", late)
			f := fault.Fault
			written := proxy.Inject(kubetest.Fault{Method: "PATCH", Code: 200, Times: 1}) // seen, and passed on
			go func() {
				kubetest.WaitFor(t, "it is written", func() bool { return written.Struck() == 1 })
				proxy.Inject(f)
			}()
			refuses(t, r.applyWithin(4*time.Second, at10), route.ErrNotTaken, fault.says, "the new route is written and stays")
			if !atStop(r.live(), at10) {
				t.Error("the new route did not stay")
			}
		})
	}
}

func TestARouteThatIsDeletedOrChangedMeanwhileIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "edge")
		r.says("edge", mute)
		time.AfterFunc(500*time.Millisecond, func() { r.kube.Delete(t, httpRoute, r.ns, "shop") })
		refuses(t, r.applyWithin(soon, setup), route.ErrNotTaken, "was deleted meanwhile")
	})
	t.Run("changed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "edge")
		r.says("edge", mute)
		time.AfterFunc(500*time.Millisecond, func() {
			r.kube.Kubectl(t, "patch", "httproute", "shop", "--namespace="+r.ns, "--type=json", `--patch=[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":7}]`)
		})
		refuses(t, r.applyWithin(soon, setup), route.ErrNotTaken, "was changed meanwhile", `"kubectl-patch"`)
	})
}

func TestThePlansAccountNeedsItsOwnRights(t *testing.T) {
	t.Parallel()
	r := newRig(t, "  serviceAccountName: mover", "edge")
	account := "system:serviceaccount:" + r.ns + ":mover"
	grant := func(verbs string) {
		r.kube.Apply(t, r.ns, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: mover}, rules: [{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [`+verbs+`]}]}`)
		r.kube.Apply(t, r.ns, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: mover}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mover}, subjects: [{kind: ServiceAccount, name: mover, namespace: `+r.ns+`}]}`)
	}
	names := func(verb string) {
		t.Helper()
		want := fmt.Sprintf("permission is missing: User %q cannot %s resource %q", account, verb, "httproutes")
		kubetest.WaitFor(t, "the permission to "+verb+" is named", func() bool {
			err := r.applyWithin(soon, setup)
			return err != nil && strings.Contains(err.Error(), want)
		})
	}
	r.kube.Apply(t, r.ns, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: mover}}`)
	names("get")
	if _, err := r.Observe(t.Context(), r.plan, setup); err == nil || !strings.Contains(err.Error(), "permission is missing") {
		t.Errorf("observed: %v", err)
	}
	grant("get")
	names("patch")
	grant("get, patch")
	names("create")
	grant("get, patch, create")
	kubetest.WaitFor(t, "it is applied", func() bool { return r.applyWithin(soon, setup) == nil })

	// Without the right to delete, a first route that is refused stays, and
	// that is said.
	r.kube.Delete(t, httpRoute, r.ns, "shop")
	r.says("edge", answer{accepted: "False", reason: "NotAllowedByListeners"})
	refuses(t, r.applyWithin(soon, setup), route.ErrRefused, "could not be deleted again, and stays: permission is missing", "cannot delete")
}

func TestStopsThatAreNotThereAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "edge")
	nowhere := plan.Position{Phase: "nowhere"}
	refuses(t, r.applyWithin(soon, nowhere), nil, "nowhere")
	if _, err := r.Observe(t.Context(), r.plan, nowhere); err == nil {
		t.Error("observed a stop that is not there")
	}
	st, err := r.Observe(t.Context(), r.plan, plan.Position{})
	if err != nil || st.Serving || st.Mark != nil || st.Message == "" {
		t.Errorf("a stop of none, where nothing is: %+v, %v", st, err)
	}
	r.apply(at10)
	if st, err := r.Observe(t.Context(), r.plan, plan.Position{}); err != nil || st.Serving || st.Mark == nil || st.Message != "" {
		t.Errorf("a stop of none: %+v, %v", st, err)
	}
	if _, err := r.Observe(t.Context(), &plan.Plan{}, plan.Position{}); err == nil {
		t.Error("observed a plan without a gateway")
	}
}

func TestAnAPIServerThatIsKilledIsSaid(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{GatewayAPI: cluster.Standard})
	g := open(t, k.Kubeconfig, nil)
	p := newPlan(t, "default", "", "edge")
	control(t, k.Dynamic, "default")
	must(t, g.Apply(t.Context(), p, markAt(p, setup)))
	k.KillAPIServer()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	refuses(t, g.Apply(ctx, p, markAt(p, at10)), nil, "the API server")
	if _, err := g.Observe(ctx, p, setup); err == nil {
		t.Error("observed without an API server")
	}
	must(t, k.StartAPIServer(t.Context()))
	kubetest.WaitFor(t, "it goes on", func() bool { return g.Apply(t.Context(), p, markAt(p, at10)) == nil })
	if o := k.Get(t, httpRoute, "default", "shop"); !atStop(o, at10) {
		t.Errorf("the route is %v", o)
	}
}

// definition is the file that defines HTTPRoutes.
func definition(t *testing.T) string {
	t.Helper()
	cache, err := components.DefaultCache()
	must(t, err)
	dir, err := cache.Find(components.GatewayAPIStandard)
	must(t, err)
	found, err := filepath.Glob(filepath.Join(dir, "*httproutes.yaml"))
	if err != nil || len(found) != 1 {
		t.Fatalf("find the definition of HTTPRoutes: %v, %v", found, err)
	}
	return found[0]
}
