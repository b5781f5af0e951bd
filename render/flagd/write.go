package flagd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/plan"
)

// Key of a ConfigMap, and name of a file, under which definitions stand.
const Key = "flags.flagd.json"

const schemaURL = "https://flagd.dev/schema/v0/flags.json"

// The JSON of definitions. Keys of maps are sorted by the encoder.
type (
	object = map[string]any
	array  = []any

	definitions struct {
		Schema     string
		Evaluators map[string]any
		Flags      map[string]definition
		Metadata   header
	}
	header struct {
		FlagSetID string `json:"flagSetId"`
		Stop      string `json:"stop"`
		Version   string `json:"version"`
	}
	definition struct {
		State          string            `json:"state"`
		Variants       map[string]any    `json:"variants"`
		DefaultVariant string            `json:"defaultVariant"`
		Targeting      any               `json:"targeting,omitempty"`
		Metadata       map[string]string `json:"metadata,omitempty"`
	}
)

// write makes the definitions and their hash.
func (s *Set) write() error {
	d := definitions{Schema: schemaURL, Evaluators: map[string]any{}, Flags: map[string]definition{}}
	for _, f := range s.Flags {
		name := f.Flag.Name
		if _, constant := f.constant(); !constant {
			d.Evaluators[name] = s.own(f)
		}
		d.Flags[name] = definition{
			State: "ENABLED", Variants: f.values(), DefaultVariant: s.defaultVariant(f), Targeting: s.targeting(f), Metadata: f.Metadata,
		}
	}
	d.Metadata = header{FlagSetID: s.Plan.String(), Stop: s.Stop.String()}
	b, err := encode(d)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	s.Hash = hex.EncodeToString(sum[:])
	d.Metadata.Version = s.Hash
	if s.source, err = encode(d); err != nil {
		return err
	}
	if len(s.source) > MaxBytes {
		return fmt.Errorf("the definitions have %d bytes, and at most %d fit beside what else a ConfigMap holds: use fewer flags, or fewer and shorter values and texts", len(s.source), MaxBytes)
	}
	return nil
}

// encode writes a line for each evaluator and each flag, so that a difference shows
// which it is.
func encode(d definitions) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\n")
	err := line(&b, "  ", "$schema", d.Schema, ",")
	if err == nil && len(d.Evaluators) > 0 {
		err = lines(&b, "$evaluators", d.Evaluators)
	}
	if err == nil {
		err = lines(&b, "flags", d.Flags)
	}
	if err == nil {
		err = line(&b, "  ", "metadata", d.Metadata, "")
	}
	if err != nil {
		return nil, fmt.Errorf("write the definitions: %w", err)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// lines writes an object with a line for each of its fields.
func lines[V any](b *bytes.Buffer, name string, fields map[string]V) error {
	fmt.Fprintf(b, "  %q: {", name)
	for i, key := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		if err := line(b, "    ", key, fields[key], ""); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // a comma may follow
	}
	if len(fields) > 0 {
		b.WriteString("\n  ")
	}
	b.WriteString("},\n")
	return nil
}

// line writes one field. Names are those of flags, which need no escapes.
func line(b *bytes.Buffer, indent, name string, value any, end string) error {
	fmt.Fprintf(b, "%s%q: ", indent, name)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the end of the line
	b.WriteString(end + "\n")
	return nil
}

// values of the flag's variants.
func (f Flag) values() map[string]any {
	if !f.experiment() {
		return object{plan.VariantLegacy: false, plan.VariantModern: true}
	}
	out := object{plan.VariantLegacy: plan.VariantLegacy}
	for _, v := range f.variants {
		out[v.name] = v.name
	}
	return out
}

// static reports whether the flag has no targeting: everybody gets its default.
func (s *Set) static(f Flag) bool {
	_, constant := f.constant()
	return constant && len(s.conditions(f)) == 0
}

func (s *Set) defaultVariant(f Flag) string {
	if side, _ := f.constant(); side == plan.Modern && s.static(f) {
		return plan.VariantModern
	}
	return plan.VariantLegacy
}

// targeting is nil where everybody gets the default variant.
func (s *Set) targeting(f Flag) any {
	all := s.conditions(f)
	if len(all) == 0 {
		return nil
	}
	condition := all[0]
	if len(all) > 1 {
		condition = object{"and": all}
	}
	modern := any(plan.VariantModern)
	if f.experiment() {
		shares := array{}
		for _, v := range f.variants {
			shares = append(shares, array{v.name, v.weight})
		}
		modern = fractional(s.variantSalt(f), shares...)
	}
	return object{"if": array{condition, modern, plan.VariantLegacy}}
}

// conditions must all hold for a caller to be on modern: those of the flags that
// are needed, and the flag's own. A flag that is off has none.
func (s *Set) conditions(f Flag) (all array) {
	if f.Off != "" {
		return nil
	}
	for _, i := range append(f.needs[:len(f.needs):len(f.needs)], s.index[f.Flag.Name]) {
		if _, constant := s.Flags[i].constant(); !constant {
			all = append(all, object{"$ref": s.Flags[i].Flag.Name})
		}
	}
	return all
}

var targetingKey = object{"var": "targetingKey"}

// own is true for callers whom the flag's own rules and percent put on modern. It
// has no $ref: flagd does not follow one into another.
func (s *Set) own(f Flag) any {
	hasKey := object{"!!": array{targetingKey}}
	rest := any(f.Percent == 100)
	if f.Percent > 0 && f.Percent < 100 {
		n := buckets(f.Percent)
		share := object{"===": array{
			fractional(s.salt, array{plan.VariantModern, n}, array{plan.VariantLegacy, plan.Buckets - n}), plan.VariantModern,
		}}
		rest = object{"if": array{hasKey, share, f.Flag.Default == plan.Modern}}
	}
	if len(f.Flag.Targeting) > 0 {
		arms := array{}
		for _, r := range f.Flag.Targeting {
			arms = append(arms, matches(r), r.To == plan.Modern)
		}
		rest = object{"if": append(arms, rest)}
	}
	if f.experiment() {
		return object{"and": array{hasKey, rest}}
	}
	return rest
}

// fractional distributes callers by the bucket of their key.
func fractional(salt string, shares ...any) any {
	return object{"fractional": append(array{object{"cat": array{salt + ":", targetingKey}}}, shares...)}
}

// matches is the condition of a rule. It uses nothing that evaluators read
// differently for an attribute that is no text, or is not there.
func matches(r plan.FlagRule) any {
	attribute := object{"var": r.Attribute}
	var either array
	for _, value := range r.Values {
		switch r.Operator {
		case plan.FlagStartsWith:
			either = append(either, object{"starts_with": array{attribute, value}})
		case plan.FlagEndsWith:
			either = append(either, object{"ends_with": array{attribute, value}})
		default:
			either = append(either, object{"===": array{attribute, value}})
		}
	}
	switch r.Operator {
	case plan.FlagNotEquals, plan.FlagNotIn:
		return object{"and": array{object{"!==": array{attribute, nil}}, object{"!": array{object{"or": either}}}}}
	case plan.FlagStartsWith, plan.FlagEndsWith:
		// It complains of an attribute that is not there.
		return object{"and": array{object{"!!": array{attribute}}, object{"or": either}}}
	default:
		return object{"or": either}
	}
}
