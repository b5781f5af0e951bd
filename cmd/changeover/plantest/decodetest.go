package plantest

import (
	"cmp"
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
	t.unset.position, t.unset.effective, t.unset.approvals = true, true, true
	interval := defaultSamples
	var input *yaml.Node
	d.Fields(n, "a test", map[string]func(key, value *yaml.Node){
		"name":         func(_, v *yaml.Node) { t.Name = d.Text(v) },
		"interval":     func(_, v *yaml.Node) { interval = d.duration(v, true) },
		"input_series": func(_, v *yaml.Node) { input = v },
		"position": func(_, v *yaml.Node) {
			t.Position, t.unset.position, t.at.position = d.position(v), false, place{v.Line, v.Column}
		},
		"effective": func(_, v *yaml.Node) {
			t.Effective, t.unset.effective, t.at.effective = d.position(v), false, place{v.Line, v.Column}
		},
		"objects": func(_, v *yaml.Node) { t.Objects = d.objects(v) },
		"author":  func(_, v *yaml.Node) { t.Author = d.Text(v) },
		"approvals": func(_, v *yaml.Node) {
			t.unset.approvals, t.at.approvals = false, place{v.Line, v.Column}
			d.List(v, func(a *yaml.Node) { t.Approvals = append(t.Approvals, d.approval(a)) })
		},
		"others": func(_, v *yaml.Node) {
			d.List(v, func(o *yaml.Node) { t.Others = append(t.Others, d.other(o)) })
		},
		"bridges": func(_, v *yaml.Node) {
			d.List(v, func(b *yaml.Node) { t.Bridges = append(t.Bridges, d.told(b)) })
		},
		"entities": func(_, v *yaml.Node) {
			d.List(v, func(e *yaml.Node) { t.Entities = append(t.Entities, d.counted(e)) })
		},
		"transforms": func(_, v *yaml.Node) {
			d.List(v, func(e *yaml.Node) { t.Transforms = append(t.Transforms, d.transformed(e)) })
		},
		"commits": func(_, v *yaml.Node) {
			d.List(v, func(c *yaml.Node) { t.Commits = append(t.Commits, d.commit(c)) })
		},
		"expect": func(_, v *yaml.Node) {
			d.List(v, func(e *yaml.Node) { t.Expect = append(t.Expect, d.expectation(e)) })
		},
	}, "expect")
	if input != nil && interval > 0 {
		t.Series = d.allSeries(input, start, interval)
	}
	slices.SortStableFunc(t.Commits, func(a, b Commit) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Approvals, func(a, b Approval) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Bridges, func(a, b Told) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Entities, func(a, b Counted) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Transforms, func(a, b Transformed) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Others, func(a, b Other) int { return cmp.Compare(a.At, b.At) })
	return t
}

func (d *decoder) objects(n *yaml.Node) map[string]map[string]any {
	out := map[string]map[string]any{}
	if err := n.Decode(&out); err != nil {
		d.Add(n, "wrong-type", fmt.Sprintf("objects are by their names in the plan: %v", err), "")
	}
	return out
}

func (d *decoder) commit(n *yaml.Node) Commit {
	c := Commit{place: place{n.Line, n.Column}}
	does := false
	d.Fields(n, "a commit", map[string]func(key, value *yaml.Node){
		"at": func(_, v *yaml.Node) { c.At = d.duration(v, false) },
		"position": func(_, v *yaml.Node) {
			c.Position, c.place, does = d.position(v), place{v.Line, v.Column}, true
			if c.Position.IsZero() && v.Value != "" {
				d.Add(v, "bad-position", "a commit declares a stop", "write PHASE or PHASE@PERCENT, such as gradual@25")
			}
		},
		"plan":   func(_, v *yaml.Node) { c.Plan, does = d.Text(v), true },
		"author": func(_, v *yaml.Node) { c.Author = d.Text(v) },
		"resume": func(_, v *yaml.Node) { c.Resume, does = d.Bool(v), true },
		"unhold": func(_, v *yaml.Node) { c.Unhold, does = d.Bool(v), true },
	}, "at")
	if !does {
		d.Add(n, "empty-commit", "the commit does nothing", "it may have position, plan, resume and unhold")
	}
	return c
}

