package record

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/test/fakes"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// teller is an Events as a daemon has it.
type teller struct {
	*Events
	log   *said
	clock *clock
	end   func()
}

func tell(t testing.TB, config *rest.Config, uid func(plan.Key) types.UID) *teller {
	t.Helper()
	c, err := client.New(client.Options{Config: config, QPS: -1})
	must(t, err)
	v := &teller{log: &said{}, clock: &clock{}}
	v.Events = NewEvents(EventOptions{Client: c, Log: slog.New(slog.NewTextHandler(v.log, nil)), Now: v.clock.now, UID: uid})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	v.end = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
			done <- nil
		case <-time.After(time.Minute):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(v.end)
	return v
}

// events of a plan, oldest first.
func events(t testing.TB, k *kubetest.Kube, key plan.Key) []eventsv1.Event {
	t.Helper()
	u, err := k.Dynamic.Resource(eventsv1.SchemeGroupVersion.WithResource("events")).Namespace(key.Namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	b, err := json.Marshal(u)
	must(t, err)
	var list eventsv1.EventList
	must(t, json.Unmarshal(b, &list))
	list.Items = slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.Regarding.Name != key.Name })
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int {
		return cmp.Or(a.EventTime.Compare(b.EventTime.Time), strings.Compare(a.Name, b.Name))
	})
	return list.Items
}

func haveEvents(t testing.TB, k *kubetest.Kube, key plan.Key, n int) (list []eventsv1.Event) {
	t.Helper()
	kubetest.WaitFor(t, fmt.Sprintf("%s has %d events", key, n), func() bool {
		list = events(t, k, key)
		return len(list) >= n
	})
	if len(list) > n {
		t.Errorf("%d events, want %d", len(list), n)
	}
	return list
}

func told(at time.Time, verb decide.Verb, reason decide.Reason, message string) reconciler.Entry {
	return reconciler.Entry{At: at, Verb: verb, Reason: reason, From: at10, To: at25, Message: message}
}

