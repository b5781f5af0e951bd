package lint

import (
	"maps"
	"slices"
)

// box is a conjunction: each term is in its set, and each condition that is no
// comparison with a number is true or false. Terms and conditions are known by
// their text.
type box struct {
	nums  map[string]set
	bools map[string]bool
}

// region is when an expression is true: in any of its boxes. It is nil where
// that is never. Boxes hold what was written and nothing was merged but what
// speaks of one term alone, so that an expression that is true has a box of
// which everything is known.
type region []box

// maxBoxes bounds the work on one expression. One that needs more is not
// judged.
const maxBoxes = 64

// everywhere is when `true` is true.
var everywhere = region{{}}

func inside(term string, s set) region {
	if s.empty() {
		return nil
	}
	return region{{nums: map[string]set{term: s}}}
}

func whether(condition string, is bool) region {
	return region{{bools: map[string]bool{condition: is}}}
}

// and is empty, and ok false, where no values satisfy both.
func (b box) and(c box) (out box, ok bool) {
	out = box{nums: maps.Clone(b.nums), bools: maps.Clone(b.bools)}
	for term, s := range c.nums {
		if t, both := out.nums[term]; both {
			s = s.and(t)
		}
		if s.empty() {
			return box{}, false
		}
		if out.nums == nil {
			out.nums = map[string]set{}
		}
		out.nums[term] = s
	}
	for condition, is := range c.bools {
		if was, both := out.bools[condition]; both && was != is {
			return box{}, false
		}
		if out.bools == nil {
			out.bools = map[string]bool{}
		}
		out.bools[condition] = is
	}
	return out, true
}

// only returns the one term of which a box speaks.
func (b box) only() (term string, s set, ok bool) {
	if len(b.nums) != 1 || len(b.bools) > 0 {
		return "", nil, false
	}
	for term, s = range b.nums {
	}
	return term, s, true
}

// within reports whether every point of b is in c.
func (b box) within(c box, domains map[string]set) bool {
	for term, s := range c.nums {
		t, ok := b.nums[term]
		if !ok || !t.and(domainOf(domains, term)).within(s) {
			return false
		}
	}
	for condition, is := range c.bools {
		if was, ok := b.bools[condition]; !ok || was != is {
			return false
		}
	}
	return true
}

// possible reports whether the terms can have such values at all.
func (b box) possible(domains map[string]set) bool {
	for term, s := range b.nums {
		if s.and(domainOf(domains, term)).empty() {
			return false
		}
	}
	return true
}

func domainOf(domains map[string]set, term string) set {
	if d, ok := domains[term]; ok {
		return d
	}
	return all
}

// and is not ok where it would have too many boxes.
func (r region) and(s region) (out region, ok bool) {
	for _, b := range r {
		for _, c := range s {
			if d, possible := b.and(c); possible {
				if out = append(out, d); len(out) > maxBoxes {
					return nil, false
				}
			}
		}
	}
	return out.merged(), true
}

func (r region) or(s region) (out region, ok bool) {
	out = slices.Concat(r, s).merged()
	return out, len(out) <= maxBoxes
}

// merged makes one box of those that speak of one and the same term alone.
func (r region) merged() region {
	var out region
	at := map[string]int{}
	for _, b := range r {
		term, s, ok := b.only()
		if i, seen := at[term]; ok && seen {
			out[i] = box{nums: map[string]set{term: out[i].nums[term].or(s)}}
			continue
		}
		if ok {
			at[term] = len(out)
		}
		out = append(out, b)
	}
	return out
}

// possible leaves out the boxes that the terms cannot reach.
func (r region) possible(domains map[string]set) region {
	return slices.DeleteFunc(slices.Clone(r), func(b box) bool { return !b.possible(domains) })
}

// implies reports whether s is known to be true whenever r is, also where other
// values are unknown: each box of r lies in a single one of s.
func (r region) implies(s region, domains map[string]set) bool {
	for _, b := range r.possible(domains) {
		if !slices.ContainsFunc(s, func(c box) bool { return b.within(c, domains) }) {
			return false
		}
	}
	return true
}

// band returns the term and its values where a region speaks of one term and
// nothing else.
func (r region) band() (term string, s set, ok bool) {
	if len(r) != 1 {
		return "", nil, false
	}
	return r[0].only()
}
