package kube

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// known is what was last seen of a live object.
type known struct {
	sent    digest // of the form of the object that live is compared with
	live    digest // of what live had then of what was sent
	version string // resourceVersion as of the last comparison
	at      time.Time
	// settled: it was as desired and ready, so that nothing has to be read as
	// long as its version stays.
	settled bool
}

// left is what was last found of an object that the inventory lists and that is
// not desired any more.
type left struct {
	fate    fate
	why     string
	version string            // resourceVersion; empty: it is gone
	mapping *meta.RESTMapping // nil: its kind is not served
	at      time.Time
}

// state is what this process knows of one plan. Nothing depends on it but how
// much is read: a lost state costs reads, and an apply that changes nothing.
type state struct {
	key plan.Key

	mu      sync.Mutex
	objects map[render.ID]known
	lefts   map[render.ID]left
	inv     inventory
	invAt   time.Time // when it was read; zero: never
	last    inventory // as it was when it was last there
	used    time.Time // when the plan was last worked on
	now     func() time.Time
}

func (s *state) get(id render.ID) (known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.objects[id]
	return k, ok
}

func (s *state) set(id render.ID, k known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.at = s.now()
	s.objects[id] = k
}

// unknown forgets what was seen of an object: an effect on it may or may not
// have come about.
func (s *state) unknown(id render.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, id)
}

func (s *state) getLeft(id render.ID) (left, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.lefts[id]
	return l, ok
}

func (s *state) setLeft(id render.ID, l left) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.at = s.now()
	s.lefts[id] = l
}

func (s *state) setInventory(inv inventory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inv, s.invAt = inv, s.now()
	if inv.version != "" {
		s.last = inv
	}
}

// inventory returns what was last read of it; ok is false where nothing was.
func (s *state) inventory() (inv inventory, at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inv, s.invAt, !s.invAt.IsZero()
}

// remembered is what the inventory listed when it was last there.
func (s *state) remembered() map[render.ID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.last.ids)
}

// finished are the Jobs that an inventory knows to be complete; where it is
// lost, those that it knew when it was last there.
func (s *state) finished(inv inventory) map[string]string {
	if inv.version != "" {
		return inv.finished
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.last.finished)
}

// keep forgets all objects but those of the inventory and these.
func (s *state) keep(items []*item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := make(map[render.ID]bool, len(items))
	for _, it := range items {
		wanted[it.id] = true
	}
	maps.DeleteFunc(s.objects, func(id render.ID, _ known) bool { return !wanted[id] && !s.inv.ids[id] })
	maps.DeleteFunc(s.lefts, func(id render.ID, _ left) bool { return wanted[id] || !s.inv.ids[id] })
}

// versionOf is the version of an object as this process saw or wrote it last,
// the inventory included.
func (s *state) versionOf(id render.ID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == inventoryID(s.key) {
		return s.inv.version
	}
	return s.objects[id].version
}

func newState(key plan.Key, now func() time.Time) *state {
	return &state{key: key, objects: map[render.ID]known{}, lefts: map[render.ID]left{}, now: now}
}

// state of a plan; it is made where there is none.
func (c *Cluster) state(key plan.Key) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.states[key]
	if !ok {
		s = newState(key, c.o.Now)
		c.states[key] = s
	}
	s.mu.Lock()
	s.used = c.o.Now()
	s.mu.Unlock()
	return s
}

// forgetIdle drops the plans that nobody asked for lately, and their watches.
func (c *Cluster) forgetIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, s := range c.states {
		s.mu.Lock()
		idle := c.o.Now().Sub(s.used) > idleAfter
		s.mu.Unlock()
		if idle {
			delete(c.states, key)
			c.watches.use(key, nil)
		}
	}
}

// settle notes that an object was found as desired and ready.
func (s *state) settle(id render.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.objects[id]; ok {
		k.settled = true
		s.objects[id] = k
	}
}

// leftMappings are the resources of the leftovers whose kinds are served.
func (s *state) leftMappings() map[render.ID]*meta.RESTMapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[render.ID]*meta.RESTMapping, len(s.lefts))
	for id, l := range s.lefts {
		out[id] = l.mapping
	}
	return out
}
