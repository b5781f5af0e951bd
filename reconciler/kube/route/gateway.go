package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
)

// What Apply fails with, beside what the API server answers.
var (
	// ErrRefused: a parent of the route has refused it.
	ErrRefused = errors.New("refused")
	// ErrNotTaken: the route is written, but not every parent has taken it.
	ErrNotTaken = errors.New("not taken yet")
	// ErrNotOurs: an HTTPRoute of that name is not this plan's.
	ErrNotOurs = errors.New("the HTTPRoute is not this plan's")
	// ErrLacking: a GatewayClass cannot do what the plan needs.
	ErrLacking = errors.New("the GatewayClass cannot do what the plan needs")
	// ErrNoGateway: a parent of the route is not there.
	ErrNoGateway = errors.New("does not exist")
	// ErrNotInstalled: the API server knows no HTTPRoutes.
	ErrNotInstalled = errors.New("Gateway API is not installed")
)

// patience bounds Apply where the caller's deadline is further away.
const patience = time.Minute

// gather is how long changes of a route are gathered into one wake.
const gather = 200 * time.Millisecond

// maxSeen bounds the routes that are remembered.
const maxSeen = 10_000

// Options of a Gateway.
type Options struct {
	Client *client.Client
	Log    *slog.Logger     // slog.Default where nil
	Now    func() time.Time // time.Now where nil; monotonic
	// Wake is called when the HTTPRoute of a plan has changed and this
	// process has not seen it yet. It must not block. May be nil.
	Wake func(plan.Key)
	// Poll is how soon a route that was written is looked at again; 50ms. The
	// time doubles with every look, up to a second.
	Poll time.Duration
}

// Gateway implements reconciler.Traffic. Its methods may be called from any
// goroutine, for one plan by one at a time.
type Gateway struct {
	o       Options
	watches *watches
	settle  time.Duration // how long a refusal has to stand
	back    time.Duration // bounds the putting back

	mu   sync.Mutex
	seen map[plan.Key]*live  // as they were last read or written
	news map[plan.Key]string // versions of which nobody was told yet
}

var _ reconciler.Traffic = (*Gateway)(nil)

// New checks the options. It makes no call.
func New(o Options) (*Gateway, error) {
	if o.Client == nil {
		return nil, errors.New("open the Gateway API: no API server is set")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func(plan.Key) {}
	}
	if o.Poll <= 0 {
		o.Poll = 50 * time.Millisecond
	}
	g := &Gateway{o: o, settle: settle, back: backTime, seen: map[plan.Key]*live{}, news: map[plan.Key]string{}}
	g.watches = newWatches(o.Log, o.Now, g.changed)
	return g, nil
}

// Run watches the routes of the plans that are applied and observed, until ctx
// ends. Without it every look is a request.
func (g *Gateway) Run(ctx context.Context) error {
	g.watches.run(ctx)
	return nil
}

// changed notes that a route has another version, empty where it is gone, and
// wakes its plan a moment later where nobody here has seen that version by then.
func (g *Gateway) changed(key plan.Key, version string) {
	if key == (plan.Key{}) { // of nobody
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, waits := g.news[key]; !waits {
		time.AfterFunc(gather, func() { g.tell(key) })
	}
	g.news[key] = version
}

func (g *Gateway) tell(key plan.Key) {
	g.mu.Lock()
	version, l := g.news[key], g.seen[key]
	delete(g.news, key)
	g.mu.Unlock()
	if l == nil && version != "" || l != nil && l.version() != version {
		g.o.Wake(key)
	}
}

func (g *Gateway) remember(key plan.Key, l *live) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l == nil {
		delete(g.seen, key)
		return
	}
	if len(g.seen) >= maxSeen {
		clear(g.seen)
	}
	g.seen[key] = l
}

// at is the place of a plan's route, as the plan's account sees it.
func (g *Gateway) at(p *plan.Plan) (*place, error) {
	if p.Spec.Gateway == nil || p.Spec.Gateway.GatewayAPI == nil {
		return nil, errors.New("the plan has no gateway: {gatewayAPI: ...}")
	}
	c, err := g.o.Client.ForPlan(p)
	if err != nil {
		return nil, err
	}
	namespace := cmp.Or(p.Spec.Gateway.GatewayAPI.Namespace, p.Metadata.Namespace)
	g.watches.use(c, namespace)
	return &place{
		key: p.Key(), namespace: namespace, name: p.Metadata.Name, account: c.Account(), dynamic: c.Dynamic(), dry: c.DryRun(),
		note: func(l *live) { g.remember(p.Key(), l) },
	}, nil
}

// Apply implements reconciler.Traffic.
func (g *Gateway) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.apply(ctx, p, m); err != nil {
		return fmt.Errorf("apply plan %q at %s to the Gateway API: %w", p.Key(), m.Stop, err)
	}
	return nil
}

