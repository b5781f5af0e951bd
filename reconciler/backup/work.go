package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

const (
	// atOnce is how many backups and restores run at the same time.
	atOnce = 2
	// retryLeast and retryMost bound the time between two attempts.
	retryLeast = 2 * time.Second
	retryMost  = 5 * time.Minute
)

// The operations, as metrics call them.
const (
	opBackup  = "backup"
	opRestore = "restore"
)

// Options of a Work.
type Options struct {
	Client *client.Client
	Store  *Store
	// Identities open the Secrets of a backup that a backward move restores.
	Identities []age.Identity
	// Holds of a plan, for retention.
	Holds      func(context.Context, plan.Key) ([]Hold, error)
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Work makes the backups that moves wait for, and restores them after backward
// moves. It implements reconciler.Work.
type Work struct {
	o       Options
	metrics *metrics
	slots   chan struct{}

	mu   sync.Mutex
	jobs map[plan.Key]*job
	all  sync.WaitGroup
	end  bool
}

var _ reconciler.Work = (*Work)(nil)

// New makes one. It makes no call.
func New(o Options) (*Work, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Work{o: o, metrics: m, slots: make(chan struct{}, atOnce), jobs: map[plan.Key]*job{}}, nil
}

// Run waits until ctx ends, and then ends all that is under way. A backup that
// was not finished is none; a restore goes on where it was.
func (w *Work) Run(ctx context.Context) error {
	<-ctx.Done()
	w.mu.Lock()
	w.end = true
	for _, j := range w.jobs {
		j.cancel()
	}
	w.mu.Unlock()
	w.all.Wait()
	return nil
}

// task tells one thing to do from the next.
type task struct {
	op       string
	phase    string
	revision plan.Revision
	since    time.Time // of a restore
}

// job is one that is under way, or has ended.
type job struct {
	task   task
	cancel context.CancelFunc

	mu       sync.Mutex
	progress reconciler.Progress
	begun    time.Time
	ended    bool
	told     bool // the error was returned
	err      error
	failures int
	again    time.Time // when a failed one is tried again
}

func (j *job) show(message string, c Count, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := reconciler.Progress{Name: opBackup, Message: message, Total: c.Total, Finished: c.Done, Failed: c.Failed}
	if spent := now.Sub(j.begun).Seconds(); spent > 0 {
		p.Rate = float64(c.Done+c.Failed) / spent
	}
	j.progress = p
}

// finish ends an attempt.
func (j *job) finish(err error, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended, j.err = true, err
	if err == nil {
		j.progress.Done = true
		return
	}
	j.progress.Message = err.Error() + "; it is tried again"
	j.again = now.Add(min(retryLeast<<min(j.failures, 10), retryMost))
	j.failures++
}

// Ensure implements reconciler.Work: the phase that is entered from another one
// has its backup.
func (w *Work) Ensure(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	done := reconciler.Progress{Name: opBackup, Done: true}
	ph := t.Version.Plan.Phase(t.Stop.Phase)
	if ph == nil || ph.Backup == nil || t.Back || t.From.Phase == t.Stop.Phase {
		return done, nil
	}
	key := t.Version.Plan.Key()
	id := task{op: opBackup, phase: ph.Name, revision: t.Version.Revision}
	return w.drive(key, id,
		func() (bool, error) {
			all, err := w.o.Store.List(ctx, key)
			m := made(all, ph.Name, t.Version.Revision)
			if m != nil {
				w.metrics.newest(*m)
			}
			return m != nil, err
		},
		func(ctx context.Context, j *job) error { return w.backup(ctx, j, t.Version, ph) })
}

// made finds the backup of a phase that was made for a revision.
func made(all []Stored, phase string, rev plan.Revision) *Manifest {
	for i := len(all) - 1; i >= 0; i-- {
		if m := &all[i].Manifest; all[i].Err == nil && m.Phase == phase && m.Revision == rev {
			return m
		}
	}
	return nil
}

// drive begins a task or goes on with it. Whether it is done already is asked
// where nothing is known of it.
func (w *Work) drive(key plan.Key, id task, isDone func() (bool, error), do func(context.Context, *job) error) (reconciler.Progress, error) {
	w.mu.Lock()
	j := w.jobs[key]
	w.mu.Unlock()
	failures := 0
	if j != nil {
		j.mu.Lock()
		p, ended, err, told := j.progress, j.ended, j.err, j.told
		wait := w.o.Now().Before(j.again)
		if ended {
			j.told, failures = true, j.failures
		}
		j.mu.Unlock()
		switch {
		case !ended && j.task != id:
			j.cancel()
			return reconciler.Progress{Name: opBackup, Message: "it waits until what is under way has ended"}, nil
		case j.task != id:
			failures = 0
		case !ended:
			return p, nil
		case err == nil:
			return p, nil
		case !told:
			return p, err
		case wait:
			return p, nil
		}
	}
	if done, err := isDone(); done || err != nil {
		return reconciler.Progress{Name: opBackup, Done: done}, err
	}
	return w.begin(key, id, failures, do), nil
}

// begin starts an attempt.
func (w *Work) begin(key plan.Key, id task, failures int, do func(context.Context, *job) error) reconciler.Progress {
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{task: id, cancel: cancel, failures: failures, begun: w.o.Now()}
	waits := reconciler.Progress{Name: opBackup, Message: "it waits for others to end"}
	j.progress = waits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end {
		cancel()
		return reconciler.Progress{Name: opBackup, Message: "the daemon ends"}
	}
	w.jobs[key] = j
	w.all.Go(func() {
		defer cancel()
		err := w.attempt(ctx, key, j, do)
		j.finish(err, w.o.Now())
	})
	return waits
}

func (w *Work) attempt(ctx context.Context, key plan.Key, j *job, do func(context.Context, *job) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.o.Log.Error("panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			w.metrics.failures.WithLabelValues(key.String(), j.task.op).Inc()
		}
	}()
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	j.mu.Lock()
	j.begun = w.o.Now()
	j.mu.Unlock()
	begun := w.o.Now()
	if err = do(ctx, j); err == nil {
		w.metrics.seconds.WithLabelValues(key.String(), j.task.op).Observe(w.o.Now().Sub(begun).Seconds())
	}
	return err
}

