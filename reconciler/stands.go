package reconciler

import (
	"slices"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Gates read how other plans stand as plans.NAME. Plans that read one another are
// no group for that: reading is no ordering. A reader needs nothing of the other's
// turn but its outcome, so it reads what the other last told here. In one group a
// plan whose gateway hangs would hold up all that only look at it, and two plans
// that look at each other would be one. Who must not go before another, or must go
// back with it, says dependsOn.

// stands tells how the plan stands, and has those worked whose gates read it where
// that is something else than before.
func (w *worker) stands(st gates.PlanState) {
	r := w.r
	var wake []plan.Key
	r.mu.Lock()
	if w.stand != st {
		w.stand = st
		for key, o := range r.plans {
			if slices.Contains(o.reads, w.key.Name) && key.Namespace == w.key.Namespace {
				wake = append(wake, key)
			}
		}
	}
	r.mu.Unlock()
	if r.queue == nil {
		return
	}
	for _, key := range wake {
		r.enqueue(key)
	}
}

// goesBack tells that the plan is going back, before its traffic has moved: nobody
// should go on by where it was.
func (t *turn) goesBack() {
	st := decide.Stand(t.in, t.d)
	st.State = string(StateRollingBack)
	t.w.stands(st)
}

// standOf is how a plan stands after its turn.
func standOf(in decide.Input, d decide.Decision, state State) gates.PlanState {
	st := decide.Stand(in, d)
	if st.Unknown == "" {
		st.State = string(state)
	}
	return st
}

// others are how the plans stand that gates of this one read, by name. What it
// reads is remembered: it is worked when one of them changes.
func (w *worker) others(names []string) map[string]gates.PlanState {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	w.reads = names
	if len(names) == 0 {
		return nil
	}
	out := make(map[string]gates.PlanState, len(names))
	for _, name := range names {
		o, ok := r.plans[plan.Key{Namespace: w.key.Namespace, Name: name}]
		switch {
		case ok:
			out[name] = o.stand
		case r.branch.head == "":
			out[name] = gates.PlanState{Unknown: "git was not read yet"}
		default:
			out[name] = gates.PlanState{Unknown: "there is no such plan"}
		}
	}
	return out
}
