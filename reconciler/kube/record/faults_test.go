package record

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/counts"
	"github.com/changeover-dev/changeover/test/fakes"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// faulty is a proxy, and the configuration of its clients.
func faulty(t testing.TB, k *kubetest.Kube) (*kubetest.Proxy, *rest.Config) {
	t.Helper()
	p := k.Proxy(t, "")
	config, err := kubetest.ReadKubeconfig(p.Kubeconfig)
	must(t, err)
	return p, config
}

// silence is longer than anybody waits for an answer to a load, shortSilence to
// a save; the proxy ends no sooner.
const (
	silence      = 8 * time.Second
	shortSilence = 3 * time.Second
)

func TestAFailingServerKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	k := install(t)
	for name, fault := range map[string]kubetest.Fault{
		"no answer": {Delay: shortSilence}, "reset": {Code: 0}, "500": {Code: http.StatusInternalServerError},
		"429": {Code: http.StatusTooManyRequests}, "429 for a minute": {Code: http.StatusTooManyRequests, RetryAfter: time.Minute},
		"401": {Code: http.StatusUnauthorized}, "403": {Code: http.StatusForbidden}, "409": {Code: http.StatusConflict},
		"carried out, no answer": {Delay: shortSilence, AnswerLost: true, Method: http.MethodPut}, "carried out, reset": {AnswerLost: true, Method: http.MethodPut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
			p, config := faulty(t, k)
			d := startWith(t, config, open(t, t.TempDir())).run(t)
			evaluate(t, d, key, 1)
			shows(t, k, key, 1)

			i := p.Inject(fault)
			begun := time.Now()
			for n := int64(2); n <= 6; n++ {
				must(t, d.Save(t.Context(), key, numbered(n)))
			}
			if took := time.Since(begun); took > saveDeadline+2*time.Second {
				t.Errorf("five saves took %s: each waited", took)
			}
			must(t, d.Append(t.Context(), key, entry(6)))
			rec, _, err := d.o.Inner.Load(t.Context(), key)
			if err != nil || rec.Serial != 6 {
				t.Errorf("the journal has serial %d, %v", rec.Serial, err)
			}
			if d.Problem(key) == "" && !fault.AnswerLost {
				t.Error("no problem is told")
			}
			i.Lift()
			shows(t, k, key, 6)
			kubetest.WaitFor(t, "the problem is over", func() bool { return d.Problem(key) == "" })
			if n := d.log.count("cannot be recorded in the cluster"); n > 2 {
				t.Errorf("the log tells %d times", n)
			}
			must(t, d.Save(t.Context(), key, numbered(7)))
			shows(t, k, key, 7)
			if len(d.fence) > 0 {
				t.Errorf("it was fenced: %v", <-d.fence)
			}
		})
	}
}

func TestOneDurableWriteIsEnough(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	p, config := faulty(t, k)
	inner := &fakes.Recorder{}
	d := startWith(t, config, inner).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)

	full := errors.New("no space left on device")
	inner.FailWith(func(method string) error {
		if strings.HasPrefix(method, "Load") || method == "Keys" || method == "History" {
			return nil
		}
		return full
	})
	must(t, d.Save(t.Context(), key, numbered(2)))
	if m := live(t, k, key); m.Status.RecordSerial != 2 {
		t.Fatalf("Save returned, and the cluster has serial %d", m.Status.RecordSerial)
	}
	if d.log.count("the journal cannot be written") != 1 {
		t.Error("the log does not tell of the journal")
	}
	rec, _, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(numbered(2), rec); diff != "" || err != nil {
		t.Errorf("Load: error %v, (-want +got):\n%s", err, diff)
	}
	i := p.Inject(kubetest.Fault{Delay: shortSilence})
	begun := time.Now()
	err = d.Save(t.Context(), key, numbered(3))
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "in the cluster") || time.Since(begun) > 5*time.Second {
		t.Errorf("Save to neither: error %v after %s", err, time.Since(begun))
	}
	i.Lift()
	must(t, d.Save(t.Context(), key, numbered(4))) // tried though it has just failed
	if m := live(t, k, key); m.Status.RecordSerial != 4 {
		t.Errorf("the cluster has serial %d", m.Status.RecordSerial)
	}
}

