package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxCompareRules is how many rules one comparison has at most.
const MaxCompareRules = 200

// compareFault is what is wrong with a comparison, at a path below it.
type compareFault struct {
	path          string
	offset        int
	message, hint string
}

// Check reports the first thing that makes the comparison useless. Validation of a
// plan reports all of them at their places.
func (c *Comparison) Check() error {
	for _, f := range c.faults() {
		return errors.New(strings.TrimPrefix(f.path+": ", ": ") + f.message)
	}
	return nil
}

func (v *validator) compare(path string, c *Comparison) {
	v.capable(path, compares, "remove compare")
	for _, f := range c.faults() {
		at := path
		if f.path != "" {
			at += "." + f.path
		}
		if v.whole(at) {
			v.within(at, f.offset, "compare", f.message, f.hint)
		}
	}
}

func (c *Comparison) faults() (fs []compareFault) {
	for i, h := range c.Headers {
		at := fmt.Sprintf("headers[%d]", i)
		switch {
		case !token.MatchString(h):
			fs = append(fs, compareFault{at, 0, fmt.Sprintf("%s is no name of a header", shorten(h)), "use letters, digits and -"})
		case slices.ContainsFunc(c.Headers[:i], func(o string) bool { return strings.EqualFold(o, h) }):
			fs = append(fs, compareFault{at, 0, fmt.Sprintf("header %s is already in the list", h), "remove one of the two: names of headers have no case"})
		}
	}
	if b := c.Baseline; b != nil && !(*b > 0 && *b <= 100) {
		fs = append(fs, compareFault{"baseline", 0, "a baseline of 0 % asks legacy nothing", "remove baseline, or give a percent above 0, such as 5"})
	}
	for i, e := range c.Endpoints {
		if !strings.HasPrefix(e, "/") || len(e) > maxText || strings.ContainsAny(e, "?# ") || strings.Contains(e, "//") || badBraces(e) {
			fs = append(fs, compareFault{fmt.Sprintf("endpoints[%d]", i), 0, fmt.Sprintf("%s is no template of a path", shorten(e)), "write the path with ids in braces, each a whole segment: /orders/{id}/lines/{line}"})
		}
	}
	switch c.Absent {
	case "", AbsentNotComparable, AbsentMismatched:
	default:
		fs = append(fs, compareFault{"absent", 0, fmt.Sprintf("%s is not one of %s and %s", shorten(string(c.Absent)), AbsentNotComparable, AbsentMismatched), ""})
	}
	if len(c.Rules) > MaxCompareRules {
		return append(fs, compareFault{"rules", 0, fmt.Sprintf("there are %d rules; at most %d are allowed", len(c.Rules), MaxCompareRules), "use * in paths"})
	}
	for i := range c.Rules {
		for _, f := range c.ruleFaults(&c.Rules[i]) {
			f.path = strings.TrimSuffix(fmt.Sprintf("rules[%d].%s", i, f.path), ".")
			fs = append(fs, f)
		}
	}
	return fs
}

// badBraces reports whether a brace stands elsewhere than around a segment.
func badBraces(template string) bool {
	for s := range strings.SplitSeq(template, "/") {
		if inner, ok := strings.CutPrefix(s, "{"); ok {
			inner, ok = strings.CutSuffix(inner, "}")
			if !ok || !identifier.MatchString(inner) {
				return true
			}
			continue
		}
		if strings.ContainsAny(s, "{}") {
			return true
		}
	}
	return false
}

const pathForm = `write $.a.b, $.list[*].name, $["any name"], $.map.*, status, header.NAME or body`

func (c *Comparison) ruleFaults(r *CompareRule) (fs []compareFault) {
	p, offset, err := ParseFieldPath(r.Path)
	if err != nil {
		fs = append(fs, compareFault{"path", offset, err.Error(), pathForm})
	}
	does := r.does()
	switch {
	case len(does) != 1:
		fs = append(fs, compareFault{"", 0, fmt.Sprintf("the rule has %d of ignore, unordered, tolerance, within, values and ids", len(does)), "give exactly one: it says what is excused"})
	case err == nil && p.Part != FieldJSON && does[0] != "ignore" && does[0] != "values", p.Part == FieldBody && does[0] == "values":
		fs = append(fs, compareFault{does[0], 0, fmt.Sprintf("%s is for places in a JSON body, and the path is %s", does[0], p), "give a path that begins with $, or ignore"})
	case p.Part == FieldHeader && !slices.ContainsFunc(c.Headers, func(h string) bool { return strings.EqualFold(h, p.Header) }):
		fs = append(fs, compareFault{"path", len(FieldHeader) + 1, fmt.Sprintf("header %s does not count, so there is nothing to excuse", p.Header), "add it to compare.headers, or remove the rule"})
	}
	if r.Ignore && r.Owner == "" {
		fs = append(fs, compareFault{"", 0, "a rule that ignores differences needs an owner", "say who answers for it: owner: TEAM"})
	}
	if r.Ignore && r.Expires == "" {
		fs = append(fs, compareFault{"", 0, "a rule that ignores differences needs a date on which it expires", "add expires: YEAR-MONTH-DAY; renew it then, if it still holds"})
	}
	if _, ok := r.Expires.End(); r.Expires != "" && !ok {
		fs = append(fs, compareFault{"expires", 0, fmt.Sprintf("%s is not a date", shorten(string(r.Expires))), dateHint})
	}
	if t := r.Tolerance; t != nil && !(*t > 0 && *t < 1e300) {
		fs = append(fs, compareFault{"tolerance", 0, "the tolerance is not above 0", "give how far apart the numbers may be, such as 0.01"})
	}
	return fs
}

// does names what the rule excuses.
func (r *CompareRule) does() (does []string) {
	for _, d := range []struct {
		name string
		set  bool
	}{
		{"ignore", r.Ignore}, {"unordered", r.Unordered}, {"tolerance", r.Tolerance != nil},
		{"within", r.Within != 0}, {"values", len(r.Values) > 0}, {"ids", r.IDs},
	} {
		if d.set {
			does = append(does, d.name)
		}
	}
	return does
}
