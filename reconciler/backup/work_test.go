package backup_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/test/kubetest"
)

var deleteNow = metav1.DeleteOptions{}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// job is a Work of the rig, which ends with the test.
type job struct {
	*rig
	w    *backup.Work
	log  *syncBuffer
	reg  *prometheus.Registry
	stop func()
	skew atomic.Int64
}

func (r *rig) work() *job {
	r.Helper()
	j := &job{rig: r, log: &syncBuffer{}, reg: prometheus.NewRegistry()}
	var err error
	j.w, err = backup.New(backup.Options{
		Client: r.c, Store: r.store, Log: slog.New(slog.NewTextHandler(j.log, nil)), Registerer: j.reg,
		Holds: func(context.Context, plan.Key) ([]backup.Hold, error) { return nil, nil },
		Now:   func() time.Time { return time.Now().Add(time.Duration(j.skew.Load())) },
	})
	r.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = j.w.Run(ctx); close(done) }()
	j.stop = func() { cancel(); <-done }
	r.Cleanup(j.stop)
	return j
}

// version of a plan of three phases; the last two have a backup.
func (r *rig) version(rev plan.Revision) plan.Version {
	b := r.of()
	p := &plan.Plan{Metadata: plan.Metadata{Name: r.plan.Name, Namespace: r.plan.Namespace}}
	p.Spec.Phases = []plan.Phase{
		{Name: "before"},
		{Name: "converted", Percents: []plan.Percent{10, 100}, Backup: &b, Rollback: plan.Rollback{Restore: true}},
		{Name: "cleaned", Backup: &b},
	}
	return plan.Version{Plan: p, Revision: rev}
}

func stop(phase string, percent plan.Percent) plan.Position {
	return plan.Position{Phase: phase, Percent: percent}
}

// until asks until the task is done.
func (j *job) until(ask func(context.Context, reconciler.Task) (reconciler.Progress, error), t reconciler.Task) {
	j.Helper()
	kubetest.WaitFor(j, "it is done", func() bool {
		p, err := ask(context.Background(), t)
		j.must(err)
		return p.Done
	})
}

func TestAPhaseIsEnteredWithABackupOfItsOwn(t *testing.T) {
	r := setup(t)
	r.fill(5)
	j := r.work()
	enter := reconciler.Task{Version: r.version("aaaaaaaaaaaa"), From: stop("before", 0), Stop: stop("converted", 10)}
	j.until(j.w.Ensure, enter)
	for _, t := range []reconciler.Task{
		enter,
		{Version: enter.Version, From: stop("converted", 10), Stop: stop("converted", 100)},          // the same phase
		{Version: enter.Version, From: stop("cleaned", 0), Stop: stop("converted", 100), Back: true}, // backward
		{Version: enter.Version, From: stop("converted", 10), Stop: stop("before", 0)},               // none is asked for
	} {
		if p, err := j.w.Ensure(context.Background(), t); !p.Done || err != nil {
			r.Errorf("%v: got %v %v", t.Stop, p, err)
		}
	}
	if got := r.names(); len(got) != 1 || !strings.HasSuffix(got[0], "-converted-aaaaaaaaaa") {
		t.Fatalf("got %q", got)
	}
	j.stop()
	j = r.work() // a restart
	if p, err := j.w.Ensure(context.Background(), enter); !p.Done || err != nil {
		t.Errorf("after a restart: got %v %v", p, err)
	}
	enter.Version.Revision = "bbbbbbbbbbbb"
	j.until(j.w.Ensure, enter)
	if got := r.names(); len(got) != 2 {
		t.Errorf("a new raise: got %q", got)
	}
	if err := testutil.GatherAndCompare(j.reg, strings.NewReader(`# HELP changeover_backup_objects Objects in the newest backup that this daemon made or found.
# TYPE changeover_backup_objects gauge
changeover_backup_objects{plan="`+r.plan.String()+`"} 5
`), "changeover_backup_objects"); err != nil {
		t.Error(err)
	}
}

