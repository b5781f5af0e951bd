package send

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

// expires is how many times longer than the refresh an alert lasts by itself,
// should the daemon die.
const expires = 5

// alert as the API v2 of Alertmanager takes it.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alerts keeps one Alertmanager told of what holds. There is no queue: each
// attempt tells the newest state, and what was over since the last that worked.
type alerts struct {
	s    *Sender
	r    Receiver
	wake chan struct{} // holds one

	mu   sync.Mutex
	now  map[string]alert // what holds, by labels
	over map[string]alert // what was told, and holds no more
	sent map[string]bool  // told, and not yet over
}

func newAlerts(s *Sender, r Receiver) *alerts {
	return &alerts{s: s, r: r, wake: make(chan struct{}, 1), now: map[string]alert{}, over: map[string]alert{}, sent: map[string]bool{}}
}

// set takes in the conditions of all plans.
func (a *alerts) set(all []notice.Condition, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.now
	a.now = map[string]alert{}
	changed := false
	for _, c := range all {
		if !a.r.WantsAlert(c) {
			continue
		}
		id := c.ID() + "\x00" + string(c.Severity)
		old, known := before[id]
		al := alertOf(c, now)
		if known && c.Since.IsZero() {
			al.StartsAt = old.StartsAt
		}
		a.now[id] = al
		delete(a.over, id)
		changed = changed || !known
	}
	for id, al := range before {
		if _, still := a.now[id]; !still && a.sent[id] {
			al.EndsAt = now
			a.over[id] = al
			changed = true
		}
	}
	if changed {
		ring(a.wake)
	}
}

func alertOf(c notice.Condition, now time.Time) alert {
	al := alert{
		Labels:      map[string]string{"alertname": c.Name, "plan": c.Key.String(), "namespace": c.Key.Namespace, "severity": string(c.Severity)},
		Annotations: map[string]string{"summary": clip(c.Summary), "description": clip(c.Message)},
		StartsAt:    c.Since,
	}
	if c.Source != "" {
		al.Labels["source"] = c.Source
	}
	if al.StartsAt.IsZero() {
		al.StartsAt = now
	}
	return al
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// payload is what is to be told; nil where there is nothing.
func (a *alerts) payload(now time.Time) (body []byte, ids, over []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []alert
	for _, id := range slices.Sorted(maps.Keys(a.now)) {
		al := a.now[id]
		al.EndsAt = now.Add(expires * a.s.o.Refresh)
		all = append(all, al)
		ids = append(ids, id)
	}
	for _, id := range slices.Sorted(maps.Keys(a.over)) {
		all = append(all, a.over[id])
		over = append(over, id)
	}
	for _, id := range ids {
		a.sent[id] = true // also where the answer is lost
	}
	if len(all) == 0 {
		return nil, nil, nil, nil
	}
	body, err = json.Marshal(all)
	return body, ids, over, err
}

// run tells until ctx ends.
func (a *alerts) run(ctx context.Context) {
	wait := a.s.retries()
	next := a.s.o.Refresh
	for {
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.wake:
			timer.Stop()
		case <-timer.C:
		}
		if err := a.tell(ctx); err != nil {
			a.s.failed(a.r.Name, err)
			next = wait.NextBackOff()
			a.s.sleep(ctx, min(next, a.s.o.RetryFirst)) // however often it is woken
			continue
		}
		wait.Reset()
		next = a.s.o.Refresh
	}
}

func (a *alerts) tell(ctx context.Context) error {
	body, ids, over, err := a.payload(a.s.o.Now())
	if err != nil || body == nil {
		return err
	}
	if err := a.r.post(ctx, a.s.o.Deadline, "application/json", body); err != nil {
		return err
	}
	a.s.sent(a.r.Name, len(ids)+len(over))
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range over {
		if _, again := a.now[id]; !again {
			delete(a.over, id)
			delete(a.sent, id)
		}
	}
	return nil
}
