package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/render/entity"
)

// State of an entity at its owner.
type State string

// The states.
const (
	Ready    State = "ready"
	InFlight State = "inFlight"
	Absent   State = "absent"
)

// Sides are legacy and modern, for the entities of one plan.
type Sides interface {
	// List is what legacy serves, the first to be handed over first.
	List(ctx context.Context) ([]candidate, error)
	// State of an entity that is to be given to a side, at its owner now.
	State(ctx context.Context, id string, to plan.Side) (State, error)
	// Give has a side take an entity over, and returns when what must be equal on
	// both sides is. It may be repeated.
	Give(ctx context.Context, id string, to plan.Side) error
}

// Called are sides that are called as a plan says.
type Called struct {
	Program *entity.Program
	Caller  *call.Caller
	Legacy  inventory.Source
	// Modern is nil where the plan names no inventory of modern.
	Modern inventory.Source
}

// List reads legacy's inventory whole. An item that cannot be read is an error:
// what would come of leaving it out nobody knows.
func (c *Called) List(ctx context.Context) ([]candidate, error) {
	var out []candidate
	seen := map[string]bool{}
	err := c.Legacy.List(ctx, func(it inventory.Item) error {
		switch {
		case it.Bad != "":
			return fmt.Errorf("list legacy's entities: %q cannot be read: %s", it.ID, it.Bad)
		case !it.Live || seen[it.ID]:
			return nil
		}
		rank, err := c.Program.Rank(ctx, it.Value)
		if err != nil {
			return fmt.Errorf("order legacy's entities: %q: %w", it.ID, err)
		}
		seen[it.ID] = true
		out = append(out, candidate{id: it.ID, rank: rank})
		return nil
	})
	inOrder(out)
	return out, err
}

// State asks the owner for one entity; modern where the plan names its inventory.
// What is in flight only legacy says.
func (c *Called) State(ctx context.Context, id string, to plan.Side) (State, error) {
	if to == plan.Legacy && c.Modern != nil {
		if _, err := c.Modern.Get(ctx, id); errors.Is(err, inventory.ErrNotFound) {
			return Absent, nil
		} else if err != nil {
			return "", err
		}
	}
	it, err := c.Legacy.Get(ctx, id)
	switch {
	case to == plan.Legacy && errors.Is(err, inventory.ErrNotFound):
		return Ready, nil // it has forgotten it: handBack tells it anew
	case errors.Is(err, inventory.ErrNotFound):
		return Absent, nil
	case err != nil:
		return "", err
	case it.Bad != "":
		return "", fmt.Errorf("%q cannot be read: %s", id, it.Bad)
	}
	busy, err := c.Program.InFlight(ctx, it.Value)
	switch {
	case err != nil:
		return "", err
	case busy:
		return InFlight, nil
	case !it.Live && to == plan.Modern:
		return Absent, nil
	}
	return Ready, nil
}

// Give makes the plan's calls in their order, and compares.
func (c *Called) Give(ctx context.Context, id string, to plan.Side) error {
	item, err := c.item(ctx, id)
	if err != nil {
		return err
	}
	steps := c.Program.HandOver
	if to == plan.Legacy {
		steps = c.Program.HandBack
	}
	for _, s := range steps {
		if _, err := c.Caller.Do(ctx, s, id, item); err != nil {
			return err
		}
	}
	if !c.Program.Compares() {
		return nil
	}
	legacy, err := c.known(ctx, c.Program.VerifyLegacy, c.Legacy, id, item)
	if err != nil {
		return fmt.Errorf("compare with legacy: %w", err)
	}
	modern, err := c.known(ctx, c.Program.VerifyModern, c.Modern, id, item)
	if err != nil {
		return fmt.Errorf("compare with modern: %w", err)
	}
	if ms := c.Program.Compare(ctx, id, legacy, modern); len(ms) > 0 {
		return fmt.Errorf("the sides do not agree: %s: %s", ms[0].Expr, ms[0].Why)
	}
	return nil
}

// item is what legacy has of an entity; after it was given away perhaps nothing.
func (c *Called) item(ctx context.Context, id string) (map[string]any, error) {
	it, err := c.Legacy.Get(ctx, id)
	switch {
	case errors.Is(err, inventory.ErrNotFound):
		return map[string]any{}, nil
	case err != nil:
		return nil, err
	}
	return it.Value, nil
}

// known is what a side knows of an entity: by the plan's call, or its inventory.
func (c *Called) known(ctx context.Context, asked *entity.Call, source inventory.Source, id string, item map[string]any) (any, error) {
	if asked != nil {
		return c.Caller.Fetch(ctx, asked, id, item)
	}
	if source == nil {
		return nil, errors.New("the plan does not say how it is asked")
	}
	it, err := source.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return it.Value, nil
}
