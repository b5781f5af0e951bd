package plan

import (
	"encoding/json"
	"fmt"
	"time"
)

// Flag is a feature flag that applications read by OpenFeature. It has the value
// true for callers who are on modern, and false for the others; one with variants
// has for callers on modern the name of one of them, and `legacy` for the others.
//
// The key of a caller is the targetingKey of the application's context. In order:
// a flag that is off (killSwitch, expiresAt, a prerequisite, a conflict) has
// everybody on legacy; a caller for whom a prerequisite is on legacy is on legacy;
// the first rule of targeting that matches decides; else the percent does, by the
// plan's buckets.
type Flag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Default is the side where nothing else decides: everybody's where neither
	// percent nor a phase says how many are on modern, else that of callers
	// without a key. Empty: legacy.
	Default Side `json:"default,omitempty"`
	// Percent of the callers on modern in phases that do not say it, nor one
	// before them; nil: see Default.
	Percent *Share `json:"percent,omitempty"`
	// Targeting are rules for callers by what is known of them; the first that
	// matches counts.
	Targeting []FlagRule `json:"targeting,omitempty"`
	// Prerequisites are flags of the plan that a caller must have on modern too.
	Prerequisites []string `json:"prerequisites,omitempty"`
	// ConflictsWith are flags of the plan that are never on together with this
	// one: of two, the one that stands first in the plan wins.
	ConflictsWith []string `json:"conflictsWith,omitempty"`
	// KillSwitch turns the flag off, at once: no gate, window or bake counts.
	KillSwitch bool `json:"killSwitch,omitempty"`
	// ExpiresAt is when the flag goes off by itself.
	ExpiresAt Timestamp `json:"expiresAt,omitzero"`
	Owner     string    `json:"owner,omitempty"`
	// Tags are told to applications with the flag.
	Tags map[string]string `json:"tags,omitempty"`
	// Variants of an experiment and the percentage of the callers on modern that
	// each gets; they sum up to 100.
	Variants map[string]Percent `json:"variants,omitempty"`
}

// FlagRule puts callers on a side by an attribute of the context, whatever the
// percent is. An attribute that is no text is not equal to any value, and one that
// is not there matches no rule.
type FlagRule struct {
	// Attribute of the context; dots lead into objects: intent.type.
	Attribute string       `json:"attribute"`
	Operator  FlagOperator `json:"operator"`
	Values    []string     `json:"values"`
	// To is the side of who matches; modern where the file does not say.
	To Side `json:"to,omitempty"`
}

// FlagOperator compares an attribute with the values of a rule.
type FlagOperator string

// The operators. Those with Not match an attribute that is there and none of the
// values; the others one that is, or begins or ends with, any of them.
const (
	FlagEquals     FlagOperator = "equals"
	FlagIn         FlagOperator = "in"
	FlagNotEquals  FlagOperator = "notEquals"
	FlagNotIn      FlagOperator = "notIn"
	FlagStartsWith FlagOperator = "startsWith"
	FlagEndsWith   FlagOperator = "endsWith"
)

// The names that stand for the sides among the variants of a flag.
const (
	VariantLegacy = string(Legacy)
	VariantModern = string(Modern)
)

// Share is how many callers are on modern: a percentage of its own, or the
// position's.
type Share struct {
	Position bool
	Percent  Percent
}

// sharePosition is how files say that a share is the position's.
const sharePosition = "position"

// String is a number or `position`.
func (s Share) String() string {
	if s.Position {
		return sharePosition
	}
	return s.Percent.String()
}

// MarshalJSON writes a number or `position`.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Position {
		return json.Marshal(sharePosition)
	}
	return json.Marshal(s.Percent)
}

// UnmarshalJSON reads a number or `position`.
func (s *Share) UnmarshalJSON(data []byte) error {
	if string(data) == `"`+sharePosition+`"` {
		*s = Share{Position: true}
		return nil
	}
	*s = Share{}
	if err := json.Unmarshal(data, &s.Percent); err != nil {
		return fmt.Errorf("parse share: want a number or %q", sharePosition)
	}
	return nil
}

// Timestamp is a time as files give it: with date, time and zone.
type Timestamp struct{ time.Time }

// flagDefaults fills in what the file leaves out.
func flagDefaults(p *Plan) {
	for i := range p.Spec.Flags {
		f := &p.Spec.Flags[i]
		if f.Default == "" {
			f.Default = Legacy
		}
		for j := range f.Targeting {
			if f.Targeting[j].To == "" {
				f.Targeting[j].To = Modern
			}
		}
	}
}
