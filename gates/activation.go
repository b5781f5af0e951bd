package gates

import (
	"context"
	"time"

	"github.com/google/cel-go/cel"
)

// vars is what one evaluation reads. It is reused for the points of a window:
// only the signals change.
type vars struct {
	ctx     context.Context
	signals map[string]float64
	objects map[string]any
	unknown []*cel.AttributePatternType
	// unset are the facts and objects that are not known: a stop that was
	// not entered has no age.
	unset    []*cel.AttributePatternType
	now      time.Time
	facts    *Facts
	position map[string]any
	declared map[string]any
}

func newVars(ctx context.Context, s *Snapshot, objects map[string]object) *vars {
	v := &vars{
		ctx:      ctx,
		signals:  map[string]float64{},
		objects:  make(map[string]any, len(objects)),
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
	for name, o := range objects {
		if live := s.Facts.Objects[name]; isThere(live) {
			v.objects[name] = live.Value
		} else {
			v.unset = append(v.unset, o.pattern)
		}
	}
	return v
}

// reset forgets all signals.
func (v *vars) reset() {
	clear(v.signals)
	v.unknown = append(v.unknown[:0], v.unset...)
}

// ResolveName implements cel.Activation.
func (v *vars) ResolveName(name string) (any, bool) {
	switch name {
	case "signal":
		return v.signals, true
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

// AsPartialActivation lets CEL see the unknown signals.
func (v *vars) AsPartialActivation() (cel.PartialActivation, bool) { return v, true }
