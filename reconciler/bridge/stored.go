package bridge

import (
	"context"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/bridge"
)

// stored is the config as it was read from a store.
type stored struct {
	where  string // names the store
	exists bool
	src    []byte
	config bridge.Config
	err    error // why src is no config
}

// read fails where the store cannot be read; that there is nothing in it, or
// that its content is no config, is an answer.
func (g *Gateway) read(ctx context.Context) (stored, error) {
	src, err := g.o.Store.Read(ctx)
	if err != nil {
		return stored{}, err
	}
	out := stored{where: g.o.Store.String(), exists: src != nil, src: src}
	if out.exists {
		out.config, out.err = bridge.ParseConfig(src)
	}
	return out, nil
}

// belongsTo refuses the config of another plan.
func (s stored) belongsTo(key plan.Key) error {
	if s.exists && s.err == nil && s.config.Plan != key {
		return fmt.Errorf("the bridge serves plan %q, and one bridge serves one plan: give plan %q a bridge of its own, or remove %s", s.config.Plan, key, s.where)
	}
	return nil
}

// markOf is the mark of a plan's config; nil where it is not that plan's.
func (s stored) markOf(key plan.Key) *reconciler.Mark {
	if !s.exists || s.err != nil || s.config.Plan != key {
		return nil
	}
	m := &reconciler.Mark{Key: key, Stop: s.config.Stop}
	if c := s.config.Mark; c != nil {
		m.Since, m.Revision, m.Holds = c.Since, c.Revision, c.Holds
	}
	return m
}

// differs says how the config stands to a render; empty where it is that one.
func (s stored) differs(want bridge.Config) string {
	switch {
	case !s.exists:
		return s.where + " does not exist"
	case s.err != nil:
		return s.where + " is no config: " + s.err.Error()
	case s.config.Plan != want.Plan:
		return fmt.Sprintf("%s is of plan %q", s.where, s.config.Plan)
	case s.config.Stop != want.Stop:
		return fmt.Sprintf("%s is of stop %s, not %s", s.where, s.config.Stop, want.Stop)
	case s.config.Hash != want.Hash:
		return fmt.Sprintf("%s has hash %s, the plan renders to %s", s.where, s.config.Hash, want.Hash)
	}
	return ""
}