func TestARollbackRestoresOnce(t *testing.T) {
	r := setup(t)
	r.fill(5)
	before := r.live()
	j := r.work()
	v := r.version("aaaaaaaaaaaa")
	j.until(j.w.Ensure, reconciler.Task{Version: v, From: stop("before", 0), Stop: stop("converted", 10)})
	r.empty()
	r.created(r.of()) // by hand, of what is to be undone: it has another revision
	within := reconciler.Task{Version: v, From: stop("converted", 100), Stop: stop("converted", 10), Back: true, Since: time.Now()}
	if p, err := j.w.Undo(context.Background(), within); !p.Done || err != nil || len(r.live()) > 0 {
		t.Errorf("back within the phase: got %v %v", p, err)
	}
	back := reconciler.Task{Version: v, From: stop("converted", 100), Stop: stop("before", 0), Back: true, Since: time.Now()}
	j.until(j.w.Undo, back)
	if !maps.Equal(before, r.live()) {
		t.Error("the objects are not as they were")
	}
	r.must(r.objects().Delete(context.Background(), "intent-00001", deleteNow))
	j.stop()
	j = r.work()
	j.until(j.w.Undo, back)
	if n := len(r.live()); n != 4 {
		t.Errorf("it was restored once more: %d objects", n)
	}
}

func TestAFailureIsToldAndTriedAgain(t *testing.T) {
	r := setup(t)
	r.fill(5)
	var broken atomic.Bool
	broken.Store(true)
	r.c = r.client(hooked(func(q *http.Request) (*http.Response, error) {
		if broken.Load() && strings.Contains(q.URL.Path, "networkintents") {
			return nil, errors.New("the line is cut")
		}
		return nil, nil
	}))
	j := r.work()
	enter := reconciler.Task{Version: r.version("aaaaaaaaaaaa"), From: stop("before", 0), Stop: stop("converted", 10)}
	var failed error
	kubetest.WaitFor(t, "it fails", func() bool {
		p, err := j.w.Ensure(context.Background(), enter)
		failed = err
		return err != nil && !p.Done
	})
	if !strings.Contains(failed.Error(), "the line is cut") {
		t.Errorf("got %v", failed)
	}
	p, err := j.w.Ensure(context.Background(), enter)
	if err != nil || p.Done || !strings.Contains(p.Message, "it is tried again") {
		t.Errorf("told once: got %v %v", p, err)
	}
	broken.Store(false)
	j.skew.Store(int64(time.Minute))
	j.until(j.w.Ensure, enter)
	r.counts(r.verify(r.newest()), "Intact 5")
}

// newest backup of the plan.
func (r *rig) newest() backup.Manifest {
	r.Helper()
	all, err := r.store.List(context.Background(), r.plan)
	r.must(err)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Err == nil {
			return all[i].Manifest
		}
	}
	r.Fatal("there is no backup")
	return backup.Manifest{}
}

func TestAConflictHoldsARestoreUpAndIsNamed(t *testing.T) {
	r := setup(t)
	r.fill(3)
	j := r.work()
	v := r.version("aaaaaaaaaaaa")
	j.until(j.w.Ensure, reconciler.Task{Version: v, From: stop("before", 0), Stop: stop("converted", 10)})
	r.k.ApplyAs(t, "somebody", r.ns, "{apiVersion: backup.example.com/v1, kind: NetworkIntent, metadata: {name: intent-00001}, spec: {intent: other}}")
	back := reconciler.Task{Version: v, From: stop("converted", 100), Stop: stop("before", 0), Back: true, Since: time.Now()}
	var failed error
	kubetest.WaitFor(t, "it fails", func() bool {
		_, failed = j.w.Undo(context.Background(), back)
		return failed != nil
	})
	for _, want := range []string{"NetworkIntent " + r.ns + "/intent-00001", `"somebody"`, "changeover backup restore"} {
		if !strings.Contains(failed.Error(), want) || want != "changeover backup restore" && !strings.Contains(strings.ReplaceAll(j.log.String(), `\"`, `"`), want) {
			t.Errorf("neither error nor log name %s: %v\n%s", want, failed, j.log)
		}
	}
}

func TestPauseEndsWhatIsUnderWay(t *testing.T) {
	r := setup(t)
	r.fill(5)
	begun := make(chan struct{})
	var once sync.Once
	r.c = r.client(hooked(func(q *http.Request) (*http.Response, error) {
		if strings.Contains(q.URL.Path, "networkintents") {
			once.Do(func() { close(begun) })
			<-q.Context().Done()
			return nil, q.Context().Err()
		}
		return nil, nil
	}))
	j := r.work()
	_, err := j.w.Ensure(context.Background(), reconciler.Task{Version: r.version("aaaaaaaaaaaa"), From: stop("before", 0), Stop: stop("converted", 10)})
	r.must(err)
	<-begun
	j.w.Pause(r.plan)
	j.stop() // it would not end if the request still waited
}
