package flagd

import (
	"slices"
	"strings"
	"unicode"

	"github.com/changeover-dev/changeover/plan"
)

// TargetingKey is the attribute of a context that has the caller's key.
const TargetingKey = "targetingKey"

// Why a caller has its variant: everybody has it, or it depends on the context.
const (
	ReasonStatic = "STATIC"
	ReasonMatch  = "TARGETING_MATCH"
)

// Answer is what one caller gets of a flag.
type Answer struct {
	Flag     string
	Value    any // a bool, or a string of an experiment
	Variant  string
	Reason   string
	Metadata map[string]string
}

// Evaluate answers for one flag as flagd does by the set's definitions; ok is false
// where there is no such flag. The context is JSON as encoding/json reads it into
// an any. A targetingKey that is no text counts as none.
func (s *Set) Evaluate(name string, context map[string]any) (a Answer, ok bool) {
	i, ok := s.index[name]
	if !ok {
		return Answer{}, false
	}
	return s.answer(s.Flags[i], context), true
}

// EvaluateAll answers for all flags, in the order of their names.
func (s *Set) EvaluateAll(context map[string]any) []Answer {
	out := make([]Answer, len(s.Flags))
	for i, f := range s.Flags {
		out[i] = s.answer(f, context)
	}
	return out
}

func (s *Set) answer(f Flag, context map[string]any) Answer {
	key, _ := context[TargetingKey].(string)
	variant, reason := plan.VariantLegacy, ReasonMatch
	if s.static(f) {
		variant, reason = s.defaultVariant(f), ReasonStatic
	} else if s.modern(f, key, context) {
		variant = f.variant(s.variantSalt(f), key)
	}
	return Answer{Flag: f.Flag.Name, Value: f.values()[variant], Variant: variant, Reason: reason, Metadata: f.Metadata}
}

// modern reports whether a caller has the flag on modern, and all that it needs.
func (s *Set) modern(f Flag, key string, context map[string]any) bool {
	if f.Off != "" || !f.puts(s.salt, key, context) {
		return false
	}
	return !slices.ContainsFunc(f.needs, func(i int) bool { return !s.Flags[i].puts(s.salt, key, context) })
}

// puts reports whether the flag's own rules and percent put a caller on modern.
func (f Flag) puts(salt, key string, context map[string]any) bool {
	if f.experiment() && key == "" {
		return false
	}
	for _, r := range f.Flag.Targeting {
		if Matches(r, context) {
			return r.To == plan.Modern
		}
	}
	switch {
	case f.Percent == 0 || f.Percent == 100:
		return f.Percent == 100
	case key == "":
		return f.Flag.Default == plan.Modern
	}
	return plan.OnModern(bucket(salt, key), f.Percent)
}

// bucket is plan.Bucket of what flagd hashes.
func bucket(salt, key string) int {
	return plan.Bucket(salt, strings.TrimRightFunc(key, unicode.IsSpace))
}

// variant that a caller on modern gets.
func (f Flag) variant(salt, key string) string {
	if !f.experiment() {
		return plan.VariantModern
	}
	at, end := bucket(salt, key), 0
	for _, v := range f.variants {
		if end += v.weight; at < end {
			return v.name
		}
	}
	return plan.VariantLegacy // never: the weights sum up to all buckets
}

// Matches reports whether a rule matches a context.
func Matches(r plan.FlagRule, context map[string]any) bool {
	value := lookup(context, r.Attribute)
	if value == nil {
		return false
	}
	text, isText := value.(string)
	matched := isText && slices.ContainsFunc(r.Values, func(v string) bool {
		switch r.Operator {
		case plan.FlagStartsWith:
			return strings.HasPrefix(text, v)
		case plan.FlagEndsWith:
			return strings.HasSuffix(text, v)
		default:
			return text == v
		}
	})
	if r.Operator == plan.FlagNotEquals || r.Operator == plan.FlagNotIn {
		return !matched
	}
	return matched
}

// lookup follows the dots of an attribute into objects; nil where nothing is there.
func lookup(context map[string]any, attribute string) any {
	var at any = context
	for part := range strings.SplitSeq(attribute, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[part]
	}
	return at
}

// Has reports whether there is a flag of that name.
func (s *Set) Has(name string) bool {
	_, ok := s.index[name]
	return ok
}
