package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// Direction of the declared position between two versions of a plan.
type Direction string

// The directions, on the newer version's itinerary. From none, which a plan
// that was not there declares, everything is forward; to none, backward.
// Unknown: one of the two positions is no stop there.
const (
	Same     Direction = "same"
	Forward  Direction = "forward"
	Backward Direction = "backward"
	Unknown  Direction = "unknown"
)

// Change is what differs between two versions of a plan.
type Change struct {
	From      Position  `json:"from"`
	To        Position  `json:"to"`
	Direction Direction `json:"direction"`
	// Suspend changed.
	Suspend bool `json:"suspend,omitempty"`
	// Content: something other than position and suspend changed. Live: some
	// of that changes what is applied.
	Content bool `json:"content,omitempty"`
	Live    bool `json:"live,omitempty"`
	// Fields that differ, sorted, position and suspend among them. Phases,
	// gates and parentRefs stand with their names, other elements of lists
	// with their index: spec.phases[gradual].gates.rollback[errors].expr.
	Fields []string `json:"fields,omitempty"`
	// Removed stops: on the older itinerary and not on the newer one.
	Removed []Position `json:"removed,omitempty"`
}

// IsZero reports whether the two versions say the same.
func (c Change) IsZero() bool { return len(c.Fields) == 0 }

// Compare says what changed from old to new. Either may be nil: the plan was
// not there.
func Compare(old, new *Plan) Change {
	if old == nil {
		old = &Plan{}
	}
	if new == nil {
		new = &Plan{}
	}
	c := Change{
		From:    old.Spec.Position,
		To:      new.Spec.Position,
		Suspend: old.Spec.Suspend != new.Spec.Suspend,
		Content: ContentDigest(old) != ContentDigest(new),
		Live:    LiveDigest(old) != LiveDigest(new),
	}
	stops := new.Itinerary()
	c.Direction = direction(stops, c.From, c.To)
	for _, stop := range old.Itinerary() {
		if stops.Index(stop) < 0 {
			c.Removed = append(c.Removed, stop)
		}
	}
	diff(&c.Fields, "", tree(old), tree(new))
	slices.Sort(c.Fields)
	return c
}

func direction(stops Itinerary, from, to Position) Direction {
	i, j := stops.Index(from), stops.Index(to)
	switch {
	case from == to:
		return Same
	case from.IsZero():
		return Forward
	case to.IsZero():
		return Backward
	case i < 0 || j < 0:
		return Unknown
	case i < j:
		return Forward
	}
	return Backward
}

// tree is the JSON of a plan as maps, lists and scalars.
func tree(p *Plan) any {
	b, err := json.Marshal(p)
	if err != nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil
	}
	return v
}

// diff appends the paths where two trees differ, as deep as both go.
func diff(paths *[]string, path string, a, b any) {
	if x, ok := a.(map[string]any); ok {
		if y, ok := b.(map[string]any); ok {
			for _, key := range keys(x, y) {
				diff(paths, join(path, key), x[key], y[key])
			}
			return
		}
	}
	if x, ok := a.([]any); ok {
		if y, ok := b.([]any); ok {
			diffList(paths, path, x, y)
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		*paths = append(*paths, path)
	}
}

// diffList compares lists of named objects by name, others by index. A changed
// order of names is a change of the list itself.
func diffList(paths *[]string, path string, a, b []any) {
	x, order := byName(a)
	y, newOrder := byName(b)
	if x == nil || y == nil {
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) {
				*paths = append(*paths, path+"["+strconv.Itoa(i)+"]")
				continue
			}
			diff(paths, path+"["+strconv.Itoa(i)+"]", a[i], b[i])
		}
		return
	}
	absent := func(m map[string]any) func(string) bool {
		return func(name string) bool { _, ok := m[name]; return !ok }
	}
	if !slices.Equal(slices.DeleteFunc(order, absent(y)), slices.DeleteFunc(newOrder, absent(x))) {
		*paths = append(*paths, path)
	}
	for _, name := range keys(x, y) {
		diff(paths, fmt.Sprintf("%s[%s]", path, name), x[name], y[name])
	}
}

// byName indexes a list of objects that all have names, each its own; nil for
// any other list.
func byName(list []any) (m map[string]any, order []string) {
	m = make(map[string]any, len(list))
	for _, e := range list {
		o, _ := e.(map[string]any)
		name, ok := o["name"].(string)
		if _, twice := m[name]; !ok || twice {
			return nil, nil
		}
		m[name] = o
		order = append(order, name)
	}
	return m, order
}

// keys are those of two maps together, sorted.
func keys(a, b map[string]any) []string {
	all := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}
