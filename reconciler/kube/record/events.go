package record

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

const (
	controller = "changeover.dev/changeover"
	// maxQueued is how many events wait; the oldest is dropped for a new one.
	maxQueued = 256
	// maxSeries is how many series are remembered.
	maxSeries = 1024
	// seriesLasts is how long after an event the next of its kind counts as the
	// same.
	seriesLasts = 10 * time.Minute
	// staleEvent is told no more.
	staleEvent    = time.Hour
	maxNote       = 1024 // bytes, as the API server wants it
	eventDeadline = 5 * time.Second
)

// EventOptions are those of Events. All but UID are required.
type EventOptions struct {
	Client *client.Client
	Log    *slog.Logger
	Now    func() time.Time
	// UID is that of a plan's object, by which kubectl describe finds its
	// events: Recorder.UID.
	UID func(plan.Key) types.UID
}

// Events notifies by Kubernetes events on the MigrationPlan objects. It is safe
// for concurrent use.
type Events struct {
	o        EventOptions
	instance string
	wake     chan struct{} // holds one

	mu      sync.Mutex
	queue   []notice
	dropped int64
	told    string // the last failure in the log

	series map[seriesKey]*seriesOf // for Run alone
}

// notice is one that waits.
type notice struct {
	key  plan.Key
	e    reconciler.Entry
	page bool
}

// seriesKey tells events apart; those of one key within ten minutes are one.
type seriesKey struct {
	key          plan.Key
	uid          types.UID
	verb, reason string
	kind         string
}

type seriesOf struct {
	name  string
	count int32
	last  time.Time
}

var _ reconciler.Notifier = (*Events)(nil)

// NewEvents makes a notifier; Run writes what it is told.
func NewEvents(o EventOptions) *Events {
	if o.UID == nil {
		o.UID = func(plan.Key) types.UID { return "" }
	}
	return &Events{o: o, instance: identity(), wake: make(chan struct{}, 1), series: map[seriesKey]*seriesOf{}}
}

// Notify implements reconciler.Notifier. It makes no call.
func (v *Events) Notify(_ context.Context, key plan.Key, e reconciler.Entry, page bool) {
	if !mirrored(key) {
		return
	}
	if e.At.IsZero() {
		e.At = v.o.Now()
	}
	v.mu.Lock()
	if len(v.queue) >= maxQueued {
		v.queue = v.queue[1:]
		v.dropped++
	}
	v.queue = append(v.queue, notice{key, e, page})
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Dropped is how many events were not written.
func (v *Events) Dropped() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dropped
}

// Run writes events until the context ends; then it returns nil. An event for
// which the API server has no answer is tried again for an hour, and those
// after it wait.
func (v *Events) Run(ctx context.Context) error {
	for attempt := 0; ctx.Err() == nil; {
		n, ok := v.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-v.wake:
			}
			continue
		}
		err := v.write(ctx, n)
		if err == nil {
			attempt = 0
			continue
		}
		if !again(err) && ctx.Err() == nil || v.o.Now().Sub(n.e.At) > staleEvent || !v.unread(n) {
			v.drop(err)
			attempt = 0
			continue
		}
		v.tell(err)
		select {
		case <-ctx.Done():
		case <-time.After(min(time.Second<<min(attempt, 5), 30*time.Second)):
		}
		attempt++
	}
	v.flush(context.WithoutCancel(ctx))
	return nil
}

// flush writes what waits, once, as the daemon stops.
func (v *Events) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveDeadline)
	defer cancel()
	for n, ok := v.next(); ok && ctx.Err() == nil; n, ok = v.next() {
		if err := v.write(ctx, n); err != nil {
			v.drop(err)
		}
	}
}

func (v *Events) next() (notice, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) == 0 {
		return notice{}, false
	}
	n := v.queue[0]
	v.queue = v.queue[1:]
	return n, true
}

