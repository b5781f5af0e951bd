package record

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// ErrFenced says that another daemon records the plan in the cluster. A
// recorder that was fenced stays so.
var ErrFenced = errors.New("another daemon records the plan in the cluster")

var (
	// errNoSpec: there is no object, and what to make it of is not known yet.
	errNoSpec = errors.New("the plan's spec is not known yet")
	// errLater: the cluster failed a moment ago; Run tries again.
	errLater = errors.New("the cluster could not be written a moment ago; it is tried again")
)

// Deadlines of calls, and how long Run waits for more to write.
const (
	saveDeadline  = 2 * time.Second
	readDeadline  = 5 * time.Second
	writeDeadline = 10 * time.Second
	settle        = 200 * time.Millisecond // after a status
	linger        = 2 * time.Second        // after an entry: a status follows it
	downFor       = 5 * time.Second        // nobody waits again for a server that did not answer
	maxBackoff    = time.Minute
)

// Options of a Recorder. All but Wake and Fenced are required.
type Options struct {
	// Inner is the local journal.
	Inner  reconciler.Recorder
	Client *client.Client
	Log    *slog.Logger
	Now    func() time.Time
	// Source names the repository and branch that are watched, without
	// secrets: objects of another are left alone. Empty: all are ours.
	Source string
	// ID names this daemon in the objects: the same for as long as its journal
	// is the same, so that what another wrote meanwhile is told from what it
	// wrote itself. Empty: one is made up.
	ID string
	// Shared: other daemons may take over. Then a record of the journal alone
	// is not believed while the cluster's cannot be read.
	Shared bool
	// Wake is told of plans that have a record in the cluster which nobody
	// has asked for. It must not block.
	Wake func(plan.Key)
	// Fenced is told once that another daemon is at work. It must not block.
	Fenced func(error)
}

// Recorder is a reconciler.Recorder in the cluster and in a journal. It is safe
// for use by several goroutines.
type Recorder struct {
	o  Options
	id string // as in recordedBy

	retries workqueue.TypedRateLimiter[plan.Key] // of writes that failed
	drifts  workqueue.TypedRateLimiter[plan.Key] // of edits by others

	mu      sync.Mutex
	objects map[plan.Key]*object
	queue   workqueue.TypedDelayingInterface[plan.Key] // nil while Run does not
	live    cache.Store                                // of Run; nil while it does not
	fenced  error
	down    time.Time // until then nobody waits for the server
	watch   string    // why the objects cannot be watched
}

var _ reconciler.Recorder = (*Recorder)(nil)

// New checks the options. It makes no call.
func New(o Options) (*Recorder, error) {
	for name, missing := range map[string]bool{
		"Inner": o.Inner == nil, "Client": o.Client == nil, "Log": o.Log == nil, "Now": o.Now == nil,
	} {
		if missing {
			return nil, fmt.Errorf("start the record in the cluster: option %s is not set", name)
		}
	}
	if o.Wake == nil {
		o.Wake = func(plan.Key) {}
	}
	if o.Fenced == nil {
		o.Fenced = func(error) {}
	}
	return &Recorder{
		o: o, id: cmp.Or(o.ID, identity()), objects: map[plan.Key]*object{},
		retries: workqueue.NewTypedItemExponentialFailureRateLimiter[plan.Key](time.Second, maxBackoff),
		drifts:  workqueue.NewTypedItemExponentialFailureRateLimiter[plan.Key](time.Second, 5*time.Minute),
	}, nil
}

// identity names this daemon: two never share one, and a restart has another.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	b := make([]byte, 6)
	_, _ = rand.Read(b) // it never fails
	return host + "_" + hex.EncodeToString(b)
}

// label is how Kubernetes wants the names of namespaces, and the definition
// those of plans.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// mirrored reports whether the cluster can have an object for the plan.
func mirrored(key plan.Key) bool {
	return label.MatchString(key.Namespace) && label.MatchString(key.Name)
}

// object is the plan's, made where it is new.
func (r *Recorder) object(key plan.Key) *object {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.objects[key]
	if !ok {
		p = &object{key: key, turn: make(chan struct{}, 1)}
		r.objects[key] = p
	}
	return p
}

func (r *Recorder) lookup(key plan.Key) (*object, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.objects[key]
	return p, ok
}

// after has Run look at a plan.
func (r *Recorder) after(key plan.Key, d time.Duration) {
	r.mu.Lock()
	q := r.queue
	r.mu.Unlock()
	if q != nil {
		q.AddAfter(key, d)
	}
}

// Problem says in words why the plan cannot be shown in the cluster as it is;
// empty: it can.
func (r *Recorder) Problem(key plan.Key) string {
	p, ok := r.lookup(key)
	if !ok {
		return ""
	}
	r.mu.Lock()
	watch := r.watch
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.problem, watch)
}

// UID of the plan's object, as last seen; empty: there is none.
func (r *Recorder) UID(key plan.Key) types.UID {
	p, ok := r.lookup(key)
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		return ""
	}
	return p.live.uid
}

// Save implements reconciler.Recorder. It returns nil when the journal or the
// cluster has the record, ErrFenced where another daemon wrote to the cluster.
func (r *Recorder) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	if err := r.isFenced(); err != nil {
		return err
	}
	inner := r.o.Inner.Save(ctx, key, rec)
	if !mirrored(key) {
		return inner
	}
	p := r.object(key)
	r.tellBound(key, p.setRecord(rec))
	err := r.saveNow(ctx, p, inner != nil)
	switch {
	case errors.Is(err, ErrFenced):
		return err
	case err == nil && inner != nil:
		r.o.Log.Error("the journal cannot be written; the record is in the cluster alone", "plan", key.String(), "err", inner.Error())
		return nil
	case err != nil && inner != nil:
		return errors.Join(inner, fmt.Errorf("save record of %s in the cluster: %w", key, err))
	case err != nil && !errors.Is(err, errNoSpec):
		r.after(key, r.wait(p))
	}
	return nil
}

