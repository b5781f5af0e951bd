package route

import "time"

// SetTimes changes, before any Apply, how long a refusal has to stand, and what
// bounds the putting back.
func (g *Gateway) SetTimes(settle, back time.Duration) { g.settle, g.back = settle, back }
