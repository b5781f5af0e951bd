package send

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

// maxQueued is how many notices wait for one receiver.
const maxQueued = 256

// queue delivers notices to one receiver, in the order in which they came.
type queue struct {
	s       *Sender
	r       Receiver
	wake    chan struct{} // holds one
	waiting prometheus.Gauge

	mu    sync.Mutex
	items []notice.Notice
}

// add drops, where the queue is full, the oldest of the least urgent.
func (q *queue) add(n notice.Notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= maxQueued {
		least, at := plan.Urgency(""), 0
		for i, o := range q.items {
			if o.Severity > least {
				least, at = o.Severity, i
			}
		}
		q.s.outcomes.WithLabelValues(q.r.Name, "dropped").Inc()
		if n.Severity > least {
			return
		}
		q.items = append(q.items[:at], q.items[at+1:]...)
	}
	q.items = append(q.items, n)
	q.waiting.Set(float64(len(q.items)))
	ring(q.wake)
}

func (q *queue) next() (notice.Notice, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return notice.Notice{}, false
	}
	n := q.items[0]
	q.items = q.items[1:]
	q.waiting.Set(float64(len(q.items)))
	return n, true
}

// run delivers until ctx ends and nothing waits, or draining is over.
func (q *queue) run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	drained := context.AfterFunc(ctx, func() { time.AfterFunc(draining, cancel) })
	defer drained()
	for work.Err() == nil {
		n, ok := q.next()
		if ok {
			q.deliver(work, n)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
	}
}

// deliver tries until it works, the receiver refuses, or it is too late.
func (q *queue) deliver(ctx context.Context, n notice.Notice) {
	contentType, body, err := q.r.body(n)
	if err != nil {
		q.s.failed(q.r.Name, err)
		return
	}
	attempt := func() (struct{}, error) {
		return struct{}{}, q.r.post(ctx, q.s.o.Deadline, contentType, body)
	}
	_, err = backoff.Retry(ctx, attempt, backoff.WithBackOff(q.s.retries()), backoff.WithMaxElapsedTime(q.s.o.GiveUp),
		backoff.WithNotify(func(err error, _ time.Duration) { q.s.warn(q.r.Name, err) }))
	if err != nil {
		q.s.failed(q.r.Name, err)
		return
	}
	q.s.sent(q.r.Name, 1)
}