func (d *decoder) approval(n *yaml.Node) Approval {
	a := Approval{place: place{n.Line, n.Column}}
	d.Fields(n, "an approval", map[string]func(key, value *yaml.Node){
		"at":   func(_, v *yaml.Node) { a.At = d.duration(v, false) },
		"stop": func(_, v *yaml.Node) { a.Stop, a.place = d.position(v), place{v.Line, v.Column} },
		"role": func(_, v *yaml.Node) { a.Role, a.role = d.Text(v), place{v.Line, v.Column} },
		"item": func(_, v *yaml.Node) { a.Item = d.Text(v) },
		"by":   func(_, v *yaml.Node) { a.By = d.Text(v) },
	}, "at", "stop", "role", "by")
	return a
}

func (d *decoder) other(n *yaml.Node) Other {
	o := Other{place: place{n.Line, n.Column}}
	at := false
	d.Fields(n, "another plan", map[string]func(key, value *yaml.Node){
		"at":   func(_, v *yaml.Node) { o.At = d.duration(v, false) },
		"plan": func(_, v *yaml.Node) { o.Plan = d.Text(v) },
		"position": func(_, v *yaml.Node) {
			o.Position, o.place, at = d.position(v), place{v.Line, v.Column}, true
		},
		"declared": func(_, v *yaml.Node) { o.Declared = d.position(v) },
		"complete": func(_, v *yaml.Node) { o.Complete = d.Bool(v) },
		"unknown":  func(_, v *yaml.Node) { o.Unknown = d.Bool(v) },
		"state":    func(_, v *yaml.Node) { o.State = d.Text(v) },
	}, "at", "plan")
	switch {
	case o.Unknown && (at || o.Complete || o.State != ""):
		d.Add(n, "bad-plan", "a plan that is unknown has no position and no state", "drop unknown, or all but at and plan")
	case !o.Unknown && !o.Complete && !at:
		d.Add(n, "missing-field", `another plan needs "position", complete: true or unknown: true`, "")
	}
	return o
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
	d.Fields(n, "an expectation", map[string]func(key, value *yaml.Node){
		"at": func(_, v *yaml.Node) { e.At = d.duration(v, false) },
		"gates": func(_, v *yaml.Node) {
			known := map[string]func(key, value *yaml.Node){}
			for i := 0; v.Kind == yaml.MappingNode && i+1 < len(v.Content); i += 2 {
				known[v.Content[i].Value] = func(key, value *yaml.Node) {
					if want := d.Text(value); slices.Contains(verdicts, want) {
						add(value, ofGate, key.Value, want)
					} else {
						d.Add(value, "bad-verdict", fmt.Sprintf("%q is no verdict", want), "a verdict is "+strings.Join(verdicts, ", ")+"; for pause and rollback gates Pass means that it is true")
					}
				}
			}
			d.Fields(v, "gates", known)
		},
		"decision": func(_, v *yaml.Node) {
			words := strings.Fields(d.Text(v))
			if len(words) < 1 || len(words) > 2 || !slices.Contains(verbs, decide.Verb(words[0])) {
				d.Add(v, "bad-decision", fmt.Sprintf("%q is no decision", v.Value), "write VERB or VERB REASON, as in `Hold Baking`, `Advance` or `Rollback Breach`")
				return
			}
			add(v, ofDecision, "", strings.Join(words, " "))
		},
		"position": func(_, v *yaml.Node) { add(v, ofPosition, "", d.position(v).String()) },
		"declared": func(_, v *yaml.Node) { add(v, ofDeclared, "", d.position(v).String()) },
	}, "at")
	if len(e.Checks) == 0 {
		d.Add(n, "no-expectation", "nothing is expected at this time", "it may have gates, decision, position and declared")
	}
	return e
}
