package sidelabel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/kubetest"
)

const text = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: intents}
spec:
  position: {phase: monolith}
  entities:
    source: {kubernetes: {apiVersion: nephoran.com/v1, kind: NetworkIntent, selector: "story=STORY"}}
    owner: label
    rules:
      - {when: 'object.spec.intentType == "deployment"', side: modern}
      - {when: 'object.metadata.namespace == "CORE"', side: legacy}
    inFlight: 'object.?status.?phase.orValue("") == "Processing"'
    verify: {equal: ['!has(object.status) || !has(object.status.legacy) || !has(object.status.modern) || object.status.legacy == object.status.modern']}
    rate: 1000
    concurrency: 8
  phases:
    - name: monolith
    - name: compare
      entities: {side: validation}
    - name: gradual
      percents: [10, 25, 50, 75, 100]
`

// world is the objects, their two controllers, and those who use them.
type world struct {
	t          *testing.T
	kube       dynamic.Interface
	p          *plan.Plan
	text       string
	edge, core string // namespaces
	mu         sync.Mutex
	names      []Name
}

func newWorld(t *testing.T, k *kubetest.Kube) *world {
	t.Helper()
	w := &world{t: t, kube: k.Dynamic, edge: k.Namespace(t), core: k.Namespace(t)}
	w.text = strings.NewReplacer("STORY", w.edge, "CORE", w.core).Replace(text)
	p, err := decoded(w.text)
	if err != nil {
		t.Fatal(err)
	}
	w.p = p
	return w
}

// create makes n objects: of ten, one is of a type that a rule gives to modern, and
// one in a namespace that a rule leaves to legacy.
func (w *world) create(prefix string, n int) {
	w.t.Helper()
	for i := range n {
		kind, namespace := "scaling", w.edge
		switch i % 10 {
		case 3:
			kind = "deployment"
		case 7:
			namespace = w.core
		}
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "nephoran.com/v1", "kind": "NetworkIntent",
			"metadata": map[string]any{"name": fmt.Sprintf("%s-%04d", prefix, i), "labels": map[string]any{"story": w.edge}},
			"spec":     map[string]any{"intentType": kind, "rev": int64(1)},
		}}
		if _, err := w.kube.Resource(intents).Namespace(namespace).Create(w.t.Context(), u, metav1.CreateOptions{}); err != nil {
			w.t.Fatal(err)
		}
		w.mu.Lock()
		w.names = append(w.names, Name{namespace, u.GetName()})
		w.mu.Unlock()
	}
}

// inhabit starts both controllers, and somebody who changes objects all the time.
func (w *world) inhabit(wrong func(*unstructured.Unstructured) bool) {
	label := w.p.Key().SideLabel()
	ctx, cancel := context.WithCancel(context.Background())
	var g sync.WaitGroup
	for _, c := range []*controller{
		{side: plan.Legacy, kube: w.kube, label: label, selector: "story=" + w.edge + "," + label + " in (legacy,validation)"},
		{side: plan.Modern, kube: w.kube, label: label, selector: "story=" + w.edge + "," + label + " in (modern,validation)", wrong: wrong},
	} {
		g.Go(func() { c.run(ctx) })
	}
	g.Go(func() {
		for rev := 2; ctx.Err() == nil; rev++ {
			w.mu.Lock()
			n := w.names[rand.IntN(len(w.names))]
			w.mu.Unlock()
			if err := touch(ctx, w.kube, n.Namespace, n.Name, rev); err != nil && ctx.Err() == nil {
				w.t.Error(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	w.t.Cleanup(func() { cancel(); g.Wait() })
}

// all are the objects with their marks.
func (w *world) all() map[Name]Mark {
	w.t.Helper()
	l, err := w.kube.Resource(intents).List(w.t.Context(), metav1.ListOptions{LabelSelector: "story=" + w.edge})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[Name]Mark{}
	for i := range l.Items {
		u := &l.Items[i]
		out[Name{u.GetNamespace(), u.GetName()}] = markOf(w.p.Key(), u.GetLabels(), u.GetAnnotations())
	}
	return out
}

// await waits until every object is as it should be.
func (w *world) await(what string, should func(Name, Mark) bool) {
	w.t.Helper()
	var odd []string
	defer func() {
		if w.t.Failed() {
			w.t.Log(odd)
		}
	}()
	kubetest.WaitFor(w.t, what, func() bool {
		odd = nil
		for n, m := range w.all() {
			if !should(n, m) {
				odd = append(odd, fmt.Sprint(n, m))
			}
		}
		return len(odd) == 0
	})
}

func at(percent plan.Percent) plan.Position { return plan.Position{Phase: "gradual", Percent: percent} }

// wanted reports whether an object that was born on legacy is where p % has it.
func (w *world) wanted(n Name, m Mark, p plan.Percent) bool {
	side := plan.SideLegacy
	switch {
	case isDeployment(n):
		side = plan.SideModern
	case n.Namespace != w.core && plan.OnModern(plan.Bucket(w.p.Salt(), n.String()), p):
		side = plan.SideModern
	}
	return m.Side == side
}

func isDeployment(n Name) bool { return strings.HasSuffix(n.Name, "3") }

func TestObjectsGoThereAndBack(t *testing.T) {
	count, kills := 40, 1
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		count, kills = 1000, 5
	}
	k := install(t)
	w := newWorld(t, k)
	w.create("old", count)
	seen := watchAll(t, w.kube, w.p.Key(), "story="+w.edge)
	w.inhabit(nil)
	d := startDaemon(t, k.Kubeconfig, w.text)

	d.ask(plan.Position{Phase: "monolith"}, false, kills)
	w.await("all are legacy's", func(_ Name, m Mark) bool { return m == mark(plan.SideLegacy, ownership.BornLegacy, 0) })
	d.ask(plan.Position{Phase: "compare"}, false, kills)
	w.await("both work on all", func(_ Name, m Mark) bool { return m == mark(plan.SideValidation, ownership.BornLegacy, 0) })
	for _, p := range []plan.Percent{10, 25, 50} {
		begun := time.Now()
		last := d.ask(at(p), false, kills)
		t.Logf("%v %%: %s, %s", p, time.Since(begun).Round(time.Millisecond), last.Progress.Message)
		w.await(fmt.Sprint(p, " % are modern's"), func(n Name, m Mark) bool { return m.Origin == ownership.BornModern || w.wanted(n, m, p) })
		w.create(fmt.Sprintf("at%v", p), count/20+10)
		w.await("the new ones have a side", func(_ Name, m Mark) bool { return m.Side != "" && m.Origin != "" })
	}
	before := w.all()
	d.ask(at(25), true, kills)
	migrated, stayed := 0, 0
	w.await("what 50 % had handed over is back", func(n Name, m Mark) bool {
		was := before[n]
		switch {
		case was.Origin == ownership.BornModern:
			stayed++
			return m == was
		case was.Percent == 50 && !isDeployment(n):
			migrated++
			return m == mark(plan.SideLegacy, ownership.BornLegacy, 0)
		}
		return m == was
	})
	if migrated == 0 || stayed == 0 {
		t.Errorf("%d went back and %d stayed: the test shows nothing", migrated, stayed)
	}
	for _, p := range []plan.Percent{50, 75, 100} {
		d.ask(at(p), false, kills)
	}
	w.await("all but the core are modern's", func(n Name, m Mark) bool {
		return m.Side == plan.SideModern || n.Namespace == w.core && m.Side == plan.SideLegacy
	})
	seen.check(t)
	seen.mu.Lock()
	defer seen.mu.Unlock()
	slices.Sort(seen.nobody)
	t.Logf("%d objects, %d flips, %d kills; nobody's for %s at most, for %s half of the %d", len(seen.last), seen.flips, d.kills,
		seen.nobody[len(seen.nobody)-1].Round(time.Millisecond), seen.nobody[len(seen.nobody)/2].Round(time.Millisecond), len(seen.nobody))
}
