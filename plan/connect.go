package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PhaseComplete, in a dependency, is the state Complete of the other plan.
const PhaseComplete = "complete"

// Needed is how many persons must approve.
func (a ApprovalRule) Needed() int {
	if a.Count == nil {
		return 1
	}
	return *a.Count
}

// ParseKey reads NAMESPACE/NAME, or NAME in a namespace.
func ParseKey(name, namespace string) Key {
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		return Key{Namespace: ns, Name: rest}
	}
	return Key{Namespace: namespace, Name: name}
}

// Other is the plan that a name in this one means: PLAN of its own namespace,
// or NAMESPACE/PLAN.
func (p *Plan) Other(name string) Key {
	return ParseKey(name, cmp.Or(p.Metadata.Namespace, DefaultNamespace))
}

// Links are the plans that this one depends on or conflicts with, sorted, each
// once.
func (p *Plan) Links() []Key {
	var keys []Key
	for _, d := range p.Spec.DependsOn {
		keys = append(keys, p.Other(d.Plan))
	}
	for _, name := range p.Spec.ConflictsWith {
		keys = append(keys, p.Other(name))
	}
	slices.SortFunc(keys, CompareKeys)
	return slices.Compact(keys)
}

// CompareKeys orders keys by namespace and name.
func CompareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Connect checks how the plans of one repository hang together: a cycle of
// dependencies and a phase that the other plan does not have are errors of the
// plan that names them. A plan that is not among them is not judged: it may
// come later, and until then nothing moves forward that depends on it.
func Connect(docs []*Document) []Problem {
	plans := map[Key]*Plan{}
	for _, d := range docs {
		plans[d.Plan.Key()] = d.Plan
	}
	var ps []Problem
	for _, d := range docs {
		for i, dep := range d.Plan.Spec.DependsOn {
			path := fmt.Sprintf("spec.dependsOn[%d]", i)
			key := d.Plan.Other(dep.Plan)
			other := plans[key]
			if other == nil || key == d.Plan.Key() {
				continue
			}
			if dep.Phase != PhaseComplete && other.Phase(dep.Phase) == nil {
				ps = append(ps, d.Problem(path+".phase", 0, "unknown-phase", fmt.Sprintf("plan %q has no phase %s", key, shorten(dep.Phase)), phasesHint(other)))
			}
			if cycle := pathBetween(plans, key, d.Plan.Key(), nil); cycle != nil {
				ps = append(ps, d.Problem(path+".plan", 0, "dependency-cycle",
					fmt.Sprintf("%s depends on itself by way of %s", d.Plan.Key(), joinKeys(cycle)), "remove one of these dependencies: none of the plans could ever begin"))
			}
		}
	}
	Sort(ps)
	return ps
}

func phasesHint(p *Plan) string {
	names := make([]string, 0, len(p.Spec.Phases)+1)
	for _, ph := range p.Spec.Phases {
		names = append(names, ph.Name)
	}
	return "its phases are " + strings.Join(append(names, PhaseComplete), ", ")
}

// pathBetween is a way along dependencies from one plan to another; nil where
// there is none.
func pathBetween(plans map[Key]*Plan, from, to Key, seen []Key) []Key {
	if from == to {
		return append(slices.Clone(seen), to)
	}
	p := plans[from]
	if p == nil || slices.Contains(seen, from) {
		return nil
	}
	for _, d := range p.Spec.DependsOn {
		if way := pathBetween(plans, p.Other(d.Plan), to, append(slices.Clone(seen), from)); way != nil {
			return way
		}
	}
	return nil
}

func joinKeys(keys []Key) string {
	s := make([]string, len(keys))
	for i, k := range keys {
		s[i] = k.String()
	}
	return strings.Join(s, " -> ")
}

// Groups partitions keys so that those that are linked, by way of any others,
// are together. Each group is sorted, and the groups by their first.
func Groups(links map[Key][]Key) [][]Key {
	parent := map[Key]Key{}
	for k := range links {
		parent[k] = k
	}
	root := func(k Key) Key {
		for parent[k] != k {
			k = parent[k]
		}
		return k
	}
	for _, k := range slices.SortedFunc(maps.Keys(links), CompareKeys) {
		for _, l := range links[k] {
			if _, ok := parent[l]; !ok {
				continue // it is not there
			}
			a, b := root(k), root(l)
			if CompareKeys(a, b) > 0 {
				a, b = b, a
			}
			parent[b] = a
		}
	}
	members := map[Key][]Key{}
	for _, k := range slices.SortedFunc(maps.Keys(links), CompareKeys) {
		r := root(k)
		members[r] = append(members[r], k)
	}
	var out [][]Key
	for _, r := range slices.SortedFunc(maps.Keys(members), CompareKeys) {
		out = append(out, members[r])
	}
	return out
}
