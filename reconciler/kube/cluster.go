package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

const (
	// parallel is how many objects of one plan are read or written at once.
	parallel = 4
	// reread is for how long a watch is believed: then everything is read.
	reread = 10 * time.Minute
	// idleAfter: a plan that nobody asked for is forgotten, with its watches.
	idleAfter = 30 * time.Minute
	// establishing bounds the wait for definitions that were applied.
	establishing = 10 * time.Second
	// maxErrors bounds how many objects one error names.
	maxErrors = 10
)

// Options of a Cluster.
type Options struct {
	Client *client.Client
	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: the clock
	// Wake is told of plans of which a live object changed, at most every 200
	// ms for one plan; nil: nobody is.
	Wake func(plan.Key)
}

// Cluster is a reconciler.Cluster over the API server of a client. It is safe
// for use by several goroutines; for one plan it is to be called by one at a
// time.
type Cluster struct {
	o       Options
	watches *watches
	// held are the objects that are being compared and applied, so that of two
	// plans that want one object one sees the other.
	held holds

	mu     sync.Mutex
	states map[plan.Key]*state
}

var _ reconciler.Cluster = (*Cluster)(nil)

// New makes a Cluster. It makes no call. Nothing is watched before Run.
func New(o Options) (*Cluster, error) {
	if o.Client == nil {
		return nil, errors.New("make the cluster's side: there is no client")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func(plan.Key) {}
	}
	c := &Cluster{o: o, states: map[plan.Key]*state{}}
	c.watches = newWatches(o, c.wrote)
	return c, nil
}

// wrote reports whether a version of an object is the one that this process
// wrote or saw itself.
func (c *Cluster) wrote(key plan.Key, id render.ID, version string) bool {
	c.mu.Lock()
	s := c.states[key]
	c.mu.Unlock()
	return s != nil && s.versionOf(id) == version
}

// Run keeps the watches of what was applied until ctx ends, and wakes plans. It
// is to be called once.
func (c *Cluster) Run(ctx context.Context) error {
	return c.watches.run(ctx, c.forgetIdle)
}

// pass is one call for one plan.
type pass struct {
	c     *Cluster
	d     reconciler.Desired
	acc   *client.Client // the plan's account
	s     *state
	items []*item
	// finished are the Jobs that may be gone, see fleeting.
	finished map[string]string
}

func (c *Cluster) begin(ctx context.Context, d reconciler.Desired) (*pass, error) {
	acc, err := c.o.Client.As(d.Mark.Key.Namespace, d.Account)
	if err != nil {
		return nil, err
	}
	items, err := prepare(ctx, acc, d, definedScopes(d.Objects))
	if err != nil {
		return nil, err
	}
	p := &pass{c: c, d: d, acc: acc, s: c.state(d.Mark.Key), items: items}
	return p, p.readFinished(ctx)
}

// end forgets what is of no use any more and has the rest watched.
func (p *pass) end() {
	p.s.keep(p.items)
	p.c.watches.use(p.s.key, p.watched())
}

// Expand implements reconciler.Cluster.
func (c *Cluster) Expand(ctx context.Context, d reconciler.Desired) error {
	p, err := c.begin(ctx, d)
	if err != nil {
		return err
	}
	defer p.end()
	if err := p.extend(ctx); err != nil {
		return err
	}
	return p.apply(ctx, true)
}

// extend writes the inventory. Its namespace may be a part of what is to be
// applied: it alone is applied before.
func (p *pass) extend(ctx context.Context) error {
	err := p.c.extend(ctx, p.s, p.acc, p.items)
	if !noNamespace(err) {
		return err
	}
	for _, it := range p.items {
		if it.id == (render.ID{Kind: "Namespace", Name: p.s.key.Namespace}) && it.err == nil {
			if err := p.applyOne(ctx, it, true); err != nil {
				return fmt.Errorf("%s: %w", title(it.id), err)
			}
			return p.c.extend(ctx, p.s, p.acc, p.items)
		}
	}
	return err
}

// SetMark implements reconciler.Cluster.
func (c *Cluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	s := c.state(d.Mark.Key)
	lost := false
	err := c.writeInventory(ctx, s, func(_ *inventory, o *unstructured.Unstructured) bool {
		lost = o.GetResourceVersion() == ""
		old := markOf(s.key, o.GetAnnotations())
		if lost || old != nil && sameMark(*old, d.Mark) {
			return false
		}
		markInto(o, d.Mark)
		return true
	})
	if err == nil && lost {
		return fmt.Errorf("mark the inventory: %s is not there: it is made when the plan is applied", title(inventoryID(s.key)))
	}
	return err
}

// Mark implements reconciler.Cluster.
func (c *Cluster) Mark(ctx context.Context, key plan.Key) (*reconciler.Mark, error) {
	inv, err := c.inventoryOf(ctx, c.state(key))
	return inv.mark, err
}

// inventoryOf is the inventory, from memory where a watch says that it has not
// changed.
func (c *Cluster) inventoryOf(ctx context.Context, s *state) (inventory, error) {
	inv, at, ok := s.inventory()
	if ok && c.o.Now().Sub(at) < reread {
		id := inventoryID(s.key)
		w := watchKey{resource: configMaps, namespace: id.Namespace}
		if version, live := c.watches.version(w, id.Name); live && version == inv.version {
			return inv, nil
		}
	}
	inv, _, err := c.readInventory(ctx, s.key)
	if err != nil {
		return inventory{}, err
	}
	s.setInventory(inv)
	return inv, nil
}

// each does something for every item of a list, a few at once, and returns the
// errors in the order of the list. It ends early where the API server gives no
// answer. A panic is the error of its item.
func each[T any](ctx context.Context, log *slog.Logger, list []T, do func(context.Context, T) error) []error {
	errs := make([]error, len(list))
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, e := range list {
		g.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
					log.Error("panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				}
			}()
			if ctx.Err() != nil {
				errs[i] = errSkipped
				return nil
			}
			if errs[i] = do(ctx, e); client.Unreachable(errs[i]) {
				cancel()
			}
			return nil
		})
	}
	_ = g.Wait() // each error stands in errs
	if err := outer.Err(); err != nil && len(errs) > 0 && joined(errs) == nil {
		errs[0] = client.Explain(err)
	}
	return errs
}

// errSkipped: nothing was tried, as the API server did not answer before.
var errSkipped = errors.New("not tried")

// joined joins errors, of which there may be many, into one of bounded length.
func joined(errs []error) error {
	var out []error
	more := 0
	for _, err := range errs {
		switch {
		case err == nil || errors.Is(err, errSkipped):
		case len(out) == maxErrors:
			more++
		default:
			out = append(out, err)
		}
	}
	if more > 0 {
		out = append(out, fmt.Errorf("and %d more", more))
	}
	return errors.Join(out...)
}