func TestEventsTellWhatHappened(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	evaluate(t, d, key, 1)
	m := shows(t, k, key, 1)
	v := tell(t, k.Config, d.UID)
	now := time.Now().Add(-time.Minute)
	for i, e := range []reconciler.Entry{
		told(now, decide.Advance, decide.GatesPassed, "gates passed"),
		told(now, decide.Rollback, decide.Breach, strings.Repeat("ü", 2000)),
		told(now, decide.Halt, decide.BreachFrozen, "frozen"),
		told(now, decide.Advance, decide.NotHealthy, "the move waits"),
		{At: now, Verb: decide.Halt, Message: "the plan is not watched"},
		{Message: "neither"},
	} {
		if e.At.Equal(now) {
			e.At = now.Add(time.Duration(i) * time.Millisecond)
		}
		v.Notify(t.Context(), key, e, i == 3)
	}
	want := []string{"Normal Advance GatesPassed", "Warning Rollback Breach", "Warning Halt BreachFrozen", "Warning Advance NotHealthy", "Warning Halt Halt", "Normal Notify Notify"} //nolint:dupword // action and reason
	for i, e := range haveEvents(t, k, key, len(want)) {
		if got := e.Type + " " + e.Action + " " + e.Reason; got != want[i] {
			t.Errorf("event %d is %q, want %q", i, got, want[i])
		}
		if e.Regarding.UID != m.UID || e.Regarding.Kind != "MigrationPlan" || e.ReportingController != "changeover.dev/changeover" || len(e.Note) > 1024 || e.Series != nil {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	out := k.Kubectl(t, "describe", "migrationplan", key.Name, "--namespace="+key.Namespace)
	if _, shown, _ := strings.Cut(out, "Events:"); !strings.Contains(shown, "gates passed") || !strings.Contains(shown, "Breach") {
		t.Errorf("kubectl describe does not show the events:\n%s", shown)
	}
	if v.Dropped() != 0 {
		t.Errorf("%d were dropped:\n%s", v.Dropped(), v.log)
	}
}

func TestTheSameReasonWithinTenMinutesIsOneEvent(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	other := plan.Key{Namespace: key.Namespace, Name: "other"}
	v := tell(t, k.Config, nil)
	at := time.Now()
	notify := func(key plan.Key, reason decide.Reason, page bool, after time.Duration) {
		at = at.Add(after)
		v.clock.move(after)
		v.Notify(t.Context(), key, told(at, decide.Advance, reason, "m"), page)
		kubetest.WaitFor(t, "it is written", func() bool { v.mu.Lock(); defer v.mu.Unlock(); return len(v.queue) == 0 })
	}
	notify(key, decide.GatesPassed, false, 0)
	notify(key, decide.GatesPassed, false, 9*time.Minute)
	notify(key, decide.GatesPassed, false, 9*time.Minute)
	notify(other, decide.GatesPassed, false, 0)
	notify(key, decide.NotHealthy, false, time.Second)
	notify(key, decide.GatesPassed, true, time.Second)
	notify(key, decide.GatesPassed, false, 10*time.Minute+time.Second)
	list := haveEvents(t, k, key, 4)
	if s := list[0].Series; s == nil || s.Count != 3 || s.LastObservedTime.Sub(list[0].EventTime.Time).Round(time.Second) != 18*time.Minute {
		t.Errorf("the series is %+v", s)
	}
	for _, e := range list[1:] {
		if e.Series != nil {
			t.Errorf("event %s %s has a series", e.Reason, e.Type)
		}
	}
	haveEvents(t, k, other, 1)

	k.Delete(t, "Event.events.k8s.io", key.Namespace, list[3].Name) // as after its hour
	notify(key, decide.GatesPassed, false, time.Minute)
	if list := haveEvents(t, k, key, 4); list[3].Series != nil {
		t.Errorf("after its expiry: %+v", list[3])
	}
}

func TestEventsOutliveAFailingServer(t *testing.T) {
	t.Parallel()
	k := install(t)
	for name, fault := range map[string]kubetest.Fault{
		"reset": {}, "no answer": {Delay: silence}, "500": {Code: http.StatusInternalServerError}, "429": {Code: http.StatusTooManyRequests},
		"carried out, reset": {AnswerLost: true}, "401": {Code: http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
			p, config := faulty(t, k)
			v := tell(t, config, nil)
			fault.Path = "/events"
			i := p.Inject(fault)
			begun, now := time.Now(), time.Now()
			for n := range 3 {
				v.Notify(t.Context(), key, told(now.Add(time.Duration(n)*time.Millisecond), decide.Advance, decide.Reason(fmt.Sprintf("Reason%d", n)), "m"), false)
			}
			if took := time.Since(begun); took > 100*time.Millisecond {
				t.Errorf("Notify blocked for %s", took)
			}
			kubetest.WaitFor(t, "the fault struck", func() bool { return i.Struck() > 0 })
			time.Sleep(500 * time.Millisecond)
			i.Lift()
			for n, e := range haveEvents(t, k, key, 3) {
				if e.Reason != fmt.Sprintf("Reason%d", n) {
					t.Errorf("event %d is %s", n, e.Reason)
				}
			}
			if v.Dropped() != 0 {
				t.Errorf("%d were dropped", v.Dropped())
			}
		})
	}
}

func TestTooManyEventsDropTheOldest(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	c, err := client.New(client.Options{Config: k.Config, QPS: -1})
	must(t, err)
	v := NewEvents(EventOptions{Client: c, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	now := time.Now()
	for n := range maxQueued + 10 { // nobody writes yet
		v.Notify(t.Context(), key, told(now.Add(time.Duration(n)*time.Millisecond), decide.Advance, decide.Reason(fmt.Sprintf("Reason%d", n)), "m"), false)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = v.Run(ctx) }()
	list := haveEvents(t, k, key, maxQueued)
	if v.Dropped() != 10 || list[0].Reason != "Reason10" || list[maxQueued-1].Reason != fmt.Sprintf("Reason%d", maxQueued+9) {
		t.Errorf("%d were dropped, the first left is %s, the last %s", v.Dropped(), list[0].Reason, list[maxQueued-1].Reason)
	}
}

func TestEventsThatCannotBeTakenDoNotStopOthers(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	v := tell(t, k.Config, nil)
	for range 3 {
		v.Notify(t.Context(), plan.Key{Namespace: "nowhere", Name: "a"}, told(time.Now(), decide.Advance, decide.GatesPassed, "m"), false)
	}
	v.Notify(t.Context(), plan.Key{Namespace: "..", Name: "a"}, told(time.Now(), decide.Advance, decide.GatesPassed, "m"), false)
	v.Notify(t.Context(), key, told(time.Now(), decide.Advance, decide.GatesPassed, "m"), false)
	haveEvents(t, k, key, 1)
	if v.Dropped() != 3 || v.log.count("level=WARN") != 1 || v.log.count(`namespace \"nowhere\" does not exist`) != 1 {
		t.Errorf("%d were dropped; the log:\n%s", v.Dropped(), v.log)
	}
}

func TestEventsAreWrittenAsTheDaemonStops(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	v := tell(t, k.Config, nil)
	now := time.Now()
	for n := range 20 {
		v.Notify(t.Context(), key, told(now.Add(time.Duration(n)*time.Millisecond), decide.Advance, decide.Reason(fmt.Sprintf("Reason%d", n)), "m"), false)
	}
	v.end()
	if n := len(events(t, k, key)); n != 20 {
		t.Errorf("%d events are there as Run returned, want 20", n)
	}
}
