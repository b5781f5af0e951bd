package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// DefaultDuration is that of a lease where the options say nothing.
const DefaultDuration = 15 * time.Second

// releaseTimeout bounds the giving up.
const releaseTimeout = 5 * time.Second

// ErrLost says that the lease was lost while the work went on: another daemon
// works now, or may soon.
var ErrLost = errors.New("the lease was lost")

// Options of a Lease.
type Options struct {
	// Config of the API server, as the daemon's own account. Its rate does
	// not count.
	Config *rest.Config
	// Namespace and Name of the Lease object, which is created where it is
	// not there.
	Namespace, Name string
	// Identity names this process for people, such as by its host. What makes
	// it differ from all others is added.
	Identity string
	// Duration for which a holder that fell silent keeps the others out, in
	// whole seconds, at least three; DefaultDuration where zero. It is renewed
	// every fifth of it, and after two thirds without a renewal it does not
	// count any more for its holder.
	Duration time.Duration
	Log      *slog.Logger     // slog.Default where nil
	Now      func() time.Time // time.Now where nil; monotonic
}

// Lease is one candidate. Its methods may be called from any goroutine, Run
// once at a time.
type Lease struct {
	o    Options
	lock *lock
}

// New checks the options. It makes no call.
func New(o Options) (*Lease, error) {
	if o.Duration == 0 {
		o.Duration = DefaultDuration
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Config == nil || o.Namespace == "" || o.Name == "" || o.Identity == "":
		return nil, errors.New("prepare the lease: the API server, the namespace and name of the lease and who asks for it must be given")
	case o.Duration < 3*time.Second || o.Duration%time.Second != 0:
		return nil, fmt.Errorf("prepare the lease: duration %s: want whole seconds, at least 3s", o.Duration)
	}
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS, cfg.RateLimiter = -1, nil // its own pace is the limit: nothing else may delay a renewal
	c, err := coordination.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare the lease: %w", err)
	}
	// A process that starts anew must not take itself for the one before it.
	o.Identity += "_" + rand.Text()[:8]
	l := &Lease{o: o}
	l.lock = &lock{
		inner: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Client:     c,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		now: o.Now, log: o.Log.With("lease", o.Namespace+"/"+o.Name),
		every: o.Duration / 5, deadline: o.Duration * 2 / 3,
	}
	return l, nil
}

// Identity is that under which this candidate holds the lease.
func (l *Lease) Identity() string { return l.o.Identity }

// Holder is the identity of the candidate that held the lease when this one
// last looked; empty where nobody did, or nothing is known.
func (l *Lease) Holder() string { return l.lock.seenHolder() }

// Fence is nil only while the lease is held and its last renewal is younger
// than two thirds of its duration. Ask it before every effect: the error says
// why none may be begun. It makes no call, so that a person who edits or deletes
// the object is noticed at the next renewal and not before.
func (l *Lease) Fence() error { return l.lock.fence() }

// Run waits for the lease, and then calls lead with a context that ends with
// ctx or when the lease is lost. When lead returns, the lease is given up, and
// Run returns lead's error. A lost lease is ErrLost; Run then waits for lead no
// longer than the lease's duration. Where ctx ends before there was anything to
// lead, it returns nil.
func (l *Lease) Run(ctx context.Context, lead func(context.Context) error) error {
	// The lease is renewed until lead has returned, also after ctx has ended.
	// client-go's own log is about what the lock's says better.
	elect, stop := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	defer stop()
	l.lock.begin()
	term, err := l.begin(elect)
	if err != nil {
		return err
	}
	select {
	case <-term.started:
	case <-ctx.Done():
		term.end()
		l.release(ctx)
		return nil
	}
	l.lock.log.Info("this daemon leads", "identity", l.o.Identity)
	leading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- lead(leading) }()
	select {
	case err := <-done:
		term.end()
		l.release(ctx)
		return err
	case <-term.ended: // it could not be renewed in time
	case <-l.lock.taken():
	}
	why := l.lock.lose() // before the context ends: Fence has to say no first
	l.lock.log.Error("the lease was lost: nothing more is begun", "why", why.Error())
	cancel(ErrLost)
	term.end()
	return fmt.Errorf("%w: %w%s", ErrLost, why, l.await(done))
}

// await waits until the work has ended, but not for ever: the process must end.
func (l *Lease) await(done <-chan error) string {
	t := time.NewTimer(l.o.Duration)
	defer t.Stop()
	select {
	case err := <-done:
		if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrLost) {
			return ""
		}
		return "; the work ended with: " + err.Error()
	case <-t.C:
		return fmt.Sprintf("; what was begun has not ended within %s", l.o.Duration)
	}
}

// term is one elector at work.
type term struct {
	started chan struct{} // closed when the lease was acquired
	ended   chan struct{} // closed when it is not tried for or renewed any more
	stop    context.CancelFunc
}

func (t *term) end() {
	t.stop()
	<-t.ended
}

func (l *Lease) begin(ctx context.Context) (*term, error) {
	ctx, stop := context.WithCancel(ctx)
	t := &term{started: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: l.lock, Name: l.o.Name,
		LeaseDuration: l.o.Duration, RenewDeadline: l.lock.deadline, RetryPeriod: l.look(),
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(t.started) }, OnStoppedLeading: func() {}},
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("wait for the lease: %w", err)
	}
	go func() {
		defer close(t.ended)
		elector.Run(ctx)
	}()
	return t, nil
}

// look is how often the lease is looked at while another holds it: that it was
// given up is seen within a second, as client-go adds up to 1.2 times more.
func (l *Lease) look() time.Duration {
	return min(max(l.o.Duration/40, 100*time.Millisecond), 400*time.Millisecond)
}

// release gives the lease up where this process holds it, so that the next need
// not wait. What fails is only said: the lease runs out by itself.
func (l *Lease) release(ctx context.Context) {
	if !l.lock.giveUp() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := l.lock.release(ctx); err != nil {
		l.lock.log.Warn("the lease could not be given up: the others wait until it runs out", "err", err.Error())
	}
}
