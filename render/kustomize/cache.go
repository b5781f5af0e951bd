package kustomize

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// Cache keeps what was built. It is safe for concurrent use; builds of one key
// at the same time happen once.
type Cache struct {
	limit int

	mu      sync.Mutex
	used    int
	entries map[cacheKey]*list.Element
	order   *list.List // of *entry, the one that was used last in front
	pending map[cacheKey]*pending
}

// cacheKey names a build. Live has in it what the kustomizations read; the
// revision stands in the ConfigMap with the position.
type cacheKey struct {
	live plan.Digest
	plan plan.Key
	path string
	stop plan.Position
	rev  plan.Revision
}

type entry struct {
	key     cacheKey
	objects []render.Object
	weight  int
}

// pending is a build under way. Its results may be read once done is closed.
type pending struct {
	done    chan struct{}
	objects []render.Object
	err     error
}

// NewCache makes a Cache that keeps about so many bytes of objects, those that
// were used last. What is larger by itself is not kept.
func NewCache(bytes int) *Cache {
	return &Cache{limit: bytes, entries: map[cacheKey]*list.Element{}, order: list.New(), pending: map[cacheKey]*pending{}}
}

// Build is Build for a version, whose Live must have the files in it that Reads
// lists. Files gives the repository at a revision; it is not called where the
// objects are known. They are shared: read them only. Errors are not kept.
//
// The context ends a wait for another build and whatever files does; kustomize
// itself runs to its end.
func (c *Cache) Build(ctx context.Context, v plan.Version, stop plan.Position, files func(context.Context, plan.Revision) (fs.FS, error)) ([]render.Object, error) {
	key := cacheKey{live: v.Live, plan: v.Plan.Key(), path: v.Path, stop: stop, rev: v.Revision}
	for {
		objects, other, mine := c.begin(key)
		switch {
		case objects != nil:
			return objects, nil
		case mine != nil:
			return c.fill(ctx, key, mine, v, stop, files)
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the build of %q: %w", stop, ctx.Err())
		}
		// Whoever built may have been stopped for reasons of their own.
		if !errors.Is(other.err, context.Canceled) && !errors.Is(other.err, context.DeadlineExceeded) {
			return other.objects, other.err
		}
		if ctx.Err() != nil {
			return nil, other.err
		}
	}
}

// begin gives the objects of a key, or the build under way, or one to be done.
func (c *Cache) begin(key cacheKey) (objects []render.Object, other, mine *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*entry).objects, nil, nil
	}
	if p, ok := c.pending[key]; ok {
		return nil, p, nil
	}
	mine = &pending{done: make(chan struct{}), err: errors.New("the build ended early")}
	c.pending[key] = mine
	return nil, nil, mine
}

// fill does a build and keeps what comes of it.
func (c *Cache) fill(ctx context.Context, key cacheKey, p *pending, v plan.Version, stop plan.Position, files func(context.Context, plan.Revision) (fs.FS, error)) ([]render.Object, error) {
	size := 0
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.pending, key)
		if p.err == nil {
			c.keep(&entry{key: key, objects: p.objects, weight: size*perByte + len(p.objects)*perObject})
		}
		close(p.done)
	}()
	tree, err := files(ctx, v.Revision)
	if err != nil {
		p.err = fmt.Errorf("read the files of %s: %w", v.Revision.Short(), err)
		return nil, p.err
	}
	p.objects, size, p.err = build(ctx, tree, v.Plan, v.Path, stop, v.Revision)
	return p.objects, p.err
}

// What decoded objects take in memory, about: for each byte of their JSON, and
// for each of them.
const (
	perByte   = 10
	perObject = 512
)

// keep adds an entry and drops those that were not used for longest. It is
// called with mu held.
func (c *Cache) keep(e *entry) {
	if e.weight > c.limit {
		return
	}
	c.entries[e.key] = c.order.PushFront(e)
	c.used += e.weight
	for c.used > c.limit {
		last := c.order.Back()
		old := c.order.Remove(last).(*entry)
		delete(c.entries, old.key)
		c.used -= old.weight
	}
}
