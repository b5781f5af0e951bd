package compare

import (
	"encoding/json"
	"slices"
	"time"
)

// ruled compares by the first rule at the place that has not expired and fits the
// values; false: none does.
func (w *walk) ruled(a, b any, at places) bool {
	if len(at) == 0 {
		return false
	}
	var rules []int
	for _, p := range at {
		rules = append(rules, p.rules...)
	}
	slices.Sort(rules)
	for _, i := range rules {
		if w.c.set.rules[i].AppliesAt(w.now) && w.apply(i, a, b, at) {
			return true
		}
	}
	return false
}

// apply compares by one rule; false: it does not fit the values.
func (w *walk) apply(i int, a, b any, at places) bool {
	switch r := &w.c.set.rules[i]; {
	case r.Ignore:
		if !w.equal(a, b) {
			w.differ(kindOf(a, b), a, b, i, true)
		}
		return true
	case r.Unordered:
		x, ok := a.([]any)
		y, fine := b.([]any)
		if ok && fine {
			w.unordered(i, x, y, at)
		}
		return ok && fine
	case r.Tolerance != nil:
		x, ok := a.(json.Number)
		y, fine := b.(json.Number)
		if ok && fine && decimal(x) != decimal(y) {
			w.differ(Value, a, b, i, near(x, y, *r.Tolerance))
		}
		return ok && fine
	case r.Within != 0:
		return w.within(i, a, b, time.Duration(r.Within))
	case r.IDs:
		return w.id(i, a, b)
	default:
		return w.mapped(i, a, b, r.Values)
	}
}

func kindOf(a, b any) Kind {
	if typeOf(a) != typeOf(b) {
		return Type
	}
	return Value
}

// equal reports whether values are equal without any rule.
func (w *walk) equal(a, b any) bool {
	x, y := canonical(nil, a), canonical(nil, b)
	w.steps += (len(x) + len(y)) / 8
	return string(x) == string(y)
}

func (w *walk) within(i int, a, b any, most time.Duration) bool {
	x, ok := a.(string)
	y, fine := b.(string)
	if !ok || !fine {
		return false
	}
	s, errA := time.Parse(time.RFC3339, x)
	t, errB := time.Parse(time.RFC3339, y)
	if errA != nil || errB != nil {
		return false
	}
	if x != y {
		w.differ(Value, a, b, i, s.Sub(t).Abs() <= most)
	}
	return true
}

// mapped: where the map names legacy's value, modern must have the other one.
func (w *walk) mapped(i int, a, b any, values map[string]string) bool {
	x, ok := scalar(a)
	y, fine := scalar(b)
	want, named := values[x]
	if !ok || !fine || !named {
		return false
	}
	if want != y || x != y || typeOf(a) != typeOf(b) {
		w.differ(kindOf(a, b), a, b, i, want == y)
	}
	return true
}

// id: the pair must contradict none that is known.
func (w *walk) id(i int, a, b any) bool {
	x, ok := identity(a)
	y, fine := identity(b)
	if !ok || !fine {
		return false
	}
	kind := string(rune('0' + i))
	l, m := keyed(w.key, "legacy"+kind, []byte(x)), keyed(w.key, "modern"+kind, []byte(y))
	n := pair{id(l[:16]), id(m[:16])}
	w.steps += len(w.pairs) / 8
	fits := w.c.ids.fits(n, w.pairs)
	if fits {
		w.pairs = append(w.pairs, n)
	}
	if !fits || x != y || typeOf(a) != typeOf(b) {
		w.differ(kindOf(a, b), a, b, i, fits)
	}
	return true
}

// identity is an id as text; numbers have one form.
func identity(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return decimal(v), true
	}
	return "", false
}
