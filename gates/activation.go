package gates

import (
	"context"
	"time"

	"github.com/google/cel-go/cel"
)

// vars is what one evaluation reads. It is reused for the points of a window:
// only the signals, series and baselines by offset change.
type vars struct {
	ctx        context.Context
	signals    map[string]float64
	series     map[string]any
	baselines  map[string]float64
	objects    map[string]any
	plans      map[string]any
	approvals  map[string]int
	transforms map[string]any
	unknown    []*cel.AttributePatternType
	// unset are the facts, objects, plans and roles that are not known: a stop
	// that was not entered has no age.
	unset    []*cel.AttributePatternType
	now      time.Time
	facts    *Facts
	position map[string]any
	declared map[string]any
}

func newVars(ctx context.Context, s *Snapshot, p *Program) *vars {
	v := &vars{
		ctx:      ctx,
		signals:  map[string]float64{},
		objects:  make(map[string]any, len(p.objects)),
		now:      s.Now,
		facts:    &s.Facts,
		position: map[string]any{"phase": s.Facts.Position.Phase, "percent": float64(s.Facts.Position.Percent)},
		declared: map[string]any{"phase": s.Facts.Declared.Phase, "percent": float64(s.Facts.Declared.Percent)},
	}
	if s.Facts.StopSince.IsZero() {
		v.unset = append(v.unset, cel.AttributePattern("stop"))
	}
	if s.Facts.PhaseSince.IsZero() {
		v.unset = append(v.unset, cel.AttributePattern("phase"))
	}
	for name, o := range p.objects {
		if live := s.Facts.Objects[name]; isThere(live) {
			v.objects[name] = live.Value
		} else {
			v.unset = append(v.unset, o.pattern)
		}
	}
	for name, b := range p.baselines {
		if b.shifted != nil {
			continue
		}
		if value, ok := b.recorded(s.Facts); ok {
			v.setBaseline(name, value)
		} else {
			v.unset = append(v.unset, b.pattern)
		}
	}
	v.beside(p)
	v.bridges()
	v.entities()
	v.setTransforms(p)
	return v
}

// set gives a source its value; that of a series is its list.
func (v *vars) set(r *reading, value float64) {
	switch r.variable {
	case "signal":
		v.signals[r.name] = value
	case "series":
		if v.series == nil {
			v.series = map[string]any{}
		}
		v.series[r.name] = r.list
	case "baseline":
		v.setBaseline(r.name, value)
	}
}

func (v *vars) setBaseline(name string, value float64) {
	if v.baselines == nil {
		v.baselines = map[string]float64{}
	}
	v.baselines[name] = value
}

// reset forgets what was unknown and all signals.
func (v *vars) reset() {
	clear(v.signals)
	v.unknown = append(v.unknown[:0], v.unset...)
}

// ResolveName implements cel.Activation.
func (v *vars) ResolveName(name string) (any, bool) {
	switch name {
	case "signal":
		return v.signals, true
	case "series":
		return v.series, true
	case "baseline":
		return v.baselines, true
	case "object":
		return v.objects, true
	case "position":
		return v.position, true
	case "declared":
		return v.declared, true
	case "stop":
		return v.since(v.facts.StopSince), true
	case "phase":
		return v.since(v.facts.PhaseSince), true
	case "health":
		return map[string]bool{"cluster": v.facts.Health.Cluster, "gateway": v.facts.Health.Gateway}, true
	case "plans":
		return v.plans, true
	case "approvals":
		return v.approvals, true
	case "commit":
		return map[string]any{"author": v.facts.Commit.Author, "time": v.facts.Commit.Time}, true
	case "clients":
		return v.facts.Bridges.clients(), true
	case "shadow":
		return v.facts.Bridges.shadow(), true
	case entitiesFact:
		return v.facts.Entities.values(), true
	case transformsFact:
		return v.transforms, true
	case "now":
		return v.now, true
	}
	return nil, false
}

func (v *vars) since(t time.Time) map[string]any {
	return map[string]any{"since": t, "age": v.now.Sub(t)}
}

// Parent implements cel.Activation.
func (v *vars) Parent() cel.Activation { return nil }

// UnknownAttributePatterns implements cel.PartialActivation.
func (v *vars) UnknownAttributePatterns() []*cel.AttributePatternType { return v.unknown }

// AsPartialActivation lets CEL see what is unknown.
func (v *vars) AsPartialActivation() (cel.PartialActivation, bool) { return v, true }
