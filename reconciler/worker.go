package reconciler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// worker is one plan's state in memory. All but the fields below mu is touched
// by the plan's own work alone, which is one at a time.
type worker struct {
	r    *Reconciler
	key  plan.Key
	log  *slog.Logger
	busy sync.Mutex // held while the plan is worked
	// links are the plans with which the version that governs is connected;
	// guarded by the Reconciler's mu.
	links []plan.Key
	// stand is how the plan stands for the gates of others, and reads are the
	// plans that its own gates read; guarded by the Reconciler's mu.
	stand gates.PlanState
	reads []string
	// hurried: others of the group wait for the traffic of this plan.
	hurried bool

	loaded   bool
	rec      decide.Record
	stored   decide.Record // as the recorder has it
	unsaved  error         // why rec is not stored
	programs map[plan.Digest]*gates.Program
	failures int // works in a row that failed

	observed   decide.Observed
	mark       *Mark // as last observed in the gateway
	behind     bool  // the cluster has yet to follow what was applied
	observedAt time.Time
	// observedStop is the stop that was applied when it was observed.
	observedStop plan.Position
	splitting    *splitting // nil where no requests are split
	shadow       shadowing
	waiting      string    // what a move, or the cluster, waits for
	waited       string    // what it waited for at the work before
	told         time.Time // the start of the move of which a person was told that it is overdue

	work working // long work of moves

	unread  error           // why the approvals could not be read, or nil
	misread []plan.Problem  // of files that are no approvals
	last    decide.Decision // as last reported
	governs *plan.Plan      // for notifiers; nil before the first is known
	// heldTold is why the branch's head is not taken up, as people were told.
	heldTold string
	breach   time.Time // when the breach that is being answered was decided on

	mu      sync.Mutex
	status  Status
	worked  bool
	woken   bool   // a live object changed since the cluster was last observed
	saved   Status // the status as last saved
	pushing bool
	// proposed is what promotion: auto asked for last.
	proposed proposal
	pushed   *pushResult // the answer of a push that was not taken in yet
	// No push is begun before pushAfter, unless the remote came back after
	// the last was begun.
	pushAfter, pushBegun time.Time
	request              *rollbackRequest
}

func newWorker(r *Reconciler, key plan.Key) *worker {
	return &worker{
		r: r, key: key, log: r.o.Log.With("plan", key.String()), programs: map[plan.Digest]*gates.Program{},
		status: Status{Key: key, State: StateWaiting}, stand: gates.PlanState{Unknown: "it was not looked at yet"},
	}
}

// waitingInterval is how often is looked whether what a move waits for is there.
const waitingInterval = 2 * time.Second

// guarded turns a panic into an error.
func guarded(log *slog.Logger, doing string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: panic: %v", doing, p)
			log.Error("panic", "panic", fmt.Sprint(p), "stack", stack())
		}
	}()
	return do()
}

// backoff grows from 1 s to 5 min, with up to a quarter of jitter, so that
// plans that failed together do not come back together.
func backoff(attempts int) time.Duration {
	d := time.Second << min(attempts-1, 9)
	d = min(d, 5*time.Minute)
	return d - rand.N(d/4+1)
}

// decide asks the core, or answers a person's request for a rollback: answer
// tells the person that the intent was written down and tried, or why not.
func (w *worker) decide(in decide.Input) (d decide.Decision, answer func(error)) {
	w.mu.Lock()
	req := w.request
	w.request = nil
	w.mu.Unlock()
	answer = func(error) {}
	if req == nil {
		return decide.Decide(in), answer
	}
	d, err := decide.Request(in, req.to, req.reason)
	if err != nil {
		req.done <- err
		return decide.Decide(in), answer
	}
	return d, func(err error) { req.done <- err }
}

// save takes the record over and writes it where it differs from what was
// saved, before anything is done about it. A disk that cannot be written is
// tried again at every save, and keeps no plan from going back: what is in
// memory counts, and the marks in the data plane tell a restart the rest.
func (w *worker) save(ctx context.Context, next decide.Record) {
	w.rec = next
	unseen := next
	unseen.Seen = w.stored.Seen // that alone is found again after a restart
	unseen.Serial = w.stored.Serial
	if reflect.DeepEqual(unseen, w.stored) {
		return
	}
	next.Serial = w.stored.Serial + 1
	w.rec.Serial = next.Serial
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeDeadline)
	defer cancel()
	if err := w.r.o.Recorder.Save(ctx, w.key, next); err != nil {
		if w.unsaved == nil {
			w.log.Error("the record cannot be saved: nothing moves forward before it can", "err", err.Error())
		}
		w.unsaved = fmt.Errorf("save the record: %w", err)
		return
	}
	w.stored, w.unsaved = next, nil
}

// digests fills in the digests of a move to a version that was not among the
// input's.
func (w *worker) digests(ctx context.Context, rec decide.Record) (decide.Record, error) {
	m := rec.Move
	if m == nil || m.Content != "" {
		return rec, nil
	}
	v, err := w.version(ctx, m.Revision)
	if err != nil {
		return rec, err
	}
	rec = rec.Clone()
	rec.Move.Content, rec.Move.Live = v.Content, v.Live
	return rec, nil
}
