package route

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Owners know which side owns an entity. Methods may be called from any
// goroutine.
type Owners interface {
	// Ready: the owners were read, at least once.
	Ready() bool
	// Owner of an id; known is false where nobody is known to own it.
	Owner(id string) (side plan.Side, known bool)
	// ModernOwns reports whether modern owns anything.
	ModernOwns() bool
}

// Lookup is what came of looking for an entity's owner.
type Lookup int

const (
	// NoEntity: the request names none.
	NoEntity Lookup = iota
	// Owned: the owner decided the side.
	Owned
	// Unowned: nobody is known to own it, or modern owns nothing, and the routes
	// decided. `to: owner` means legacy then.
	Unowned
	// NotReady: the owners are not known yet, so that any side may be wrong.
	NotReady
)

type entities struct {
	paths  []plan.EntityPath
	bodies []entityBody
	probe  *plan.EntityPath // nil: modern is not asked
	owners Owners
}

func entitiesOf(c *bridge.Entities) (*entities, error) {
	if c == nil {
		return nil, nil
	}
	e := &entities{owners: nobody{}}
	for _, s := range c.Paths {
		p, err := plan.ParseEntityPath(s)
		if err != nil {
			return nil, fmt.Errorf("compile entities: %w", err)
		}
		e.paths = append(e.paths, p)
	}
	for _, b := range c.Bodies {
		fields, err := plan.ParseIDPath(b.ID)
		if err != nil {
			return nil, fmt.Errorf("compile entities: %w", err)
		}
		e.bodies = append(e.bodies, entityBody{strings.TrimSuffix(b.Path, "/"), b.Methods, fields})
	}
	if c.Probe != "" {
		p, err := plan.ParseEntityPath(c.Probe)
		if err != nil {
			return nil, fmt.Errorf("compile entities: %w", err)
		}
		e.probe = &p
	}
	return e, nil
}

// nobody owns anything.
type nobody struct{}

func (nobody) Ready() bool                    { return true }
func (nobody) Owner(string) (plan.Side, bool) { return "", false }
func (nobody) ModernOwns() bool               { return false }

// Ask has a table ask for owners; before, nobody owns anything. Not while it is
// in use.
func (t *Table) Ask(o Owners) {
	if t.entities != nil {
		t.entities.owners = o
	}
}

// Entity is the id of the entity that a request names; empty: it names none.
func (t *Table) Entity(r *http.Request) string {
	if t.entities == nil {
		return ""
	}
	path, ok := Path(r.URL)
	if !ok {
		return ""
	}
	return t.entities.named(r, path)
}

// named is the id that a path has, or that was found in the body.
func (e *entities) named(r *http.Request, path string) string {
	if id := e.id(path); id != "" {
		return id
	}
	id, _ := r.Context().Value(inBody{}).(string)
	return id
}

// OwnerOf is the owner of the entity with an id, or that a path names as Path
// gives it. An unknown one is legacy's.
func (t *Table) OwnerOf(id, path string) (side plan.Side, l Lookup) {
	if t.entities == nil {
		return plan.Legacy, NoEntity
	}
	if id == "" {
		id = t.entities.id(path)
	}
	return t.entities.owner(id)
}

func (e *entities) id(path string) string {
	for _, p := range e.paths {
		if id := p.ID(path); id != "" {
			return id
		}
	}
	return ""
}

func (e *entities) owner(id string) (plan.Side, Lookup) {
	switch {
	case id == "":
		return plan.Legacy, NoEntity
	case !e.owners.Ready():
		return "", NotReady
	}
	if side, known := e.owners.Owner(id); known {
		return side, Owned
	}
	return plan.Legacy, Unowned
}

// decide puts the owner in place of what the routes say. It does so for every
// rule as soon as modern owns anything, so that no stop, and no way back, takes
// an entity from its owner. An answer by the gateway itself stays, unless modern
// owns the entity: such an answer tells of an end of legacy's, and would leave
// modern's entity with nobody.
func (e *entities) decide(c *Choice, to plan.Dest, r *http.Request, path string) {
	id := e.named(r, path)
	side, l := e.owner(id)
	c.Entity = l
	if l == Unowned && e.probe != nil && (to == plan.ToOwner || e.owners.ModernOwns()) {
		before, after := e.probe.Around()
		c.Unknown, c.Probe = id, before+id+after
	}
	switch {
	case l == Owned && to == plan.ToOwner, l == Owned && e.owners.ModernOwns() && (c.Respond == nil || side == plan.Modern):
		c.Side, c.Respond, c.Split = side, nil, false
	case to == plan.ToOwner:
		c.Side = plan.Legacy
	case l == Owned:
		c.Entity = Unowned
	}
}
