package ownership

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/changeover-dev/changeover/plan"
)

// Index answers who owns an id, from memory. It keeps no ids but 120 bits of a
// hash with a secret of the process, so that each takes the same few bytes, and
// nobody can choose ids that collide. Two of a million collide with a chance of
// about one to 10^24. Methods may be called from any goroutine.
type Index struct {
	seeds          [2]maphash.Seed
	shards         [256]shard
	legacy, modern atomic.Int64

	blocked atomic.Int64 // how many blocks there are: mostly none
	mu      sync.RWMutex
	blocks  map[string]string // tokens by id
}

// name is what is kept of an id.
type name [15]byte

type shard struct {
	mu     sync.RWMutex
	owners map[name]bool // true: modern
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	x := &Index{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	for i := range x.shards {
		x.shards[i].owners = map[name]bool{}
	}
	x.blocks = map[string]string{}
	return x
}

// SetBlock notes the token that blocks an id; empty: nothing does.
func (x *Index) SetBlock(id, token string) {
	if token == "" && x.blocked.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if token == "" {
		delete(x.blocks, id)
	} else {
		x.blocks[id] = token
	}
	x.blocked.Store(int64(len(x.blocks)))
}

// Block is the token that blocks an id; empty: nothing does.
func (x *Index) Block(id string) string {
	if x.blocked.Load() == 0 {
		return ""
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.blocks[id]
}

// Blocks are all of them: tokens by id.
func (x *Index) Blocks() map[string]string {
	if x.blocked.Load() == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return maps.Clone(x.blocks)
}

func (x *Index) find(id string) (*shard, name) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], maphash.String(x.seeds[0], id))
	binary.LittleEndian.PutUint64(b[8:], maphash.String(x.seeds[1], id))
	return &x.shards[b[15]], name(b[:15])
}

// Owner of an id; known is false where the index has none.
func (x *Index) Owner(id string) (side plan.Side, known bool) {
	s, n := x.find(id)
	s.mu.RLock()
	modern, known := s.owners[n]
	s.mu.RUnlock()
	switch {
	case !known:
		return "", false
	case modern:
		return plan.Modern, true
	}
	return plan.Legacy, true
}

// Set notes the owner of an id.
func (x *Index) Set(id string, owner plan.Side) { x.write(id, owner, true) }

// Add notes the owner of an id that the index does not have.
func (x *Index) Add(id string, owner plan.Side) { x.write(id, owner, false) }

func (x *Index) write(id string, owner plan.Side, replace bool) {
	s, n := x.find(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.owners[n]
	if known && !replace {
		return
	}
	if known {
		x.counter(was).Add(-1)
	}
	s.owners[n] = owner == plan.Modern
	x.counter(owner == plan.Modern).Add(1)
}

func (x *Index) counter(modern bool) *atomic.Int64 {
	if modern {
		return &x.modern
	}
	return &x.legacy
}

// Count is how many ids a side owns.
func (x *Index) Count(side plan.Side) int64 { return x.counter(side == plan.Modern).Load() }