// unread puts a notice back at the front; it reports false where newer ones have
// taken the room.
func (v *Events) unread(n notice) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) >= maxQueued {
		return false
	}
	v.queue = append([]notice{n}, v.queue...)
	return true
}

func (v *Events) drop(err error) {
	v.tell(err)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropped++
}

// tell logs a failure once.
func (v *Events) tell(err error) {
	why := masked(err.Error())
	v.mu.Lock()
	told := v.told == why
	v.told = why
	v.mu.Unlock()
	if !told {
		v.o.Log.Warn("an event could not be written", "err", err.Error())
	}
}

// again reports whether the same event may be taken later.
func again(err error) bool {
	return client.Unreachable(err) || errors.Is(err, context.DeadlineExceeded) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsUnauthorized(err)
}

// write makes an event, or counts one up.
func (v *Events) write(ctx context.Context, n notice) error {
	ctx, cancel := context.WithTimeout(ctx, eventDeadline)
	defer cancel()
	ev := v.event(n)
	k := seriesKey{n.key, ev.Regarding.UID, ev.Action, ev.Reason, ev.Type}
	v.forget()
	resource := v.o.Client.Dynamic().Resource(eventsv1.SchemeGroupVersion.WithResource("events")).Namespace(ev.Namespace)
	if s, ok := v.series[k]; ok {
		counted, err := v.count(ctx, resource, s, n)
		if counted || err != nil {
			return err
		}
		delete(v.series, k) // it has expired
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ev)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", ev.Name, err)
	}
	_, err = resource.Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) { // the answer to the first attempt was lost
		return fmt.Errorf("create an event of %s: %w", n.key, client.Explain(err))
	}
	v.series[k] = &seriesOf{name: ev.Name, count: 1, last: n.e.At}
	return nil
}

// count counts an event up; it reports false where the event is not there any
// more.
func (v *Events) count(ctx context.Context, resource dynamic.ResourceInterface, s *seriesOf, n notice) (bool, error) {
	patch, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: s.count + 1, LastObservedTime: metav1.NewMicroTime(n.e.At)}})
	if err != nil {
		return false, fmt.Errorf("encode the series of event %s: %w", s.name, err)
	}
	_, err = resource.Patch(ctx, s.name, types.MergePatchType, patch, metav1.PatchOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("count event %s up: %w", s.name, client.Explain(err))
	}
	s.count++
	s.last = n.e.At
	return true, nil
}

// forget drops the series that have ended, and all where there are too many.
func (v *Events) forget() {
	now := v.o.Now()
	for k, s := range v.series {
		if now.Sub(s.last) > seriesLasts {
			delete(v.series, k)
		}
	}
	if len(v.series) >= maxSeries {
		clear(v.series)
	}
}

func (v *Events) event(n notice) *eventsv1.Event {
	kind := corev1.EventTypeNormal
	if n.page || n.e.Verb == decide.Rollback || n.e.Verb == decide.Halt {
		kind = corev1.EventTypeWarning
	}
	verb := cmp.Or(string(n.e.Verb), "Notify")
	reason := cmp.Or(string(n.e.Reason), verb)
	return &eventsv1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: eventsv1.SchemeGroupVersion.String(), Kind: "Event"},
		// The name is the same at every attempt.
		ObjectMeta: metav1.ObjectMeta{Namespace: n.key.Namespace, Name: fmt.Sprintf("%s.%s.%x", n.key.Name, strings.ToLower(reason), n.e.At.UnixNano())},
		EventTime:  metav1.NewMicroTime(n.e.At), ReportingController: controller, ReportingInstance: v.instance,
		Action: verb, Reason: reason, Type: kind, Note: clipTo(n.e.Message, maxNote),
		Regarding: corev1.ObjectReference{
			APIVersion: plan.APIVersion, Kind: plan.Kind, Namespace: n.key.Namespace, Name: n.key.Name, UID: v.o.UID(n.key),
		},
	}
}