func (g *Gateway) apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	c, err := g.begin(ctx, p, m.Stop)
	if err != nil {
		return err
	}
	m.Key = p.Key()
	at, old := c.place, c.old
	if c.moves && c.forward {
		if err := at.capable(ctx, p); err != nil {
			return err
		}
	}
	now := old
	if c.moves || !old.carries(m) {
		if now, err = at.write(ctx, c.want, annotationsOf(m), old); err != nil {
			return err
		}
		if !now.is(c.want) {
			return fmt.Errorf("%s is not what was applied: %s", at, now.others())
		}
	}
	return c.await(ctx, now)
}

// begin reads what is live, and is refused where that is another's.
func (g *Gateway) begin(ctx context.Context, p *plan.Plan, stop plan.Position) (change, error) {
	want, err := gatewayapi.Render(p, stop)
	if err != nil {
		return change{}, err
	}
	at, err := g.at(p)
	if err != nil {
		return change{}, err
	}
	old, err := at.read(ctx)
	if err != nil {
		return change{}, err
	}
	if by := old.taken(p.Key()); by != "" {
		return change{}, fmt.Errorf("%w: %s", ErrNotOurs, by)
	}
	c := change{gateway: g, place: at, want: specOf(want), old: old, forward: isForward(p, old, stop)}
	c.moves = !old.is(c.want)
	return c, nil
}

// Rehearse finds out by a dry run on the server's side whether a stop could be
// applied: all that Apply does before it waits for the parents, which are asked
// for their features whichever way the plan goes. The Gateway's client must be
// one for dry runs.
func (g *Gateway) Rehearse(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	if len(g.o.Client.DryRun()) == 0 {
		return errors.New("rehearse: the client would write; it must be one for dry runs")
	}
	m.Key = p.Key()
	c, err := g.begin(ctx, p, m.Stop)
	if err != nil {
		return err
	}
	if err := c.place.capable(ctx, p); err != nil {
		return err
	}
	_, err = c.place.write(ctx, c.want, annotationsOf(m), c.old)
	return err
}

// isForward reports whether the stop lies after, or at, that of the live route.
// Where that tells no stop of this itinerary it is not: a plan that is rolled
// back may well not know the stop that it leaves.
func isForward(p *plan.Plan, old *live, stop plan.Position) bool {
	if old == nil {
		return true
	}
	mark, _ := old.mark()
	if mark == nil {
		return false
	}
	it := p.Itinerary()
	from := it.Index(mark.Stop)
	return from >= 0 && it.Index(stop) >= from
}

// Observe implements reconciler.Traffic. A stop of none asks for the mark alone.
// That there is no route, or another's, is no error but said in the state.
func (g *Gateway) Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	state, err := g.observe(ctx, p, stop)
	if err != nil {
		return reconciler.TrafficState{}, fmt.Errorf("observe plan %q in the Gateway API: %w", p.Key(), err)
	}
	return state, nil
}

func (g *Gateway) observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	var want render.Object
	var state reconciler.TrafficState
	if !stop.IsZero() {
		var err error
		if want, err = gatewayapi.Render(p, stop); err != nil {
			return state, err
		}
	}
	at, err := g.at(p)
	if err != nil {
		return state, err
	}
	l, err := g.look(ctx, at)
	switch {
	case errors.Is(err, ErrNotInstalled):
		return reconciler.TrafficState{Message: err.Error()}, nil // then there is no route either
	case err != nil:
		return state, err
	case l == nil:
		return reconciler.TrafficState{Message: at.String() + " does not exist"}, nil
	}
	if by := l.taken(at.key); by != "" {
		return reconciler.TrafficState{Message: by}, nil
	}
	var damage string
	state.Mark, damage = l.mark()
	v := l.judge()
	if v.good() {
		state.Hash = l.hash()
	}
	state.Message = differs(l, state.Mark, damage, v, specOf(want), stop)
	state.Serving = state.Message == "" && !stop.IsZero()
	return state, nil
}

// differs says what is not as it should be, worst first; "" where all is.
func differs(l *live, m *reconciler.Mark, damage string, v verdict, want map[string]any, stop plan.Position) string {
	switch {
	case m == nil:
		return damage
	case !stop.IsZero() && m.Stop != stop:
		return fmt.Sprintf("the HTTPRoute is at %s, not at %s", m.Stop, stop)
	case !stop.IsZero() && !l.is(want):
		return fmt.Sprintf("the HTTPRoute at %s is not what the plan says: %s", stop, l.others())
	}
	return v.String()
}

// look reads the route, or takes it from memory where its watch says that it is
// still the same.
func (g *Gateway) look(ctx context.Context, at *place) (*live, error) {
	if version := g.watches.version(at.account, at.namespace, at.name); version != "" {
		g.mu.Lock()
		l := g.seen[at.key]
		g.mu.Unlock()
		if l != nil && l.version() == version && l.GetNamespace() == at.namespace {
			return l, nil
		}
	}
	return at.read(ctx)
}
