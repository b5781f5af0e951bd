package compare

import (
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// place is a node of the tree of rules: what applies there, and below.
type place struct {
	rules   []int // in the order of the plan
	fields  map[string]*place
	any     *place // any field
	element *place // any element
}

// places are where a value stands, as several paths may name it.
type places []*place

func (p *place) add(steps []plan.FieldStep, rule int) {
	for _, s := range steps {
		var next **place
		switch {
		case s.Element:
			next = &p.element
		case s.Any:
			next = &p.any
		default:
			if p.fields == nil {
				p.fields = map[string]*place{}
			}
			if p.fields[s.Name] == nil {
				p.fields[s.Name] = &place{}
			}
			p = p.fields[s.Name]
			continue
		}
		if *next == nil {
			*next = &place{}
		}
		p = *next
	}
	p.rules = append(p.rules, rule)
}

// field is where a field of the value stands.
func (ps places) field(name string) (out places) {
	for _, p := range ps {
		if next := p.fields[name]; next != nil {
			out = append(out, next)
		}
		if p.any != nil {
			out = append(out, p.any)
		}
	}
	return out
}

// elements is where the elements of the value stand.
func (ps places) elements() (out places) {
	for _, p := range ps {
		if p.element != nil {
			out = append(out, p.element)
		}
	}
	return out
}

// ruleSet is the rules of a comparison, ready for use.
type ruleSet struct {
	rules   []plan.CompareRule
	root    place
	status  []int
	body    []int
	headers map[string][]int // by name in lower case
	// strict: equal bodies can differ by the rules.
	strict bool
}

// compile keeps the rules of which keep is true; the others never apply.
func compile(rules []plan.CompareRule, keep func(*plan.CompareRule) bool) (*ruleSet, error) {
	s := &ruleSet{rules: rules, headers: map[string][]int{}}
	for i := range rules {
		p, _, err := plan.ParseFieldPath(rules[i].Path)
		if err != nil {
			return nil, fmt.Errorf("compile rule %d: %w", i, err)
		}
		if !keep(&rules[i]) {
			continue
		}
		switch p.Part {
		case plan.FieldStatus:
			s.status = append(s.status, i)
		case plan.FieldBody:
			s.body = append(s.body, i)
		case plan.FieldHeader:
			name := strings.ToLower(p.Header)
			s.headers[name] = append(s.headers[name], i)
		default:
			s.root.add(p.Steps, i)
			s.strict = s.strict || rules[i].IDs || len(rules[i].Values) > 0
		}
	}
	return s, nil
}

// text finds the rule that excuses that modern has b where legacy has a: the first
// that fits decides.
func (s *ruleSet) text(rules []int, a, b string, now time.Time) (rule int, excused bool) {
	for _, i := range rules {
		r := &s.rules[i]
		if !r.AppliesAt(now) {
			continue
		}
		if r.Ignore {
			return i, true
		}
		if want, ok := r.Values[a]; ok {
			return i, want == b
		}
	}
	return -1, false
}
