package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// event is one thing that happens.
type event struct {
	kind string
	stop int // of a declare
	part part
	n    int // boundaries, minutes, or works
	val  float64
}

func (e event) String() string {
	return fmt.Sprintf("%s stop=%d part=%s n=%d val=%g", e.kind, e.stop, e.part, e.n, e.val)
}

// eventsOf are those of a seed.
func eventsOf(seed uint64) (out []event) {
	r := rand.New(rand.NewPCG(seed, 2))
	kinds := []string{
		"work", "work", "work", "work", "work", "pass", "pass", "pass", "declare", "declare", "declare", "metric", "metric", "metric",
		"down", "up", "fault", "fault", "fault", "revert", "unhold", "docs", "content", "break", "mend", "kill", "lose", "stale", "drift", "resume",
	}
	for range 40 + r.IntN(80) {
		out = append(out, event{
			kind: kinds[r.IntN(len(kinds))], stop: r.IntN(len(itinerary)), part: parts[r.IntN(len(parts))], n: 1 + r.IntN(15),
			val: []float64{0, 0, 0.02, 0.2, 0.2, float64(metricNone), float64(metricNaN), float64(metricStale)}[r.IntN(8)],
		})
	}
	return out
}

var faults = []fault{faultKill, faultError, faultPush, faultPause}

// happen has one event happen.
func (w *World) happen(e event) {
	w.tell("%s", e)
	switch e.kind {
	case "work":
		for range 1 + e.n%3 {
			w.work()
			w.Steps++
		}
	case "pass":
		w.pass(time.Duration(e.n) * time.Minute)
	case "metric":
		w.metric = metric(e.val)
	case "down":
		w.down[e.part] = true
	case "up":
		delete(w.down, e.part)
	case "fault":
		w.faults = append(w.faults, armed{e.n, faults[e.stop%len(faults)]})
		slices.SortStableFunc(w.faults, func(a, b armed) int { return a.in - b.in })
	case "kill":
		if w.d != nil {
			w.d.kill()
		}
	case "lose":
		if w.d != nil {
			w.d.kill()
		}
		w.forget()
	case "stale":
		w.staleGit = 1
	case "drift":
		w.gateway.Lose(shop)
	default:
		w.person(e)
	}
	w.Steps++
	w.after()
}

// rounds is within how many looks, eleven minutes apart, a world without faults is
// where it should be.
const rounds = 60

// settle ends all faults and checks that Git, gateway and cluster come to agree.
func (w *World) settle() {
	w.tell("the faults end")
	w.down, w.faults, w.metric, w.staleGit = map[part]bool{}, nil, 0, 0
	w.person(event{kind: "mend"})
	var st reconciler.Status
	for i := range rounds {
		w.work()
		w.Steps++
		w.after()
		if st, _ = w.status(); i%10 == 5 {
			w.mended(st)
		}
		if i > 2 && w.agrees(st) {
			return
		}
		w.pass(11 * time.Minute)
	}
	head := w.plan(w.host.head())
	w.breaks(11, "it does not come to an end: the plan is %s at %s, the branch declares %s, callers get %d; %s %s: %s; halt %+v, pending %+v, error %q",
		st.State, st.Effective, head.Spec.Position, w.served(), st.Decision.Verb, st.Decision.Reason, st.Decision.Message, st.Halt, st.Pending, st.Error)
}

// mended has somebody do what the daemon waits for a person to do.
func (w *World) mended(st reconciler.Status) {
	if st.Halt == nil && st.Decision.Reason != decide.Quarantined {
		return
	}
	w.person(event{kind: "declare", stop: max(0, w.served())})
	if st.Halt != nil {
		w.person(event{kind: "resume"})
	}
	w.person(event{kind: "unhold"})
}

// agrees reports whether everybody says the same, and the cluster is as rendered.
func (w *World) agrees(st reconciler.Status) bool {
	p := w.plan(w.host.head())
	s := w.served()
	if s < 0 || st.Move != nil || st.Pending != nil || st.Effective != itinerary[s] || p.Spec.Position != itinerary[s] {
		return false
	}
	for _, o := range manifests(p, itinerary[s]) {
		live := w.cluster.Live(o.ID())
		if live == nil || replicas(live) != replicas(o) {
			return false
		}
	}
	return true
}

func replicas(o map[string]any) any {
	spec, _ := o["spec"].(map[string]any)
	return spec["replicas"]
}

// Play has the events happen in a new world, and returns it when they have, or at
// the first law that is broken.
func Play(seed uint64, events []event) *World {
	w := newWorld(seed)
	defer w.close()
	for _, e := range events {
		if w.happen(e); len(w.broken) > 0 {
			return w
		}
	}
	w.settle()
	return w
}
