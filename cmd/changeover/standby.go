package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/claims"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// plansNow is what the servers ask: the loops of all sources, once they were
// made, and before that nothing but why there is none.
type plansNow struct {
	sources []*source // set before the servers start
	claims  claims.Claims
	// leader names the daemon that works while this one stands by; none where
	// there is no election.
	leader atomic.Pointer[func() string]
}

// stand notes that this daemon stands by until it leads.
func (p *plansNow) stand(leader func() string) { p.leader.Store(&leader) }

var _ web.Plans = (*plansNow)(nil)

// Statuses of the plans of all sources. Where two declare a plan of one name,
// that of the source which keeps it comes first.
func (p *plansNow) Statuses() []reconciler.Status {
	var out []reconciler.Status
	for _, s := range p.sources {
		if l := s.loop.Load(); l != nil {
			out = append(out, named(s, l.Statuses())...)
		}
	}
	slices.SortStableFunc(out, func(a, b reconciler.Status) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name), p.second(a)-p.second(b))
	})
	return out
}

// named says in statuses whose they are.
func named(s *source, all []reconciler.Status) []reconciler.Status {
	for i := range all {
		all[i].Source = s.flags.name
	}
	return all
}

// second is 1 for a plan that another source keeps.
func (p *plansNow) second(s reconciler.Status) int {
	if owner, ok := p.claims.Owner(s.Key); ok && owner != s.Source {
		return 1
	}
	return 0
}

// of is the loop that works a plan; nil where none is known to.
func (p *plansNow) of(key plan.Key) (*source, *reconciler.Reconciler) {
	owner, claimed := p.claims.Owner(key)
	for _, s := range p.sources {
		l := s.loop.Load()
		if l == nil || claimed && s.flags.name != owner {
			continue
		}
		if _, ok := l.Status(key); ok {
			return s, l
		}
	}
	return nil, nil
}

func (p *plansNow) Status(key plan.Key) (reconciler.Status, bool) {
	s, l := p.of(key)
	if l == nil {
		return reconciler.Status{}, false
	}
	st, ok := l.Status(key)
	st.Source = s.flags.name
	return st, ok
}

func (p *plansNow) History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	if _, l := p.of(key); l != nil {
		return l.History(ctx, key, n)
	}
	return nil, p.why(key)
}

func (p *plansNow) RequestRollback(ctx context.Context, key plan.Key, to plan.Position, reason string) (reconciler.Status, error) {
	s, l := p.of(key)
	if l == nil {
		return reconciler.Status{}, p.why(key)
	}
	st, err := l.RequestRollback(ctx, key, to, reason)
	st.Source = s.flags.name
	return st, err
}

// Ready is nil once every plan of every source was worked once. Of several
// sources those that cannot be read keep the others from nothing: then the
// error is ErrUnread.
func (p *plansNow) Ready() error {
	var unread error
	for _, s := range p.sources {
		err := s.ready()
		switch {
		case err == nil:
		case errors.Is(err, errNoLoop):
			return p.noLoop()
		case len(p.sources) > 1 && errors.Is(err, reconciler.ErrUnread):
			unread = errors.Join(unread, err)
		default:
			return err
		}
	}
	return unread
}

// why no loop knows a plan.
func (p *plansNow) why(key plan.Key) error {
	for _, s := range p.sources {
		if s.loop.Load() != nil {
			return fmt.Errorf("%s: %w", key, reconciler.ErrUnknownPlan)
		}
	}
	return p.noLoop()
}

// noLoop says why there is no loop.
func (p *plansNow) noLoop() error {
	leader := p.leader.Load()
	if leader == nil {
		return reconciler.ErrStarting
	}
	if who := (*leader)(); who != "" {
		return fmt.Errorf("%w: %s leads; ask that one", reconciler.ErrStandby, who)
	}
	return fmt.Errorf("%w: the lease has no holder yet", reconciler.ErrStandby)
}

// branches that are watched.
func (p *plansNow) branches() []string {
	var out []string
	for _, s := range p.sources {
		out = append(out, s.flags.branch)
	}
	return out
}

// refresh has the remotes read soon: those with a branch of the name, or all
// where it is empty.
func (p *plansNow) refresh(branch string) {
	for _, s := range p.sources {
		if branch != "" && s.flags.branch != branch {
			continue
		}
		if l := s.loop.Load(); l != nil {
			l.Refresh()
		}
		if w := s.pulls.Load(); w != nil {
			w.Wake()
		}
	}
}
