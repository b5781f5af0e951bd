package plan

import "slices"

// EntityOwner says where it stands which side owns an entity.
type EntityOwner string

// OwnerLabel: on the Kubernetes object that the entity is, as a label that the
// controllers of both sides select by. Empty: in the ownership table, which daemon
// and bridge share.
const OwnerLabel EntityOwner = "label"

// EntitySide is what the label of an object says.
type EntitySide string

// The values of the label. Validation: legacy's controller works, modern's works dry
// and writes its result beside legacy's; it is legacy's.
const (
	SideLegacy     EntitySide = "legacy"
	SideModern     EntitySide = "modern"
	SideValidation EntitySide = "validation"
)

// EntityRule puts objects on a side whatever the percent is. Rules count at stops
// above 0 %.
type EntityRule struct {
	// When is CEL over `object`.
	When string     `json:"when"`
	Side EntitySide `json:"side"`
}

// PhaseEntities is what a phase says of entities whose owner is a label.
type PhaseEntities struct {
	// Side of those that are not modern's in this phase: validation.
	Side EntitySide `json:"side"`
}

// Routed reports whether requests of the entities go to their owners, so that a
// gateway must know them.
func (e *Entities) Routed() bool { return e != nil && e.Owner != OwnerLabel }

// SideLabel is the label that says which side owns an object.
func (k Key) SideLabel() string { return sidePrefix + k.Name }

// OriginAnnotation says how an object came to its owner: bornLegacy, bornModern or
// migrated.
func (k Key) OriginAnnotation() string { return k.SideLabel() + "-origin" }

// PercentAnnotation is the percent of the stop at which an object was migrated.
func (k Key) PercentAnnotation() string { return k.SideLabel() + "-percent" }

const (
	sidePrefix = "side.changeover.dev/"
	// maxLabelled is the longest name of a plan that labels objects: the longest of
	// the three names above must fit.
	maxLabelled = 63 - len("-percent")
)

// EntityPercent is how many entities modern has at a stop: see EntityShare.
func (p *Plan) EntityPercent(stop Position) Percent {
	_, percent := p.EntityShare(stop)
	return percent
}

// EntityShare is how many entities modern has at a stop, and the phase that says
// so: the stop's own percent; in a phase without percents the last one of the phase
// before that has some; else 0, and no phase.
func (p *Plan) EntityShare(stop Position) (phase string, percent Percent) {
	at := slices.IndexFunc(p.Spec.Phases, func(ph Phase) bool { return ph.Name == stop.Phase })
	if at < 0 {
		return "", stop.Percent
	}
	if len(p.Spec.Phases[at].Percents) > 0 {
		return stop.Phase, stop.Percent
	}
	for ; at >= 0; at-- {
		if all := p.Spec.Phases[at].Percents; len(all) > 0 {
			return p.Spec.Phases[at].Name, all[len(all)-1]
		}
	}
	return "", 0
}
