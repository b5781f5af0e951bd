package kube

import (
	"context"
	"sync"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// holds are objects that are held, each by one goroutine. The zero value holds
// none.
type holds struct {
	mu   sync.Mutex
	held map[render.ID]chan struct{} // closed when it is let go
}

// lock waits until nobody holds the object, no longer than ctx.
func (h *holds) lock(ctx context.Context, id render.ID) (unlock func(), err error) {
	for {
		h.mu.Lock()
		free, ok := h.held[id]
		if !ok {
			if h.held == nil {
				h.held = map[render.ID]chan struct{}{}
			}
			mine := make(chan struct{})
			h.held[id] = mine
			h.mu.Unlock()
			return func() {
				h.mu.Lock()
				delete(h.held, id)
				h.mu.Unlock()
				close(mine)
			}, nil
		}
		h.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, client.Explain(ctx.Err())
		}
	}
}
