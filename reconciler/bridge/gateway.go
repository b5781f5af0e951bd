package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/bridge"
)

// What Apply fails with, beside errors of rendering and of the store.
var (
	// ErrNotObserved: the config is written, but not every replica was seen
	// to serve it.
	ErrNotObserved = errors.New("not observed on every bridge")
	// ErrRejected: a replica refused the config.
	ErrRejected = errors.New("refused by a bridge")
)

// Options of a Gateway.
type Options struct {
	// Store keeps the config.
	Store Store
	// Replicas tells which bridges are asked what they serve.
	Replicas Replicas
	// HTTP asks the replicas. By default each question has a connection of
	// its own, so that no answer is from a process that is gone.
	HTTP *http.Client
	// Timeout of Apply's waiting for the replicas; 10s.
	Timeout time.Duration
	// Probe is how long one answer may take; 2s.
	Probe time.Duration
	// Interval between two questions to one replica; 20ms.
	Interval time.Duration
}

// Gateway implements reconciler.Traffic. Its methods may be called from any
// goroutine.
type Gateway struct {
	o     Options
	store sync.Mutex // held while the config is compared and written
}

var _ reconciler.Traffic = (*Gateway)(nil)

// New checks the options. It touches neither store nor replicas.
func New(o Options) (*Gateway, error) {
	if o.Store == nil || o.Store == File("") {
		return nil, errors.New("open bridge gateway: the bridge's config file is not set")
	}
	if o.Replicas == nil {
		o.Replicas = URLs(nil)
	}
	if fixed, ok := o.Replicas.(URLs); ok {
		if err := fixed.check(); err != nil {
			return nil, fmt.Errorf("open bridge gateway: %w", err)
		}
	}
	if o.HTTP == nil {
		o.HTTP = freshConnections()
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Probe == 0 {
		o.Probe = 2 * time.Second
	}
	if o.Interval == 0 {
		o.Interval = 20 * time.Millisecond
	}
	return &Gateway{o: o}, nil
}

// Apply writes the config of m.Stop, where it is not there already, and
// returns when every replica was seen to serve it. See the package comment for
// what an error leaves behind.
func (g *Gateway) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	_, err := g.Replace(ctx, p, m)
	return err
}

// Replace is Apply that can be taken back, as where another part of the data
// plane does not follow: back puts the config before in place, and says what it
// did. It is nil with an error.
func (g *Gateway) Replace(ctx context.Context, p *plan.Plan, m reconciler.Mark) (back func(context.Context) string, err error) {
	what := fmt.Sprintf("apply stop %s of plan %q to the bridge", m.Stop, p.Key())
	c, src, err := configOf(p, m)
	if err == nil {
		err = ctx.Err() // what could not be observed is not begun
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	old, err := g.put(ctx, c, src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	forward := isForward(p, old, m.Stop)
	replicas, err := g.await(ctx, c, bridge.Digest(src), forward)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w; the config is written and stays", what, ErrNotObserved, err)
	}
	refused, behind := sorted(replicas)
	switch {
	case len(refused) > 0 && forward:
		return nil, fmt.Errorf("%s: %w: %s; %s", what, ErrRejected, strings.Join(refused, "; "), g.putBack(ctx, c, src, old))
	case len(refused) > 0:
		return nil, fmt.Errorf("%s: %w: %s; the config stays for those that take it", what, ErrRejected, strings.Join(append(refused, behind...), "; "))
	case len(behind) > 0:
		return nil, fmt.Errorf("%s: %w: %s; the config is written and stays", what, ErrNotObserved, strings.Join(behind, "; "))
	}
	return func(ctx context.Context) string {
		if bytes.Equal(old.src, src) {
			return "the bridge had that config before"
		}
		return g.putBack(ctx, c, src, old)
	}, nil
}

// configOf is the config of a stop with its mark, and the bytes of its file.
func configOf(p *plan.Plan, m reconciler.Mark) (bridge.Config, []byte, error) {
	c, err := bridge.Render(p, m.Stop)
	if err != nil {
		return bridge.Config{}, nil, err
	}
	c.Mark = &bridge.Mark{Since: m.Since.UTC(), Revision: m.Revision, Holds: m.Holds}
	src, err := c.Encode()
	return c, src, err
}

// isForward reports whether the stop lies after, or at, the one of the old
// config. Where that tells no stop of this itinerary it is not: a plan
// that is rolled back may well not know the stop that it leaves.
func isForward(p *plan.Plan, old stored, stop plan.Position) bool {
	if !old.exists {
		return true
	}
	it := p.Itinerary()
	from := it.Index(old.config.Stop)
	return from >= 0 && it.Index(stop) >= from
}

// put writes the config where it differs, and returns the one before.
func (g *Gateway) put(ctx context.Context, c bridge.Config, src []byte) (stored, error) {
	g.store.Lock()
	defer g.store.Unlock()
	old, err := g.read(ctx)
	if err != nil {
		return stored{}, err
	}
	if err := old.belongsTo(c.Plan); err != nil {
		return stored{}, err
	}
	if old.exists && bytes.Equal(old.src, src) {
		return old, nil
	}
	return old, g.o.Store.Write(ctx, src)
}

// putBack restores the config before a refused one, unless somebody has written
// another since, and waits for those that had followed. It says what it did.
func (g *Gateway) putBack(ctx context.Context, c bridge.Config, src []byte, old stored) string {
	// Also for a caller that has run out of time: what was moved is moved back.
	ctx = context.WithoutCancel(ctx)
	g.store.Lock()
	now, err := g.read(ctx)
	switch {
	case err == nil && !bytes.Equal(now.src, src):
		err = errors.New("another config was written meanwhile")
	case err == nil && bytes.Equal(old.src, src):
		err = errors.New("the old config is the same one")
	case err == nil && old.exists:
		err = g.o.Store.Write(ctx, old.src)
	case err == nil:
		err = g.o.Store.Remove(ctx)
	}
	g.store.Unlock()
	if err != nil {
		return "the old config could not be put back: " + err.Error()
	}
	if old.config.Hash == "" {
		return "no config was there before, and none is now"
	}
	c.Hash = old.config.Hash
	replicas, err := g.await(ctx, c, "", false)
	if err != nil {
		return "the old config is put back, but " + err.Error()
	}
	if _, behind := sorted(replicas); len(behind) > 0 {
		return "the old config is put back, but " + strings.Join(behind, "; ")
	}
	return "the old config is put back and served"
}

// Observe reads the config and asks every replica once.
func (g *Gateway) Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	want, err := bridge.Render(p, stop)
	if err != nil {
		return reconciler.TrafficState{}, fmt.Errorf("observe plan %q on the bridge: %w", p.Key(), err)
	}
	now, err := g.read(ctx)
	if err != nil {
		return reconciler.TrafficState{}, fmt.Errorf("observe plan %q on the bridge: %w", p.Key(), err)
	}
	replicas, err := g.ask(ctx, want.Plan.Name)
	state := reconciler.TrafficState{Mark: now.markOf(want.Plan), Hash: common(replicas)}
	var differs []string
	if d := now.differs(want); d != "" {
		differs = append(differs, d)
	}
	if err != nil { // the mark is told all the same
		differs = append(differs, err.Error())
	}
	for _, r := range replicas {
		if d := r.differs(want); d != "" {
			differs = append(differs, d)
		}
	}
	state.Serving = len(differs) == 0
	state.Message = strings.Join(differs, "; ")
	return state, nil
}
