package route

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxPoll is the longest time between two looks.
	maxPoll = time.Second
	// settle is how long a refusal has to stand: a controller may not know a
	// Service yet that was made a moment ago.
	settle = 500 * time.Millisecond
	// backTime bounds the putting back, for which the caller may have no
	// time left.
	backTime = 10 * time.Second
)

// change is one call of Apply, after what may be refused at once.
type change struct {
	*place
	gateway *Gateway
	want    map[string]any // the spec
	old     *live          // before
	moves   bool           // old is another spec
	forward bool
}

// await returns nil when every parent has taken the route.
func (c *change) await(ctx context.Context, l *live) error {
	v, err := c.settled(ctx, l)
	switch {
	case err != nil:
		return err
	case v.good():
		return nil
	case len(v.refused) == 0:
		return fmt.Errorf("%w: %s; the new route is written and stays", ErrNotTaken, v)
	case !c.moves:
		return fmt.Errorf("%w: %s; the route was left as it is", ErrRefused, v)
	case !c.forward && len(v.taken)+len(v.accepted) > 0:
		// What is missing, such as a Service, was missing before as well: the
		// old weights would only send more requests to where nobody answers.
		return fmt.Errorf("%w: %s; it stays for %s", ErrRefused, v, strings.Join(slices.Concat(v.taken, v.accepted), ", "))
	}
	return fmt.Errorf("%w: %s; %s", ErrRefused, v, c.putBack(ctx))
}

// settled looks until the parents have decided or ctx ends.
func (c *change) settled(ctx context.Context, l *live) (v verdict, err error) {
	var refused time.Time
	var unread error
	for wait := c.gateway.o.Poll; ; wait = min(2*wait, maxPoll) {
		if l != nil {
			v = l.judge()
			now := c.gateway.o.Now()
			switch {
			case v.good():
				return v, nil
			case len(v.refused) == 0:
				refused = time.Time{}
			case refused.IsZero():
				refused = now
			case now.Sub(refused) >= c.gateway.settle:
				return v, nil
			}
		}
		if !sleep(ctx, wait) {
			if unread != nil {
				return v, fmt.Errorf("%w: %w; the new route is written and stays", ErrNotTaken, unread)
			}
			return v, nil
		}
		if l, unread = c.read(ctx); unread != nil {
			l = nil
			continue
		}
		switch {
		case l == nil:
			return v, fmt.Errorf("%w: %s was deleted meanwhile", ErrNotTaken, c)
		case l.taken(c.key) != "":
			return v, fmt.Errorf("%w: %s", ErrNotOurs, l.taken(c.key))
		case !l.is(c.want):
			return v, fmt.Errorf("%w: %s was changed meanwhile: %s", ErrNotTaken, c, l.others())
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// putBack undoes a change that was refused, unless somebody has changed the
// route since. It says what it did.
func (c *change) putBack(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.gateway.back)
	defer cancel()
	l, err := c.read(ctx)
	switch {
	case err != nil:
		return "the route from before could not be put back: " + err.Error()
	case l == nil || l.taken(c.key) != "" || !l.is(c.want):
		return "the route was changed meanwhile, and was left as it is"
	case c.old == nil:
		if err := c.remove(ctx, l); err != nil {
			return "it could not be deleted again, and stays: " + err.Error()
		}
		return "there was none before, and it was deleted again"
	}
	annotations := map[string]string{}
	for _, name := range marks {
		if v, ok := c.old.GetAnnotations()[name]; ok {
			annotations[name] = v
		}
	}
	if l, err = c.write(ctx, specOf(c.old.Object), annotations, l); err != nil {
		return "the route from before could not be put back: " + err.Error()
	}
	back := change{place: c.place, gateway: c.gateway, want: specOf(c.old.Object), old: l}
	if err := back.await(ctx, l); err != nil {
		return "the route from before was put back, but " + err.Error()
	}
	return "the route from before was put back and is served"
}
