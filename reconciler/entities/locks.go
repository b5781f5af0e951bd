package entities

import (
	"sync"

	"github.com/changeover-dev/changeover/plan"
)

// Locks keep two of a daemon's tasks from working on one entity at once: a copy
// that is synced to modern must not overwrite what was just handed over. The zero
// value is ready; its methods may be called from any goroutine.
type Locks struct {
	mu   sync.Mutex
	held map[lockKey]struct{}
}

type lockKey struct {
	plan plan.Key
	id   string
}

// TryLock takes the lock of an entity; ok is false where somebody has it. Unlock
// gives it back.
func (l *Locks) TryLock(key plan.Key, id string) (unlock func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := lockKey{key, id}
	if _, taken := l.held[k]; taken {
		return nil, false
	}
	if l.held == nil {
		l.held = map[lockKey]struct{}{}
	}
	l.held[k] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, k)
	}, true
}
