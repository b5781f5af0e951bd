package plan

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Bounds of the flags of a plan, so that what they are rendered to stays small.
const (
	maxFlags    = 200
	maxRules    = 50
	maxValues   = 200
	maxVariants = 20
	maxRelated  = 20
)

// Forms of names in flags. They end in JSON that flagd puts together as text.
var (
	flagName      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)
	flagAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}([.][A-Za-z_][A-Za-z0-9_-]{0,62}){0,7}$`)
)

var flagOperators = []string{
	string(FlagEquals), string(FlagIn), string(FlagNotEquals), string(FlagNotIn), string(FlagStartsWith), string(FlagEndsWith),
}

// misplaced are fields that other tools have, with what stands for them here.
var misplaced = map[reflect.Type]map[string]string{
	reflect.TypeFor[FlagRule](): {
		"weight": "a rule has no weight: it puts everybody whom it matches on one side; give the flag variants, or its percent",
	},
	reflect.TypeFor[Flag](): {
		"enabled":        "write killSwitch: true for a flag that must stay off, and percent for how many have it",
		"schedule":       "the stops of the phases are the schedule, with their bake and gates: write percent: position",
		"safeguardRules": "rollback and pause gates of the phases guard the flags too",
	},
}

// share reads a percentage or the word position.
func (w *walker) share(path string, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || strings.HasSuffix(n.Value, "%") {
		return w.percent(path, n)
	}
	if n.Value != sharePosition {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a percentage or %s, got text %s", sharePosition, shorten(n.Value)), "write a number without quotes, or position for the percent of the stop")
	}
	w.quote(n.Value)
	return true
}

// flags checks the flags of the plan.
func (v *validator) flags() {
	const path = "spec.flags"
	all := v.p.Spec.Flags
	v.bounded(path, "flags", len(all), maxFlags)
	first := map[string]int{}
	for i := range all {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !flagName.MatchString(all[i].Name) {
			v.at(at+".name", "name", fmt.Sprintf("%s cannot be the name of a flag", shorten(all[i].Name)), "use letters, digits, ., - and _, at most 128, with a letter or digit at both ends")
		}
		if j, ok := first[all[i].Name]; ok {
			line, _ := v.d.Locate(fmt.Sprintf("%s[%d].name", path, j), 0)
			v.at(at+".name", "duplicate-name", fmt.Sprintf("flag %q is already at line %d", all[i].Name, line), "each flag has a name of its own")
		} else {
			first[all[i].Name] = i
		}
		v.flag(at, &all[i])
	}
	if v.whole(path) {
		v.flagOrder(path)
	}
}

func (v *validator) flag(at string, f *Flag) {
	if v.whole(at + ".default") {
		v.oneOf(at+".default", string(f.Default), string(Legacy), string(Modern))
	}
	v.bounded(at+".targeting", "rules of one flag", len(f.Targeting), maxRules)
	for i, r := range f.Targeting {
		v.flagRule(fmt.Sprintf("%s.targeting[%d]", at, i), r)
	}
	v.flagNames(at+".prerequisites", f, f.Prerequisites)
	v.flagNames(at+".conflictsWith", f, f.ConflictsWith)
	v.flagVariants(at, f)
}

func (v *validator) flagRule(at string, r FlagRule) {
	if !v.whole(at) {
		return
	}
	if !flagAttribute.MatchString(r.Attribute) {
		v.at(at+".attribute", "name", fmt.Sprintf("%s cannot be an attribute", shorten(r.Attribute)), "use names of letters, digits, _ and -, with . between them to lead into objects: intent.type")
	}
	v.oneOf(at+".operator", string(r.Operator), flagOperators...)
	v.oneOf(at+".to", string(r.To), string(Legacy), string(Modern))
	v.bounded(at+".values", "values of one rule", len(r.Values), maxValues)
	if n := len(r.Values); n > 1 && (r.Operator == FlagEquals || r.Operator == FlagNotEquals) {
		v.at(at+".values", "targeting", fmt.Sprintf("%s compares with one value, and there are %d", r.Operator, n), "write in or notIn")
	}
	for i, value := range r.Values {
		if j := fmt.Sprintf("%s.values[%d]", at, i); len(value) > maxText {
			v.at(j, "targeting", fmt.Sprintf("the value has %d bytes; at most %d are allowed", len(value), maxText), "")
		} else if slices.Contains(r.Values[:i], value) {
			v.at(j, "duplicate-name", "the value is already in this list", "remove one of the two")
		}
	}
}

// flagNames checks the names of other flags.
func (v *validator) flagNames(path string, f *Flag, names []string) {
	v.bounded(path, "flags in one list", len(names), maxRelated)
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !v.whole(at):
		case name == f.Name:
			v.at(at, "self-reference", "the flag names itself", "name another flag")
		case slices.Contains(names[:i], name):
			v.at(at, "duplicate-name", fmt.Sprintf("flag %q is already in this list", name), "remove one of the two")
		default:
			v.knownFlag(v.at, at, name)
		}
	}
}

// knownFlag checks that the plan has a flag; report says where that is told.
func (v *validator) knownFlag(report func(path, code, message, hint string), at, name string) {
	var known []string
	for i := range v.p.Spec.Flags {
		if !v.whole(fmt.Sprintf("spec.flags[%d].name", i)) {
			return
		}
		known = append(known, v.p.Spec.Flags[i].Name)
	}
	if !slices.Contains(known, name) {
		report(at, "unknown-flag", fmt.Sprintf("the plan has no flag %s", shorten(name)), meant(name, known, "the flags are "))
	}
}

func (v *validator) flagVariants(at string, f *Flag) {
	path := at + ".variants"
	if f.Variants == nil || !v.whole(path) {
		return
	}
	v.bounded(path, "variants of one flag", len(f.Variants), maxVariants)
	sum := 0
	for _, name := range slices.Sorted(maps.Keys(f.Variants)) {
		sum += hundredths(f.Variants[name])
		switch {
		case name == VariantLegacy || name == VariantModern:
			v.key(join(path, name), "name", fmt.Sprintf("%q cannot be the name of a variant: it is a side", name), "callers on legacy have `legacy`; name what those on modern get")
		case !flagName.MatchString(name):
			v.key(join(path, name), "name", fmt.Sprintf("%s cannot be the name of a variant", shorten(name)), "use letters, digits, ., - and _, at most 128, with a letter or digit at both ends")
		}
	}
	if sum != Buckets {
		v.at(path, "variants", fmt.Sprintf("the variants sum up to %s %%", Percent(float64(sum)/100)), "give percentages that sum up to 100")
	}
	if f.Default == Modern {
		v.at(at+".default", "variants", "callers without a key cannot be given a variant, so they stay on legacy", "remove default")
	}
}

// hundredths of a percent are buckets.
func hundredths(p Percent) int { return int(math.Round(float64(p) * 100)) }

// phaseFlags checks what a phase says of flags.
func (v *validator) phaseFlags(path string, ph *Phase) {
	for _, name := range slices.Sorted(maps.Keys(ph.Flags)) {
		at := join(path+".flags", name)
		v.knownFlag(v.key, at, name)
		if ph.Flags[name].Position && len(ph.Percents) == 0 && v.whole(path+".percents") {
			v.at(at, "flags", "the flag follows the position, and the phase has no percents", "give the phase percents, or the flag a percentage here")
		}
	}
}

// flagOrder refuses flags that hang on one another in a circle: a flag hangs on its
// prerequisites, and on the flags before it with which it conflicts.
func (v *validator) flagOrder(path string) {
	o := flagOrder{v: v, path: path, index: flagIndex(v.p.Spec.Flags), seen: make([]bool, len(v.p.Spec.Flags))}
	for i := range v.p.Spec.Flags {
		o.visit(i)
	}
}

type flagOrder struct {
	v     *validator
	path  string
	index map[string]int
	seen  []bool
	way   []flagStep // that leads to the flag that is visited
}

// flagStep is a flag, and how it hangs on the one that follows.
type flagStep struct {
	flag int
	by   string
}

func (o *flagOrder) visit(i int) {
	if at := slices.IndexFunc(o.way, func(s flagStep) bool { return s.flag == i }); at >= 0 {
		o.report(o.way[at:])
		return
	}
	if o.seen[i] {
		return
	}
	o.seen[i] = true
	step := func(j int, by string) {
		if i == j {
			return // told where it stands
		}
		o.way = append(o.way, flagStep{i, by})
		o.visit(j)
		o.way = o.way[:len(o.way)-1]
	}
	for _, name := range o.v.p.Spec.Flags[i].Prerequisites {
		if j, ok := o.index[name]; ok {
			step(j, "needs")
		}
	}
	for _, j := range o.v.p.flagRivals(i) {
		step(j, "yields to")
	}
}

// report names the circle at the first of its flags in the file.
func (o *flagOrder) report(circle []flagStep) {
	first := slices.MinFunc(circle, func(a, b flagStep) int { return a.flag - b.flag }).flag
	at := slices.IndexFunc(circle, func(s flagStep) bool { return s.flag == first })
	circle = append(slices.Clone(circle[at:]), circle[:at]...)
	var b strings.Builder
	hint := "remove one of these prerequisites"
	for i, s := range circle {
		if i > 0 {
			b.WriteString(", which ")
		}
		fmt.Fprintf(&b, "%s %q", s.by, o.v.p.Spec.Flags[circle[(i+1)%len(circle)].flag].Name)
		if s.by != "needs" {
			hint = "of two flags that conflict the first in the file wins, and so none of these could be decided first: remove one of the prerequisites or conflicts"
		}
	}
	o.v.at(fmt.Sprintf("%s[%d].name", o.path, first), "flag-cycle", fmt.Sprintf("flag %q hangs on itself: it %s", o.v.p.Spec.Flags[first].Name, &b), hint)
}
