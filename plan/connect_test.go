package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

func linked(t *testing.T, name, links string) *plan.Document {
	t.Helper()
	src := fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: %s}
spec:
  position: {phase: setup}
  %s
  phases: [{name: setup}, {name: live}]
`, name, links)
	d, ps := plan.Decode(name+".yaml", []byte(src))
	for _, p := range ps {
		t.Fatal(p.Render())
	}
	return d
}

func TestConnectFindsCyclesAndUnknownPhases(t *testing.T) {
	docs := []*plan.Document{
		linked(t, "a", "dependsOn: [{plan: b, phase: live}]"),
		linked(t, "b", "dependsOn: [{plan: c, phase: complete}]"),
		linked(t, "c", "dependsOn: [{plan: default/a, phase: setup}]"),
		linked(t, "d", "dependsOn: [{plan: a, phase: gradual}, {plan: unknown, phase: x}]"),
		linked(t, "e", "conflictsWith: [a]"),
	}
	var got []string
	for _, p := range plan.Connect(docs) {
		got = append(got, p.String())
	}
	want := []string{
		`a.yaml:6:22: dependency-cycle: default/a depends on itself by way of default/b -> default/c -> default/a`,
		`b.yaml:6:22: dependency-cycle: default/b depends on itself by way of default/c -> default/a -> default/b`,
		`c.yaml:6:22: dependency-cycle: default/c depends on itself by way of default/a -> default/b -> default/c`,
		`d.yaml:6:32: unknown-phase: plan "default/a" has no phase "gradual"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGroupsHoldWhatIsLinked(t *testing.T) {
	k := func(name string) plan.Key { return plan.Key{Namespace: "n", Name: name} }
	groups := plan.Groups(map[plan.Key][]plan.Key{
		k("e"): {k("d")}, k("d"): {k("gone")}, k("a"): nil, k("c"): {k("b"), k("z")}, k("b"): nil, k("z"): {k("y")}, k("y"): nil,
	})
	var got []string
	for _, g := range groups {
		var names []string
		for _, k := range g {
			names = append(names, k.Name)
		}
		got = append(got, strings.Join(names, " "))
	}
	if diff := cmp.Diff([]string{"a", "b c y z", "d e"}, got); diff != "" {
		t.Error(diff)
	}
}