func TestARecordThatCannotBeReadIsNeverAnEmptyOne(t *testing.T) { //nolint:tparallel // its cases share what comes before them
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	p, config := faulty(t, k)
	inner := &fakes.Recorder{}
	d := startWith(t, config, inner).run(t)
	evaluate(t, d, key, 3)
	shows(t, k, key, 3)
	d.end()
	for name, fault := range map[string]kubetest.Fault{
		"no answer": {Delay: silence}, "reset": {}, "503": {Code: http.StatusServiceUnavailable}, "403": {Code: http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			i := p.Inject(fault)
			defer i.Lift()
			ctx := t.Context()
			empty := startWith(t, config, &fakes.Recorder{})
			if _, ok, err := empty.Load(ctx, key); ok || err == nil || !strings.Contains(err.Error(), "the cluster may have one") {
				t.Errorf("Load with an empty journal: ok %v, error %v", ok, err)
			}
			if keys, err := empty.Keys(ctx); err == nil {
				t.Errorf("Keys with an empty journal: %v", keys)
			}
			d := startWith(t, config, inner)
			rec, ok, err := d.Load(ctx, key)
			if diff := cmp.Diff(numbered(3), rec); diff != "" || !ok || err != nil {
				t.Errorf("Load: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
			}
			keys, err := d.Keys(ctx)
			if diff := cmp.Diff([]plan.Key{key}, keys); diff != "" || err != nil {
				t.Errorf("Keys: error %v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestPlansDoNotWaitForASilentServerOneByOne(t *testing.T) {
	t.Parallel()
	k := install(t)
	p, config := faulty(t, k)
	inner := &fakes.Recorder{}
	var keys []plan.Key
	for _, name := range []string{"a", "b", "c", "d"} {
		key := plan.Key{Namespace: "default", Name: name}
		must(t, inner.Save(t.Context(), key, numbered(3)))
		keys = append(keys, key)
	}
	p.Inject(kubetest.Fault{Delay: silence})
	d := startWith(t, config, inner)
	begun := time.Now()
	for _, key := range keys {
		rec, ok, err := d.Load(t.Context(), key)
		if err != nil || !ok || rec.Serial != 3 {
			t.Errorf("Load: serial %d, ok %v, error %v", rec.Serial, ok, err)
		}
	}
	if took := time.Since(begun); took > 2*readDeadline {
		t.Errorf("four loads took %s", took)
	}
}

func TestAMissingNamespaceIsTold(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t) + "-later", Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	_, ok, err := d.Load(t.Context(), key)
	if ok || err != nil {
		t.Fatalf("Load: ok %v, error %v", ok, err)
	}
	evaluate(t, d, key, 1)
	kubetest.WaitFor(t, "the problem is told", func() bool {
		return strings.Contains(d.Problem(key), `namespace "`+key.Namespace+`" does not exist: create it`)
	})
	must(t, d.Save(t.Context(), key, numbered(2)))
	kubetest.WaitFor(t, "it was tried four times", func() bool { return d.calls.all()["PATCH"] >= 4 })
	k.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+key.Namespace+"}}")
	shows(t, k, key, 2)
	kubetest.WaitFor(t, "the problem is over", func() bool { return d.Problem(key) == "" })
	if n := d.log.count("cannot be recorded in the cluster"); n != 1 {
		t.Errorf("the log tells %d times", n)
	}
	k.Delete(t, "Namespace", "", key.Namespace)
}

// TestAMissingDefinitionIsTold runs apart from the others: it takes the
// definition away.
func TestAMissingDefinitionIsTold(t *testing.T) {
	k := install(t)
	ns := k.Namespace(t)
	k.Delete(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "migrationplans.changeover.dev")
	kubetest.WaitFor(t, "the definition is gone", func() bool {
		return k.Lookup(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "migrationplans.changeover.dev") == nil
	})
	key := plan.Key{Namespace: ns, Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	if keys, err := d.Keys(t.Context()); err != nil || len(keys) > 0 {
		t.Errorf("Keys: %v, %v", keys, err)
	}
	if _, ok, err := d.Load(t.Context(), key); ok || err != nil {
		t.Fatalf("Load: ok %v, error %v", ok, err)
	}
	evaluate(t, d, key, 1)
	const words = "the API server does not know MigrationPlans: apply the CustomResourceDefinition"
	kubetest.WaitFor(t, "the problem is told", func() bool { return strings.Contains(d.Problem(key), words) })
	install(t)
	shows(t, k, key, 1)
	kubetest.WaitFor(t, "the problem is over", func() bool { return d.Problem(key) == "" })
	if n := d.log.count("level=WARN"); n > 2 { // the plan and the watch
		t.Errorf("the log warns %d times", n)
	}
}

func TestTwoDaemonsFenceEachOther(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	mine := open(t, t.TempDir())
	a := startWith(t, k.Config, mine) // it does not watch
	must(t, a.SaveStatus(t.Context(), steady(t, key)))
	must(t, a.Save(t.Context(), key, numbered(1)))

	b := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	rec, ok, err := b.Load(t.Context(), key)
	if err != nil || !ok || rec.Serial != 1 {
		t.Fatalf("Load: serial %d, ok %v, error %v", rec.Serial, ok, err)
	}
	must(t, b.Save(t.Context(), key, numbered(2)))

	next := numbered(2)
	next.Halt = &decide.HaltOf{Message: "what the first daemon wanted"}
	err = a.Save(t.Context(), key, next)
	if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), b.id) {
		t.Fatalf("Save of the first daemon: %v, want it fenced", err)
	}
	if err := a.Save(t.Context(), key, numbered(3)); !errors.Is(err, ErrFenced) {
		t.Errorf("the first daemon saves again: %v", err)
	}
	if len(a.fence) != 1 || len(b.fence) != 0 {
		t.Errorf("Fenced was told %d and %d times", len(a.fence), len(b.fence))
	}
	rec, _, err = mine.Load(t.Context(), key)
	if diff := cmp.Diff(numbered(2), rec); diff != "" || err != nil {
		t.Errorf("the first daemon's journal would win by its serial: error %v\n%s", err, diff)
	}
	must(t, b.Save(t.Context(), key, numbered(3)))
	if s := live(t, k, key).Status; s.RecordSerial != 3 || s.RecordedBy != b.id {
		t.Errorf("the object has serial %d of %s", s.RecordSerial, s.RecordedBy)
	}
}

func TestADaemonThatOnlyWatchesSeesTheOther(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	a := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	evaluate(t, a, key, 1)
	shows(t, k, key, 1)
	b := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	_, _, err := b.Load(t.Context(), key)
	must(t, err)
	s := steady(t, key) // with the serial as it was
	s.Decision.Reason = decide.Paused
	must(t, b.SaveStatus(t.Context(), s))
	kubetest.WaitFor(t, "the first is fenced", func() bool { return len(a.fence) == 1 })
	must(t, b.Save(t.Context(), key, numbered(2)))
	if len(b.fence) != 0 {
		t.Error("the second was fenced")
	}
}

// TestOnlyOneOfTwoDaemonsSavesEachSerial: both believe that they lead. For each
// serial at most one is told that it was saved.
func TestOnlyOneOfTwoDaemonsSavesEachSerial(t *testing.T) {
	t.Parallel()
	k := install(t)
	for range counts.Of(5, 2) {
		key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
		seed := startWith(t, k.Config, &fakes.Recorder{})
		must(t, seed.SaveStatus(t.Context(), steady(t, key)))
		must(t, seed.Save(t.Context(), key, numbered(1)))
		var mu sync.Mutex
		saved := map[int64]string{}
		var both sync.WaitGroup
		for range 2 {
			d := startWith(t, k.Config, &fakes.Recorder{})
			rec, _, err := d.Load(t.Context(), key)
			must(t, err)
			both.Go(func() {
				for n := rec.Serial + 1; n < rec.Serial+200; n++ {
					if err := d.Save(context.Background(), key, numbered(n)); err != nil {
						if !errors.Is(err, ErrFenced) {
							t.Errorf("Save: %v", err)
						}
						return
					}
					mu.Lock()
					if other := saved[n]; other != "" {
						t.Errorf("serial %d was saved by %s and by %s", n, other, d.id)
					}
					saved[n] = d.id
					mu.Unlock()
				}
			})
		}
		both.Wait()
		mu.Lock()
		t.Logf("%d serials were saved", len(saved))
		mu.Unlock()
	}
}

func TestASaveAfterAnEditIsNotLost(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}) // it does not watch
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	must(t, d.Save(t.Context(), key, numbered(1)))
	for n := int64(2); n < 7; n++ { // on a busy machine two seconds may be too short
		team := fmt.Sprint(n)
		edit(t, k, key, "", func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"team": team}) })
		must(t, d.Save(t.Context(), key, numbered(n)))
		if m := live(t, k, key); m.Status.RecordSerial == n && m.Labels["team"] == team {
			return
		}
		d.clock.move(maxBackoff)
	}
	t.Error("the record was not saved at once")
}

func TestASaveDuringADeletionIsNotLost(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	for n := int64(2); n < 12; n++ {
		k.Delete(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
		must(t, d.Save(t.Context(), key, numbered(n)))
		shows(t, k, key, n)
	}
}
