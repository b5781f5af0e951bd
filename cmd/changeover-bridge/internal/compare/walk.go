package compare

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/plan"
)

const (
	// maxSteps is the work of one comparison.
	maxSteps = 2_000_000
	// maxPlaces that differ are told.
	maxPlaces = 100
)

// Kind says how answers differ at a place.
type Kind string

// The kinds of differences.
const (
	Missing Kind = "missing" // modern lacks it
	Added   Kind = "added"   // legacy lacks it
	Type    Kind = "type"
	Value   Kind = "value"
	Order   Kind = "order"  // of the elements of an array
	Format  Kind = "format" // one of the bodies is no JSON, or cannot be decoded
)

// Difference is a place at which the answers differ.
type Difference struct {
	// Path is as plan.FieldPath has it, with [*] for any element, and .* for
	// fields whose name may be a value.
	Path           string
	Kind           Kind
	Legacy, Modern Sample
	// Rule is the index of the one that excuses it, or that was not met; -1: none.
	Rule int
}

// Sample stands for a value, which is not shown.
type Sample struct {
	// Type as in JSON, bytes for a body that is none, or absent.
	Type string `json:"type"`
	// Length of a text or body in bytes, of a number in digits, of an array or
	// object in elements.
	Length int `json:"length"`
	// Hash is equal for equal values, as long as the bridge runs.
	Hash string `json:"hash,omitempty"`
}

// walk is one comparison on its way.
type walk struct {
	c     *Comparer
	now   time.Time
	key   []byte
	steps int
	path  []string
	// trial: the first difference is enough.
	trial          bool
	found, excused []Difference
	pairs          []pair
}

// mark is where a walk stands, to go back there.
type mark struct{ found, excused, pairs int }

func (w *walk) mark() mark { return mark{len(w.found), len(w.excused), len(w.pairs)} }

func (w *walk) reset(m mark) {
	w.found, w.excused, w.pairs = w.found[:m.found], w.excused[:m.excused], w.pairs[:m.pairs]
}

func (w *walk) spent() bool { return w.steps > maxSteps }

// done: nothing more needs to be looked at.
func (w *walk) done() bool { return w.spent() || w.trial && len(w.found) > 0 }

func (w *walk) in(step string, look func()) {
	w.path = append(w.path, step)
	look()
	w.path = w.path[:len(w.path)-1]
}

// note keeps a difference, one for each path.
func (w *walk) note(d Difference, excused bool) {
	list := &w.found
	if excused {
		list = &w.excused
	}
	for i := range *list {
		if (*list)[i].Path == d.Path && (*list)[i].Rule == d.Rule {
			return
		}
	}
	if len(*list) < maxPlaces {
		*list = append(*list, d)
	}
}

// differ notes that values differ at the current place.
func (w *walk) differ(kind Kind, a, b any, rule int, excused bool) {
	d := Difference{Path: plan.FieldJSON + strings.Join(w.path, ""), Kind: kind, Rule: rule}
	switch kind {
	case Missing:
		d.Legacy, d.Modern = w.shown(a), Sample{Type: "absent"}
	case Added:
		d.Legacy, d.Modern = Sample{Type: "absent"}, w.shown(b)
	default:
		d.Legacy, d.Modern = w.shown(a), w.shown(b)
	}
	w.note(d, excused)
}

func (w *walk) shown(v any) Sample {
	s := Sample{Type: typeOf(v)}
	form := canonical(nil, v)
	switch v := v.(type) {
	case string:
		s.Length = len(v)
	case json.Number:
		s.Length = strings.Count(string(v), "") - 1
	case []any:
		s.Length = len(v)
	case map[string]any:
		s.Length = len(v)
	}
	w.steps += len(form) / 8
	s.Hash = hash(w.key, s.Type, form)
	return s
}

// value compares two values by the first rule that fits them, else as they are.
func (w *walk) value(a, b any, at places) {
	if w.steps++; w.done() || w.ruled(a, b, at) {
		return
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			w.object(x, y, at)
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			w.array(x, y, at)
			return
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			if x != y && decimal(x) != decimal(y) {
				w.differ(Value, a, b, -1, false)
			}
			return
		}
	default:
		if typeOf(a) == typeOf(b) {
			if a != b {
				w.differ(Value, a, b, -1, false)
			}
			return
		}
	}
	w.differ(Type, a, b, -1, false)
}

func (w *walk) object(a, b map[string]any, at places) {
	for _, k := range sortedKeys(a) {
		if w.done() {
			return
		}
		w.in(stepOf(k), func() {
			if other, ok := b[k]; ok {
				w.value(a[k], other, at.field(k))
			} else {
				w.lone(Missing, a[k], nil, at.field(k))
			}
		})
	}
	for _, k := range sortedKeys(b) {
		if _, ok := a[k]; !ok && !w.done() {
			w.in(stepOf(k), func() { w.lone(Added, nil, b[k], at.field(k)) })
		}
	}
}

// lone is a value that one side lacks. Only an ignore excuses that.
func (w *walk) lone(kind Kind, a, b any, at places) {
	w.steps++
	for _, p := range at {
		for _, i := range p.rules {
			if r := &w.c.set.rules[i]; r.Ignore && r.AppliesAt(w.now) {
				w.differ(kind, a, b, i, true)
				return
			}
		}
	}
	w.differ(kind, a, b, -1, false)
}

// array compares element by element. Where only the order differs, it says so.
func (w *walk) array(a, b []any, at places) {
	before := w.mark()
	inner := at.elements()
	w.in("[*]", func() {
		for i := range max(len(a), len(b)) {
			if w.done() {
				return
			}
			switch {
			case i >= len(b):
				w.lone(Missing, a[i], nil, inner)
			case i >= len(a):
				w.lone(Added, nil, b[i], inner)
			default:
				w.value(a[i], b[i], inner)
			}
		}
	})
	if !w.trial && len(w.found) > before.found && len(a) == len(b) && w.sameElements(a, b) {
		w.reset(before)
		w.differ(Order, a, b, -1, false)
	}
}

// sameElements reports whether two arrays differ in their order alone.
func (w *walk) sameElements(a, b []any) bool {
	counts := make(map[string]int, len(a))
	for _, v := range a {
		form := canonical(nil, v)
		w.steps += len(form)/8 + 1
		counts[string(form)]++
	}
	for _, v := range b {
		form := canonical(nil, v)
		w.steps += len(form)/8 + 1
		if counts[string(form)]--; counts[string(form)] < 0 {
			return false
		}
	}
	return true
}

// stepOf is a field's name in a path. One that may be a value is not shown.
func stepOf(name string) string {
	if LooksLikeValue(name) {
		return plan.FieldStep{Any: true}.String()
	}
	return plan.FieldStep{Name: name}.String()
}

// LooksLikeValue reports whether a name, of a field or a segment of a path, is
// rather an id or another value than a word that somebody chose for it.
func LooksLikeValue(s string) bool {
	const longest = 48
	digits, hex := 0, true
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'f', r >= 'A' && r <= 'F', r == '-':
		case r == '@', r == '%', r > utf8.RuneSelf, r < ' ':
			return true
		default:
			hex = false
		}
	}
	switch n := len(s); {
	case n > longest:
		return true
	case digits == 0, isVersion(s):
		return false
	default:
		return digits*2 >= n || digits >= 3 || hex && n >= 8
	}
}

// isVersion reports whether a segment is such as v2 or v1.1.
func isVersion(s string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(s), "v")
	return ok && len(rest) <= 5 && strings.Trim(rest, "0123456789.") == ""
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }
