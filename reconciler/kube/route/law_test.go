package route_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
)

// api is so much of an API server as one HTTPRoute needs. Before every answer to
// a GET the next status is written; the last one stays.
type api struct {
	mu         sync.Mutex
	object     map[string]any // nil: not there
	generation int64
	version    int
	script     []statusFor
	read       map[string]any // the object of the last answer
}

// statusFor makes a status for a generation and the parents of the spec.
type statusFor func(generation int64, refs []any) []any

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.Method {
	case http.MethodGet:
		a.next()
	case http.MethodPatch:
		a.apply(r)
	case http.MethodDelete:
		a.object = nil
		respond(w, http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		return
	}
	if a.object == nil {
		respond(w, http.StatusNotFound, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "details": map[string]any{"name": "shop", "kind": "httproutes"}})
		return
	}
	a.read = copied(a.object)
	respond(w, http.StatusOK, a.read)
}

func respond(w http.ResponseWriter, code int, o any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o) // the client may be gone
}

func copied(o map[string]any) (out map[string]any) {
	src, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(src, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

func (a *api) next() {
	if a.object == nil || len(a.script) == 0 {
		return
	}
	spec := a.object["spec"].(map[string]any)
	a.object["status"] = map[string]any{"parents": a.script[0](a.generation, spec["parentRefs"].([]any))}
	if len(a.script) > 1 {
		a.script = a.script[1:]
	}
	a.touch()
}

func (a *api) touch() {
	a.version++
	meta := a.object["metadata"].(map[string]any)
	meta["resourceVersion"], meta["generation"], meta["uid"] = fmt.Sprint(a.version), a.generation, "1"
}

func (a *api) apply(r *http.Request) {
	var o map[string]any
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		panic(err)
	}
	if a.object == nil {
		a.object = map[string]any{}
		a.generation = 0
	}
	if !reflect.DeepEqual(a.object["spec"], o["spec"]) {
		a.generation++
	}
	o["status"] = a.object["status"]
	a.object = o
	a.touch()
}

func conditionOf(kind, status string, generation int64) map[string]any {
	return map[string]any{"type": kind, "status": status, "reason": "Fixture", "observedGeneration": generation}
}

// says has every parent's Accepted be so.
func says(accepted string) statusFor {
	return func(generation int64, refs []any) (out []any) {
		for _, ref := range refs {
			out = append(out, map[string]any{"parentRef": ref, "controllerName": "c", "conditions": []any{conditionOf("Accepted", accepted, generation), conditionOf("ResolvedRefs", "True", generation)}})
		}
		return out
	}
}

// drawStatus draws what the controllers say. Half of the time it is hardly ever
// bad, as otherwise few runs would end well.
func drawStatus(t *rapid.T) statusFor {
	states, generations, controllers := []string{"True", "True", "True", "False", "Unknown", ""}, []int64{0, 0, 0, 1, 2, -1}, []int{1, 1, 0, 2}
	if rapid.Bool().Draw(t, "calm") {
		states, generations, controllers = append(states, slices.Repeat([]string{"True"}, 50)...), append(generations, make([]int64, 50)...), []int{1, 2}
	}
	type said struct {
		controllers []map[string]func(int64) map[string]any
	}
	one := func(label string) map[string]func(int64) map[string]any {
		out := map[string]func(int64) map[string]any{}
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			status := rapid.SampledFrom(states).Draw(t, label+kind)
			behind := rapid.SampledFrom(generations).Draw(t, label+kind+" behind")
			if status != "" {
				out[kind] = func(g int64) map[string]any { return conditionOf(kind, status, g-behind) }
			}
		}
		return out
	}
	var parents []said
	for i := range 3 {
		var s said
		for j := range rapid.SampledFrom(controllers).Draw(t, "controllers") {
			s.controllers = append(s.controllers, one(fmt.Sprintf("parent %d controller %d ", i, j)))
		}
		parents = append(parents, s)
	}
	unnamed := rapid.Bool().Draw(t, "an entry of a parent that is not named")
	return func(generation int64, refs []any) []any {
		out := []any{}
		for i, ref := range refs {
			for j, c := range parents[i%len(parents)].controllers {
				var conditions []any
				for _, kind := range slices.Sorted(maps.Keys(c)) {
					conditions = append(conditions, c[kind](generation))
				}
				out = append(out, map[string]any{"parentRef": ref, "controllerName": fmt.Sprintf("c%d", j), "conditions": conditions})
			}
		}
		if unnamed {
			out = append(out, map[string]any{"parentRef": map[string]any{"name": "another"}, "conditions": []any{conditionOf("Accepted", "False", generation)}})
		}
		return out
	}
}

// allGood is the rule, written down once more: every parent that is named has
// an entry, and all of its entries are good as of the generation.
func allGood(src map[string]any) bool {
	var o struct {
		Metadata struct{ Generation int64 }
		Spec     struct{ ParentRefs []map[string]any }
		Status   struct {
			Parents []struct {
				ParentRef  map[string]any
				Conditions []struct {
					Type, Status       string
					ObservedGeneration int64
				}
			}
		}
	}
	text, err := json.Marshal(src)
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		panic(err)
	}
	for _, ref := range o.Spec.ParentRefs {
		entries := 0
		for _, p := range o.Status.Parents {
			if p.ParentRef["name"] != ref["name"] {
				continue
			}
			entries++
			good := 0
			for _, c := range p.Conditions {
				if (c.Type == "Accepted" || c.Type == "ResolvedRefs") && c.Status == "True" && c.ObservedGeneration == o.Metadata.Generation {
					good++
				}
			}
			if good != 2 {
				return false
			}
		}
		if entries == 0 {
			return false
		}
	}
	return len(o.Spec.ParentRefs) > 0
}

