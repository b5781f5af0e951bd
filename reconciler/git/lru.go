package git

import (
	"container/list"
	"sync"
)

// lru keeps values up to a total cost, and drops the least recently used. It
// may be used by several goroutines.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	used  int
	cost  func(V) int
	order *list.List
	items map[K]*list.Element
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

// newLRU makes a cache; a nil cost counts each value as one.
func newLRU[K comparable, V any](limit int, cost func(V) int) *lru[K, V] {
	if cost == nil {
		cost = func(V) int { return 1 }
	}
	return &lru[K, V]{limit: limit, cost: cost, order: list.New(), items: map[K]*list.Element{}}
}

func (c *lru[K, V]) get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

// put keeps a value; one that is there stays.
func (c *lru[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[k]; !ok {
		c.add(k, v)
	}
}

// replace keeps a value in place of the one that is there.
func (c *lru[K, V]) replace(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[k]; ok {
		c.drop(e)
	}
	c.add(k, v)
}

func (c *lru[K, V]) add(k K, v V) {
	it := &lruItem[K, V]{k, v, c.cost(v)}
	c.items[k] = c.order.PushFront(it)
	for c.used += it.cost; c.used > c.limit && c.order.Len() > 1; {
		c.drop(c.order.Back())
	}
}

func (c *lru[K, V]) drop(e *list.Element) {
	old := c.order.Remove(e).(*lruItem[K, V])
	delete(c.items, old.key)
	c.used -= old.cost
}
