package sidelabel

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

// Name of an object; Namespace is empty for kinds without one.
type Name struct{ Namespace, Name string }

// String is NAMESPACE/NAME.
func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

func (n Name) compare(o Name) int {
	return cmp.Or(cmp.Compare(n.Namespace, o.Namespace), cmp.Compare(n.Name, o.Name))
}

// Mark is what stands on an object about its owner.
type Mark struct {
	// Side; empty: none, or a word that is no side.
	Side plan.EntitySide
	// Origin; empty: none, or a word that is none.
	Origin ownership.Origin
	// Percent of the stop at which it was migrated; zero of others.
	Percent plan.Percent
}

// Object is what is known of one object.
type Object struct {
	Name
	Version string
	Created time.Time
	Mark
	entity.Judgement
	// Mismatched: what the two sides wrote into it differs.
	Mismatched bool
}

// Stop is what a stop wants of the objects.
type Stop struct {
	Percent plan.Percent
	// Validation: what is not modern's is worked by both, modern's dry.
	Validation bool
	// Back: it was entered backward. Then nothing is handed over to modern.
	Back bool
	// Since is when its entry began: what was created later was born at it.
	Since time.Time
	// Salt of the buckets.
	Salt string
	// Ordered: the plan says who goes first; else the buckets say who goes.
	Ordered bool
}

// Change is one object that gets another mark.
type Change struct {
	Object Object
	To     Mark
	// Flip: it has an owner already, who changes.
	Flip bool
}

// Survey is how the objects stand to a stop.
type Survey struct {
	// Changes that are due: of objects that are nobody's first, then in the order of
	// the hand-over.
	Changes []Change
	// Queued are in flight, and change when they no longer are.
	Queued []Name
	// Failed are those of which the plan's expressions cannot be evaluated, so that
	// they stay where they are.
	Failed []Object
	// Counts of the objects: Legacy holds those in Validation too, InFlight are
	// legacy's that are worked on, Settled those that are where the stop wants them.
	Total, Legacy, Modern, Validation, Nobody, InFlight, Mismatched, Settled int
}

// Survey compares objects with what the stop wants. The order of the objects does
// not count.
func (s Stop) Survey(objects []Object) (out Survey) {
	oldest := s.oldest(objects)
	var births, flips []Change
	for i := range objects {
		o := &objects[i]
		out.count(o)
		to, failed := s.want(o, oldest)
		switch {
		case to == o.Mark:
			out.Settled++
		case o.Side == "" || o.Side == to.Side:
			births = append(births, Change{Object: *o, To: to})
		case o.InFlight:
			out.Queued = append(out.Queued, o.Name)
		default:
			flips = append(flips, Change{Object: *o, To: to, Flip: true})
		}
		if failed {
			out.Failed = append(out.Failed, *o)
		}
	}
	slices.SortFunc(births, func(a, b Change) int { return a.Object.compare(b.Object.Name) })
	slices.SortFunc(flips, func(a, b Change) int { return first(&a.Object, &b.Object) })
	slices.SortFunc(out.Queued, Name.compare)
	slices.SortFunc(out.Failed, func(a, b Object) int { return a.compare(b.Name) })
	out.Changes = append(births, flips...)
	return out
}

// first is the order of the hand-over.
func first(a, b *Object) int { return cmp.Or(a.Rank.Compare(b.Rank), a.compare(b.Name)) }

func (out *Survey) count(o *Object) {
	out.Total++
	switch o.Side {
	case plan.SideModern:
		out.Modern++
		return
	case plan.SideValidation:
		out.Validation++
		if o.Mismatched {
			out.Mismatched++
		}
		fallthrough
	case plan.SideLegacy:
		out.Legacy++
		if o.InFlight {
			out.InFlight++
		}
	default:
		out.Nobody++
	}
}

