package inventory

import (
	"context"
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/render/entity"
)

// Item is one entity as an inventory has it.
type Item struct {
	ID string
	// Live: the side serves it, and does not only remember or copy it.
	Live bool
	// Value is JSON: objects, lists, texts, int64, uint64, float64, booleans and
	// nil. A time of a database is text as of RFC 3339.
	Value map[string]any
	// Bad says why the item has no id, or why the plan's expressions over it
	// cannot be evaluated; ID is then empty where there is none. Nothing else may
	// be concluded from such an item but that it is there.
	Bad string
}

// Source lists the entities of one side. Its methods may be called from any
// goroutine.
type Source interface {
	// List calls each for every item, in the order of the inventory, one at a
	// time. An id may come twice. When it returns nil the list was whole.
	List(ctx context.Context, each func(Item) error) error
	// Get is one entity. ErrNotFound: the side does not have it. ErrNoGet: the
	// source cannot ask for one.
	Get(ctx context.Context, id string) (Item, error)
}

// What Get answers besides an item.
var (
	ErrNotFound = call.ErrNotFound
	ErrNoGet    = errors.New("the inventory cannot be asked for one entity")
)

// Options of Open.
type Options struct {
	Caller *call.Caller
	// Secrets hold where databases are.
	Secrets call.Secrets
	// Kube reads a cluster; nil: inventories of objects are refused.
	Kube Kube
}

// Open returns the source that a plan names. Side has the plan's expressions. Name
// is the place in the plan, for errors: source, or modern.source.
func Open(name string, s *plan.Inventory, side *entity.Side, o Options) (Source, error) {
	b := base{name: name, side: side}
	switch {
	case s.HTTP != nil:
		return &pages{base: b, spec: s.HTTP, caller: o.Caller}, nil
	case s.SQL != nil:
		return &rows{base: b, spec: s.SQL, secrets: o.Secrets}, nil
	case s.Kubernetes != nil && o.Kube == nil:
		return nil, fmt.Errorf("open inventory: %s lists objects of a cluster, and there is none: start the daemon with --kubeconfig FILE or --in-cluster", name)
	case s.Kubernetes != nil:
		return &objects{base: b, spec: s.Kubernetes, kube: o.Kube}, nil
	}
	return nil, fmt.Errorf("open inventory: %s names none", name)
}

// base reads items.
type base struct {
	name string
	side *entity.Side
}

func (b *base) item(ctx context.Context, v any) Item {
	value, ok := v.(map[string]any)
	if !ok {
		return Item{Bad: "the item is no object"}
	}
	it := Item{Value: value}
	var err error
	if it.ID, err = b.side.ID(ctx, value); err != nil {
		it.Bad = err.Error()
		return it
	}
	if it.Live, err = b.side.Live(ctx, value); err != nil {
		it.Bad = err.Error()
	}
	return it
}

// asked is the answer to a question for one entity, which must be that one.
func (b *base) asked(ctx context.Context, id string, v any) (Item, error) {
	it := b.item(ctx, v)
	switch {
	case it.ID == "":
		return Item{}, fmt.Errorf("get entity %q from %s: %s", id, b.name, it.Bad)
	case it.ID != id:
		return Item{}, fmt.Errorf("get entity %q from %s: it is another one, %q", id, b.name, it.ID)
	}
	return it, nil
}