func TestApplyIsDoneOnlyWhenEveryParentTookTheGeneration(t *testing.T) {
	outcomes := map[string]int{}
	var mu sync.Mutex
	rapid.Check(t, func(t *rapid.T) {
		fake := &api{}
		srv := httptest.NewServer(fake)
		defer srv.Close()
		g := overHTTP(t, srv.URL)
		p := newLawPlan(rapid.IntRange(1, 3).Draw(t, "parents"))
		stops := []plan.Position{setup, at10, at25}
		fake.script = []statusFor{says("True")}
		if rapid.Bool().Draw(t, "was there") {
			from := rapid.SampledFrom(stops).Draw(t, "from")
			if err := g.Apply(t.Context(), p, markAt(p, from)); err != nil {
				t.Fatal(err)
			}
		}
		before := fake.object
		if before != nil {
			before = copied(before)
		}
		fake.script = nil
		for range rapid.IntRange(1, 6).Draw(t, "statuses") {
			fake.script = append(fake.script, drawStatus(t))
		}
		to := rapid.SampledFrom(stops).Draw(t, "to")
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		defer cancel()
		err := g.Apply(ctx, p, markAt(p, to))
		fake.mu.Lock()
		defer fake.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		outcomes[outcome(err)]++
		switch {
		case err == nil:
			if !allGood(fake.read) {
				t.Fatalf("Apply was done with\n%v", fake.read)
			}
			if name := annotation(fake.object, "changeover.dev/stop"); name != to.String() {
				t.Fatalf("Apply of %s was done at %q", to, name)
			}
		case errors.Is(err, route.ErrNotTaken):
			if annotation(fake.object, "changeover.dev/stop") != to.String() {
				t.Fatalf("%v, but the route did not stay", err)
			}
		case errors.Is(err, route.ErrRefused):
			undone := before == nil && fake.object == nil || before != nil && fake.object != nil && reflect.DeepEqual(fake.object["spec"], before["spec"])
			if stays := annotation(fake.object, "changeover.dev/stop") == to.String(); !undone && !stays {
				t.Fatalf("%v, but the route is\n%v", err, fake.object)
			}
		case ctx.Err() == nil: // with time left nothing else fails
			t.Fatal(err)
		}
	})
	t.Logf("outcomes: %v", outcomes)
	for _, o := range []string{"done", "not taken", "refused"} {
		if outcomes[o] == 0 {
			t.Errorf("no run was %s: %v", o, outcomes)
		}
	}
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, route.ErrRefused):
		return "refused"
	case errors.Is(err, route.ErrNotTaken):
		return "not taken"
	}
	return "late"
}

func annotation(o map[string]any, name string) string {
	meta, _ := o["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	s, _ := annotations[name].(string)
	return s
}

func TestWhatOthersChangedSinceIsNotPutBack(t *testing.T) {
	fake := &api{script: []statusFor{says("True")}}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	g, p := overHTTP(t, srv.URL), newLawPlan(1)
	g.SetTimes(0, time.Second)
	must(t, g.Apply(t.Context(), p, markAt(p, at10)))
	looks := 0
	fake.script = []statusFor{says("True"), func(generation int64, refs []any) []any {
		if looks++; looks == 3 { // two to see the refusal, and this one to put back
			fake.object["spec"].(map[string]any)["hostnames"] = []any{"theirs.example.com"}
			fake.object["spec"].(map[string]any)["rules"] = []any{}
		}
		return says("False")(generation, refs)
	}}
	refuses(t, g.Apply(t.Context(), p, markAt(p, at25)), route.ErrRefused, "the route was changed meanwhile, and was left as it is")
	if fake.object["spec"].(map[string]any)["hostnames"] == nil {
		t.Error("what another has changed was put back")
	}
}

func overHTTP(t rapid.TB, url string) *route.Gateway {
	c, err := client.New(client.Options{Config: &rest.Config{Host: url}, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	g, err := route.New(route.Options{Client: c, Poll: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	g.SetTimes(3*time.Millisecond, 60*time.Millisecond)
	return g
}

func newLawPlan(parents int) *plan.Plan {
	p := &plan.Plan{
		Metadata: plan.Metadata{Name: "shop", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{Service: &plan.Service{Name: "legacy", Port: 80}}, Modern: plan.Backend{Service: &plan.Service{Name: "modern", Port: 80}}},
			Gateway:  &plan.Gateway{GatewayAPI: &plan.GatewayAPIGateway{Namespace: "default"}},
			Phases: []plan.Phase{
				{Name: "setup", Routes: []plan.Route{{To: plan.ToLegacy}}},
				{Name: "gradual", Percents: []plan.Percent{10, 25}, Routes: []plan.Route{{To: plan.ToSplit}}},
			},
		},
	}
	for i := range parents {
		p.Spec.Gateway.GatewayAPI.ParentRefs = append(p.Spec.Gateway.GatewayAPI.ParentRefs, plan.ParentRef{Name: fmt.Sprintf("gw-%d", i)})
	}
	return p
}