// want is the mark that the stop wants an object to have. Failed: it could not be
// judged, and what it should have is not known.
func (s Stop) want(o *Object, oldest map[Name]bool) (to Mark, failed bool) {
	rest := s.rest(o)
	switch {
	case o.Origin == "" && o.Side == "":
		// Nobody's. What was there before the stop was legacy's.
		failed = o.Err != nil && s.Percent > 0
		if o.Err == nil && !o.Created.Before(s.Since.Truncate(time.Second)) && s.born(o) {
			return Mark{Side: plan.SideModern, Origin: ownership.BornModern}, false
		}
		return Mark{Side: rest, Origin: ownership.BornLegacy}, failed
	case o.Origin == "" && o.Side == plan.SideModern, o.Origin == ownership.BornModern:
		// Whoever created it may have labelled it.
		return Mark{Side: plan.SideModern, Origin: ownership.BornModern}, false
	}
	theirs := o.Origin == ownership.Migrated
	switch {
	case o.Err != nil:
		// The side that its origin tells, until it can be judged.
		to = o.Mark
		to.Origin = cmp.Or(o.Origin, ownership.BornLegacy)
		if theirs {
			to.Side = plan.SideModern
		} else if o.Side != plan.SideLegacy && o.Side != plan.SideValidation {
			to.Side = plan.SideLegacy
		}
		return to, s.Percent > 0 || theirs
	case s.modern(o, theirs, oldest) && theirs:
		return Mark{Side: plan.SideModern, Origin: ownership.Migrated, Percent: o.Percent}, false
	case s.modern(o, theirs, oldest):
		return Mark{Side: plan.SideModern, Origin: ownership.Migrated, Percent: s.Percent}, false
	}
	return Mark{Side: rest, Origin: ownership.BornLegacy}, false
}

// rule is the side that the rules give an object at this stop; empty: none.
func (s Stop) rule(o *Object) plan.EntitySide {
	if s.Percent == 0 {
		return ""
	}
	return o.Rule
}

// rest is the side of an object that is not modern's.
func (s Stop) rest(o *Object) plan.EntitySide {
	switch r := s.rule(o); {
	case r == plan.SideValidation, r != plan.SideLegacy && s.Validation:
		return plan.SideValidation
	}
	return plan.SideLegacy
}

// modern reports whether an object that was born on legacy is modern's at this stop.
func (s Stop) modern(o *Object, theirs bool, oldest map[Name]bool) bool {
	switch r := s.rule(o); {
	case r == plan.SideModern:
		return theirs || !s.Back
	case r != "":
		return false
	case theirs:
		// A stop that is entered forward, or content that changes, takes nothing
		// back; one that is entered backward what was handed over after it.
		return !s.Back || o.Percent <= s.Percent
	case s.Back:
		return false
	case s.Ordered:
		return oldest[o.Name]
	}
	return s.bucket(o)
}

// born reports whether an object that is created at this stop is modern's.
func (s Stop) born(o *Object) bool {
	if r := s.rule(o); r != "" {
		return r == plan.SideModern
	}
	return s.bucket(o)
}

func (s Stop) bucket(o *Object) bool {
	return plan.OnModern(plan.Bucket(s.Salt, o.String()), s.Percent)
}

// oldest are, where the plan has an order, the first ceil(p x N) of the N objects
// that were born on legacy, were there when the stop was entered, and for which no
// rule counts.
func (s Stop) oldest(objects []Object) map[Name]bool {
	if !s.Ordered || s.Percent == 0 || s.Back {
		return nil
	}
	var pool []*Object
	for i := range objects {
		o := &objects[i]
		legacys := o.Origin == ownership.BornLegacy || o.Origin == ownership.Migrated
		if legacys && o.Err == nil && o.Rule == "" && (s.Percent == 100 || o.Created.Before(s.Since)) {
			pool = append(pool, o)
		}
	}
	slices.SortFunc(pool, first)
	// In whole hundredths of a percent, as 10 % of 10 in floats is more than 1.
	hundredths := int(math.Round(float64(s.Percent) * 100))
	n := (hundredths*len(pool) + 9999) / 10000
	out := make(map[Name]bool, n)
	for _, o := range pool[:n] {
		out[o.Name] = true
	}
	return out
}
