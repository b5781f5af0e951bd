package proxy

import (
	"sync/atomic"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// splits count how requests of one config are split. Requests under way when a
// config is swapped count for the one that sent them.
type splits struct {
	since time.Time
	rules []*splitCount // by rule; nil where the rule does not split
}

// splitCount counts the requests of one rule by the hundredths of the buckets,
// so that whoever reads it can tell which contradict any percentage.
type splitCount struct {
	keyed  [bridge.Bins]sideCount
	random sideCount
}

type sideCount struct{ legacy, modern atomic.Int64 }

func (c *sideCount) add(side plan.Side) {
	if side == plan.Modern {
		c.modern.Add(1)
	} else {
		c.legacy.Add(1)
	}
}

func newSplits(c bridge.Config, now time.Time) splits {
	s := splits{since: now, rules: make([]*splitCount, len(c.Rules))}
	for i, r := range c.Rules {
		if r.To == plan.ToSplit {
			s.rules[i] = &splitCount{}
		}
	}
	return s
}

func (s splits) count(c route.Choice) {
	n := s.rules[c.Rule]
	if c.Bucket < 0 {
		n.random.add(c.Side)
	} else {
		n.keyed[c.Bucket*bridge.Bins/plan.Buckets].add(c.Side)
	}
}

// Split is how requests were split by the config that is served; ok is false
// before there is one.
func (h *Handler) Split() (out bridge.Split, ok bool) {
	s := h.serving.Load()
	if s == nil {
		return out, false
	}
	out = bridge.Split{Hash: s.config.Hash, Since: s.splits.since, Routes: []bridge.SplitRoute{}}
	for i, n := range s.splits.rules {
		if n == nil {
			continue
		}
		r := bridge.SplitRoute{Rule: i, RandomLegacy: n.random.legacy.Load(), RandomModern: n.random.modern.Load()}
		for j := range n.keyed {
			r.Legacy[j], r.Modern[j] = n.keyed[j].legacy.Load(), n.keyed[j].modern.Load()
		}
		out.Routes = append(out.Routes, r)
	}
	return out, true
}