// Pause implements reconciler.Work.
func (w *Work) Pause(key plan.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j := w.jobs[key]; j != nil {
		j.cancel()
		delete(w.jobs, key)
	}
}

// backup makes one, and then deletes those that are too old.
func (w *Work) backup(ctx context.Context, j *job, v plan.Version, ph *plan.Phase) error {
	c, err := w.o.Client.ForPlan(v.Plan)
	if err != nil {
		return err
	}
	key := v.Plan.Key()
	m, err := Create(ctx, Creation{
		Client: c, Store: w.o.Store, Plan: key, Phase: ph.Name, Backup: *ph.Backup, Revision: v.Revision, Now: w.o.Now,
		Show: func(n Count) { j.show("makes the backup of phase "+ph.Name, n, w.o.Now()) },
	})
	if err != nil {
		return err
	}
	w.metrics.newest(m)
	w.o.Log.Info("backup made", "plan", key.String(), "phase", ph.Name, "backup", m.Name, "objects", m.Objects, "bytes", m.Bytes)
	j.show("", Count{Total: m.Objects, Done: m.Objects}, w.o.Now())
	w.expire(ctx, key)
	return nil
}

// expire deletes what is too old. That it cannot holds nothing up.
func (w *Work) expire(ctx context.Context, key plan.Key) {
	holds, err := w.o.Holds(ctx, key)
	var gone []string
	if err == nil {
		gone, err = w.o.Store.Expire(ctx, key, holds, w.o.Now())
	}
	if len(gone) > 0 {
		w.o.Log.Info("old backups deleted", "plan", key.String(), "backups", gone)
	}
	if err != nil {
		w.o.Log.Error("old backups could not be deleted", "plan", key.String(), "err", err.Error())
	}
}