// saveNow writes the object while the caller waits. Where it need not, it does
// not wait for a server that has just failed.
func (r *Recorder) saveNow(ctx context.Context, p *object, must bool) error {
	if !must && r.wait(p) > 0 {
		return errLater
	}
	ctx, cancel := context.WithTimeout(ctx, saveDeadline)
	defer cancel()
	if err := p.take(ctx); err != nil {
		return fmt.Errorf("wait for the write under way: %w", err)
	}
	defer p.give()
	return r.write(ctx, p)
}

// Load implements reconciler.Recorder: of two copies the one with the higher
// serial, of two with the same the journal's.
func (r *Recorder) Load(ctx context.Context, key plan.Key) (decide.Record, bool, error) {
	inner, ok, err := r.o.Inner.Load(ctx, key)
	if !mirrored(key) {
		return inner, ok, err
	}
	p := r.object(key)
	there := copyOf{err: errLater}
	if err != nil || !ok || !r.isDown() {
		there = r.loadLive(ctx, p)
	}
	rec, ok, err := r.choose(key, copyOf{rec: inner, ok: ok, err: err}, there)
	if err == nil {
		r.tellBound(key, p.takeOver(rec, ok))
	}
	return rec, ok, err
}

func (r *Recorder) loadLive(ctx context.Context, p *object) (there copyOf) {
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	if there.err = p.take(ctx); there.err != nil {
		return there
	}
	defer p.give()
	there.rec, there.ok, there.err = r.fetch(ctx, p)
	p.mu.Lock()
	if l := p.live; l != nil {
		there.by = l.by
	}
	p.mu.Unlock()
	r.noteDown(there.err)
	return there
}

// tellBound logs what the object has no room for.
func (r *Recorder) tellBound(key plan.Key, err error) {
	if err != nil {
		r.o.Log.Error("the plan cannot be shown whole in the cluster", "plan", key.String(), "err", err.Error())
	}
}

// Keys implements reconciler.Recorder: those of the journal and of the cluster.
func (r *Recorder) Keys(ctx context.Context) ([]plan.Key, error) {
	keys, err := r.o.Inner.Keys(ctx)
	if err != nil {
		return nil, err
	}
	there, err := r.list(ctx)
	switch {
	case err != nil && len(keys) == 0:
		return nil, fmt.Errorf("list records: the journal has none, and the cluster may have some: %w", err)
	case err != nil:
		r.o.Log.Warn("the records in the cluster cannot be listed; those of the journal count", "err", err.Error())
	}
	keys = append(keys, there...)
	slices.SortFunc(keys, func(a, b plan.Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(keys), nil
}

// Append implements reconciler.Recorder. The cluster has the newest entries.
func (r *Recorder) Append(ctx context.Context, key plan.Key, e reconciler.Entry) error {
	err := r.o.Inner.Append(ctx, key, e)
	if mirrored(key) {
		p := r.object(key)
		p.gather(r.o.Now(), linger) // before there is something to write
		r.tellBound(key, p.append(e))
		r.after(key, linger)
	}
	return err
}

// History implements reconciler.Recorder: the journal's, and before them what
// only the cluster still has.
func (r *Recorder) History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	entries, err := r.o.Inner.History(ctx, key, n)
	if err != nil || len(entries) >= n || !mirrored(key) {
		return entries, err
	}
	p := r.object(key)
	if err := r.know(ctx, p); err != nil {
		return entries, nil //nolint:nilerr // it shows what it has; nobody acts on it
	}
	var older []reconciler.Entry
	for _, e := range p.entries() {
		if len(entries) == 0 || e.At.Before(entries[0].At) {
			older = append(older, e)
		}
	}
	older = older[max(0, len(older)-(n-len(entries))):]
	return append(older, entries...), nil
}

// SaveStatus implements reconciler.Recorder. The object is made, or changed, a
// moment later, and only where the status says something new.
func (r *Recorder) SaveStatus(ctx context.Context, s reconciler.Status) error {
	err := r.o.Inner.SaveStatus(ctx, s)
	if mirrored(s.Key) {
		p := r.object(s.Key)
		p.gather(r.o.Now(), settle)
		r.tellBound(s.Key, p.setStatus(s, r.o.Now()))
		r.after(s.Key, settle)
	}
	return err
}

// LoadStatus implements reconciler.Recorder: the journal's, else what the
// object shows, which has no gates and no itinerary.
func (r *Recorder) LoadStatus(ctx context.Context, key plan.Key) (reconciler.Status, bool, error) {
	s, ok, err := r.o.Inner.LoadStatus(ctx, key)
	if err == nil && ok || !mirrored(key) {
		return s, ok, err
	}
	p := r.object(key)
	if unread := r.know(ctx, p); unread != nil {
		return s, ok, errors.Join(err, fmt.Errorf("load status of %s from the cluster: %w", key, unread))
	}
	if shown, there := p.shown(); there {
		return shown, true, nil
	}
	return s, ok, err
}

// know reads the object where nothing is known of it yet.
func (r *Recorder) know(ctx context.Context, p *object) error {
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	if p.read {
		return nil
	}
	return r.get(ctx, p)
}
