package story

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// unseenError is a step of the story that was not observed in time.
type unseenError struct {
	Expected string
	Saw      string
	Within   time.Duration // zero: it was looked at once
}

// Error names what was expected and what was seen instead.
func (u *unseenError) Error() string {
	if u.Within == 0 {
		return fmt.Sprintf("expected: %s\n     saw: %s", u.Expected, u.Saw)
	}
	return fmt.Sprintf("expected within %s: %s\n     saw: %s", u.Within, u.Expected, u.Saw)
}

// expect fails unless ok.
func expect(ok bool, expected, saw string, args ...any) error {
	if ok {
		return nil
	}
	return &unseenError{Expected: expected, Saw: fmt.Sprintf(saw, args...)}
}

const pollInterval = 100 * time.Millisecond

// await looks until probe has seen what is expected. It gives up when the time
// is over or a process of the stage has ended.
func (st *stage) await(ctx context.Context, expected string, within time.Duration, probe func(context.Context) (seen bool, saw string)) error {
	within *= time.Duration(max(1, st.patience))
	deadline, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := "nothing yet"
	for {
		seen, saw := probe(deadline)
		if seen {
			return nil
		}
		// What is seen after the deadline is only that it has passed.
		if deadline.Err() == nil {
			last = saw
		}
		if err := st.alive(); err != nil {
			return &unseenError{Expected: expected, Saw: err.Error(), Within: within}
		}
		select {
		case <-deadline.Done():
			if ctx.Err() != nil {
				last = strings.TrimSpace(last) + fmt.Sprintf(" (then the whole story ended: %v)", context.Cause(ctx))
			}
			return &unseenError{Expected: expected, Saw: last, Within: within}
		case <-tick.C:
		}
	}
}
