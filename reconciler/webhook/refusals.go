package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logAgain is when a refusal for the same reason is logged once more.
const logAgain = time.Minute

// refusals logs what is refused such that a flood of it is a few lines. Nothing
// that a delivery says gets into the log.
type refusals struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[string]*refusal // by the answers' texts, which are few
}

// refusal is of one reason.
type refusal struct {
	loggedAt time.Time
	count    int // since then
}

// note logs a refusal, or only counts it for the next line. That has the kind
// and the address of the newest one.
func (l *refusals) note(a answer, err error, kind, from string, now time.Time) {
	l.mu.Lock()
	r, ok := l.seen[a.text]
	if !ok {
		r = &refusal{}
		l.seen[a.text] = r
	}
	r.count++
	if ok && now.Sub(r.loggedAt) < logAgain {
		l.mu.Unlock()
		return
	}
	count := r.count
	r.loggedAt, r.count = now, 0
	l.mu.Unlock()

	level, attrs := slog.LevelWarn, []slog.Attr{slog.String("reason", a.text), slog.Int("count", count), slog.String("kind", kind), slog.String("from", from)}
	if err != nil {
		level, attrs = slog.LevelError, append(attrs, slog.String("err", err.Error()))
	}
	l.log.LogAttrs(context.Background(), level, "a delivery to the webhook is refused", attrs...)
}
