package plantest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (d *decoder) test(n *yaml.Node, start time.Time) Test {
	t := Test{Line: n.Line}
	t.unset.position, t.unset.effective = true, true
	interval := defaultSamples
	var input *yaml.Node
	d.fields(n, "a test", map[string]func(key, value *yaml.Node){
		"name":         func(_, v *yaml.Node) { t.Name = d.text(v) },
		"interval":     func(_, v *yaml.Node) { interval = d.duration(v, true) },
		"input_series": func(_, v *yaml.Node) { input = v },
		"position": func(_, v *yaml.Node) {
			t.Position, t.unset.position, t.at.position = d.position(v), false, place{v.Line, v.Column}
		},
		"effective": func(_, v *yaml.Node) {
			t.Effective, t.unset.effective, t.at.effective = d.position(v), false, place{v.Line, v.Column}
		},
		"objects": func(_, v *yaml.Node) { t.Objects = d.objects(v) },
		"commits": func(_, v *yaml.Node) {
			d.list(v, func(c *yaml.Node) { t.Commits = append(t.Commits, d.commit(c)) })
		},
		"expect": func(_, v *yaml.Node) {
			d.list(v, func(e *yaml.Node) { t.Expect = append(t.Expect, d.expectation(e)) })
		},
	}, "expect")
	if input != nil && interval > 0 {
		t.Series = d.allSeries(input, start, interval)
	}
	slices.SortStableFunc(t.Commits, func(a, b Commit) int { return int(a.At - b.At) })
	return t
}

func (d *decoder) objects(n *yaml.Node) map[string]map[string]any {
	out := map[string]map[string]any{}
	if err := n.Decode(&out); err != nil {
		d.add(n, "wrong-type", fmt.Sprintf("objects are by their names in the plan: %v", err), "")
	}
	return out
}

func (d *decoder) commit(n *yaml.Node) Commit {
	c := Commit{place: place{n.Line, n.Column}}
	d.fields(n, "a commit", map[string]func(key, value *yaml.Node){
		"at": func(_, v *yaml.Node) { c.At = d.duration(v, false) },
		"position": func(_, v *yaml.Node) {
			c.Position, c.place = d.position(v), place{v.Line, v.Column}
		},
		"resume": func(_, v *yaml.Node) { c.Resume = d.bool(v) },
	}, "at", "position")
	return c
}

// verdicts are what a gate may be expected to be.
var verdicts = []string{string(gates.Pass), string(gates.Fail), string(gates.NoData), string(gates.Error)}

// verbs are what a decision may be expected to do.
var verbs = []decide.Verb{decide.Hold, decide.Apply, decide.Advance, decide.Retreat, decide.Rollback, decide.Complete, decide.Halt}

func (d *decoder) expectation(n *yaml.Node) Expectation {
	var e Expectation
	add := func(v *yaml.Node, k kind, gate, want string) {
		e.Checks = append(e.Checks, check{place: place{v.Line, v.Column}, kind: k, gate: gate, want: want})
	}
	d.fields(n, "an expectation", map[string]func(key, value *yaml.Node){
		"at": func(_, v *yaml.Node) { e.At = d.duration(v, false) },
		"gates": func(_, v *yaml.Node) {
			known := map[string]func(key, value *yaml.Node){}
			for i := 0; v.Kind == yaml.MappingNode && i+1 < len(v.Content); i += 2 {
				known[v.Content[i].Value] = func(key, value *yaml.Node) {
					if want := d.text(value); slices.Contains(verdicts, want) {
						add(value, ofGate, key.Value, want)
					} else {
						d.add(value, "bad-verdict", fmt.Sprintf("%q is no verdict", want), "a verdict is "+strings.Join(verdicts, ", ")+"; for pause and rollback gates Pass means that it is true")
					}
				}
			}
			d.fields(v, "gates", known)
		},
		"decision": func(_, v *yaml.Node) {
			words := strings.Fields(d.text(v))
			if len(words) < 1 || len(words) > 2 || !slices.Contains(verbs, decide.Verb(words[0])) {
				d.add(v, "bad-decision", fmt.Sprintf("%q is no decision", v.Value), "write VERB or VERB REASON, as in `Hold Baking`, `Advance` or `Rollback Breach`")
				return
			}
			add(v, ofDecision, "", strings.Join(words, " "))
		},
		"position": func(_, v *yaml.Node) { add(v, ofPosition, "", d.position(v).String()) },
		"declared": func(_, v *yaml.Node) { add(v, ofDeclared, "", d.position(v).String()) },
	}, "at")
	if len(e.Checks) == 0 {
		d.add(n, "no-expectation", "nothing is expected at this time", "it may have gates, decision, position and declared")
	}
	return e
}
