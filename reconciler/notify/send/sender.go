package send

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

// repeats is for how long a notice that says what the last one of its plan said is
// not told again.
const repeats = 10 * time.Minute

// draining is how long what waits is still delivered after the daemon's end.
const draining = 3 * time.Second

// Sender notifies receivers. Notify may be called from several goroutines.
type Sender struct {
	o      Options
	alerts []*alerts
	queues []*queue
	wake   chan struct{} // holds one: something happened to a plan

	outcomes *prometheus.CounterVec

	mu   sync.Mutex
	last map[plan.Key]told
	bad  map[string]string // the last failure in the log, by receiver

	conditions map[string]notice.Condition // as at the last look; for look alone
	lookedAt   time.Time
}

type told struct {
	same string
	at   time.Time
}

var _ reconciler.Notifier = (*Sender)(nil)

// New makes a sender. Run delivers what it is told.
func New(o Options) (*Sender, error) {
	if o.Statuses == nil || o.Now == nil || o.Log == nil {
		return nil, errors.New("make the notifications: options Statuses, Now and Log are required")
	}
	o.defaults()
	s := &Sender{
		o: o, wake: make(chan struct{}, 1), last: map[plan.Key]told{}, bad: map[string]string{}, conditions: map[string]notice.Condition{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_notifications_total", Help: "Notifications by what became of them: sent, failed, or dropped as the queue was full. For an Alertmanager: alerts told, and attempts that failed.",
		}, []string{"receiver", "result"}),
	}
	waiting := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "changeover_notifications_waiting", Help: "Notifications that wait to be delivered.",
	}, []string{"receiver"})
	for _, r := range o.Receivers {
		for _, result := range []string{"sent", "failed", "dropped"} {
			s.outcomes.WithLabelValues(r.Name, result)
		}
		if r.Kind == Alertmanager {
			s.alerts = append(s.alerts, newAlerts(s, r))
			continue
		}
		s.queues = append(s.queues, &queue{s: s, r: r, wake: make(chan struct{}, 1), waiting: waiting.WithLabelValues(r.Name)})
	}
	if o.Registerer == nil {
		return s, nil
	}
	return s, errors.Join(o.Registerer.Register(s.outcomes), o.Registerer.Register(waiting))
}

// Notify implements reconciler.Notifier. It makes no call and waits for none.
func (s *Sender) Notify(_ context.Context, key plan.Key, e reconciler.Entry, page bool) {
	s.offer(notice.Of(key, e, page))
	ring(s.wake)
}

// offer puts a notice into the queues of those that want it.
func (s *Sender) offer(n notice.Notice) {
	now := s.o.Now()
	s.mu.Lock()
	before := s.last[n.Key]
	again := n.Kind != notice.Reminder && before.same == n.Same() && now.Sub(before.at) < repeats
	if n.Kind != notice.Reminder {
		s.last[n.Key] = told{n.Same(), now}
	}
	s.mu.Unlock()
	if again {
		return
	}
	for _, q := range s.queues {
		if q.r.Wants(n) {
			q.add(n)
		}
	}
}

// Run delivers until ctx ends, and then for some seconds what waits. It returns
// nil.
func (s *Sender) Run(ctx context.Context) error {
	s.lookedAt = s.o.Now()
	var g sync.WaitGroup
	for _, a := range s.alerts {
		g.Go(func() { a.run(ctx) })
	}
	for _, q := range s.queues {
		g.Go(func() { q.run(ctx) })
	}
	for ctx.Err() == nil {
		s.look()
		t := time.NewTimer(s.o.Interval)
		select {
		case <-ctx.Done():
		case <-s.wake:
			// What is told is in the status soon after.
			s.sleep(ctx, min(time.Second, s.o.Interval))
		case <-t.C:
		}
		t.Stop()
	}
	g.Wait()
	return nil
}

// look finds what holds of all plans, what is over, and what is due to be
// reminded of.
func (s *Sender) look() {
	now := s.o.Now()
	var all []notice.Condition
	holds := map[string]notice.Condition{}
	for _, st := range s.o.Statuses() {
		for _, c := range notice.Conditions(st, now) {
			all = append(all, c)
			holds[c.ID()] = c
		}
		for _, n := range notice.Reminders(st, s.lookedAt, now) {
			s.offer(n)
		}
	}
	for _, a := range s.alerts {
		a.set(all, now)
	}
	for _, id := range slices.Sorted(maps.Keys(s.conditions)) {
		if _, still := holds[id]; still {
			continue
		}
		if n, needed := notice.Over(s.conditions[id], now); needed {
			s.offer(n)
		}
	}
	s.conditions, s.lookedAt = holds, now
}

func (s *Sender) retries() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = s.o.RetryFirst, s.o.RetryMost
	b.Reset()
	return b
}

func (s *Sender) sent(receiver string, n int) {
	s.outcomes.WithLabelValues(receiver, "sent").Add(float64(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[receiver] != "" {
		s.o.Log.Info("the receiver is reached again", "receiver", receiver)
		s.bad[receiver] = ""
	}
}

// failed notes an attempt or a notification that failed, and logs it where it is
// not the failure before.
func (s *Sender) failed(receiver string, err error) {
	s.outcomes.WithLabelValues(receiver, "failed").Inc()
	s.warn(receiver, err)
}

func (s *Sender) warn(receiver string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[receiver] != err.Error() {
		s.bad[receiver] = err.Error()
		s.o.Log.Warn("the receiver cannot be told; it is tried again", "receiver", receiver, "err", err.Error())
	}
}

func (s *Sender) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// ring wakes who waits on a channel that holds one.
func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
