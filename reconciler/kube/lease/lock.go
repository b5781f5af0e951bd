package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// lock is a Lease object as the elector uses it. It remembers what it saw: when
// the lease was last renewed, who holds it, and why calls fail.
type lock struct {
	inner    *resourcelock.LeaseLock // for one goroutine: the elector's
	now      func() time.Time
	log      *slog.Logger
	every    time.Duration // between two renewals
	deadline time.Duration // since a renewal; then it does not count any more

	mu       sync.Mutex
	over     bool // nothing that comes late makes it held again
	held     bool
	renewed  time.Time     // when the last renewal that succeeded was sent
	stolen   chan struct{} // closed when somebody else has what was held here
	holder   string
	failures map[string]string // of the last call of each kind that failed
}

// What is done with the object.
const (
	readIt   = "read"
	createIt = "create"
	renewIt  = "renew"
)

var _ resourcelock.Interface = (*lock)(nil)

// begin makes it new for another election.
func (l *lock) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over, l.held, l.stolen, l.failures = false, false, make(chan struct{}), map[string]string{}
}

// Identity implements resourcelock.Interface.
func (l *lock) Identity() string { return l.inner.Identity() }

// Describe implements resourcelock.Interface.
func (l *lock) Describe() string { return l.inner.Describe() }

// RecordEvent implements resourcelock.Interface; the log has it.
func (l *lock) RecordEvent(string) {}

// call bounds one request, such that another fits before the deadline. Where
// there is no time left at all, the one before has told why.
func (l *lock) call(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.deadline/2)
	return ctx, cancel, nil
}

// Get implements resourcelock.Interface.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	ctx, cancel, err := l.call(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	rec, raw, err := l.inner.Get(ctx)
	if err != nil {
		l.failed(readIt, err)
		return nil, nil, err
	}
	l.saw(rec.HolderIdentity)
	return rec, raw, nil
}

// Create implements resourcelock.Interface.
func (l *lock) Create(ctx context.Context, rec resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, createIt, rec, l.inner.Create)
}

// Update implements resourcelock.Interface. The elector looks often and renews
// as often as it looks: what was just renewed is not written again.
func (l *lock) Update(ctx context.Context, rec resourcelock.LeaderElectionRecord) error {
	if l.fresh() {
		return nil
	}
	return l.write(ctx, renewIt, rec, l.inner.Update)
}

func (l *lock) fresh() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held && younger(l.renewed, l.every, l.now())
}

func (l *lock) write(ctx context.Context, how string, rec resourcelock.LeaderElectionRecord, do func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	ctx, cancel, err := l.call(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	sent := l.now() // the others count from later on
	if err := do(ctx, rec); err != nil {
		l.failed(how, err)
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.renewed, l.holder = !l.over, sent, rec.HolderIdentity
	clear(l.failures)
	return nil
}

// saw notes who holds the lease. One that was held here is lost as soon as
// somebody else is seen to hold it: the elector would go on trying.
func (l *lock) saw(holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = holder
	delete(l.failures, readIt)
	if l.held && holder != l.Identity() {
		l.held, l.over = false, true
		close(l.stolen)
	}
}

// taken is closed when somebody else was seen to hold what was held here.
func (l *lock) taken() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stolen
}

// failed says why a call failed, once for every reason. That the object is not
// there yet, or somebody else was first, is no failure.
func (l *lock) failed(how string, err error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, context.Canceled) || how == readIt && apierrors.IsNotFound(err) {
		return
	}
	words := client.Explain(err).Error()
	l.mu.Lock()
	known := l.failures[how] == words
	l.failures[how] = words
	l.mu.Unlock()
	if !known {
		l.log.Warn("the lease could not be read or renewed; it is tried again", "step", how, "err", words)
	}
}

func (l *lock) seenHolder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

// fence is nil while the lease is held and counts.
func (l *lock) fence() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.held && younger(l.renewed, l.deadline, l.now()):
		return nil
	case l.holder == l.Identity():
		return fmt.Errorf("lease %s was not renewed in time%s", l.Describe(), l.why())
	case l.holder != "":
		return fmt.Errorf("lease %s is held by %q", l.Describe(), l.holder)
	}
	return fmt.Errorf("lease %s is not held by this daemon%s", l.Describe(), l.why())
}

// why calls fail; empty where none does.
func (l *lock) why() string {
	if len(l.failures) == 0 {
		return ""
	}
	words := slices.Sorted(maps.Values(l.failures))
	return ": " + strings.Join(slices.Compact(words), "; ")
}

// younger by the monotonic clock and by that on the wall: the first stands still
// while the machine sleeps, the second may be set back.
func younger(t time.Time, than time.Duration, now time.Time) bool {
	return now.Sub(t) < than && now.Round(0).Sub(t.Round(0)) < than
}

// lose has the fence say no from here on, and says why.
func (l *lock) lose() error {
	l.giveUp()
	return l.fence()
}

// giveUp has the fence say no from here on, and reports whether there was
// anything to give up.
func (l *lock) giveUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.held
	l.held, l.over = false, true
	return held
}

// release empties the object where it still names this process. The elector has
// ended.
func (l *lock) release(ctx context.Context) error {
	rec, _, err := l.inner.Get(ctx)
	if err != nil {
		return client.Explain(err)
	}
	if rec.HolderIdentity != l.Identity() {
		return nil
	}
	now := metav1.NewTime(l.now())
	return client.Explain(l.inner.Update(ctx, resourcelock.LeaderElectionRecord{
		LeaderTransitions: rec.LeaderTransitions, LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
	}))
}
