package kustomize

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// PositionName is the name of the ConfigMap that every build gets; see the
// package's comment.
const PositionName = "migration-position"

// mark is the annotation by which that ConfigMap is known after the build, which
// may give it another name. It is removed then.
const mark = "internal.changeover.dev/position"

// position is the ConfigMap with where the plan stands, as JSON. It has no
// namespace: that of the kustomization, or else the plan's, comes later.
func position(p *plan.Plan, stop plan.Position, rev plan.Revision) ([]byte, error) {
	modern, err := share(p, stop)
	if err != nil {
		return nil, err
	}
	l, m := weights(modern)
	return json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": PositionName, "annotations": map[string]string{mark: "true"}},
		"data": map[string]string{
			"plan": p.Metadata.Name, "phase": stop.Phase, "percent": stop.Percent.String(),
			"legacyWeight": strconv.Itoa(l), "modernWeight": strconv.Itoa(m), "revision": string(rev),
		},
	})
}

// share is modern's part of the traffic that no route with a match takes: the
// stop's percent in a phase that has percents, else that of its last route.
func share(p *plan.Plan, stop plan.Position) (plan.Percent, error) {
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return 0, err
	}
	switch last := rules[len(rules)-1]; {
	case len(p.Phase(stop.Phase).Percents) > 0:
		return stop.Percent, nil
	case last.Split:
		return last.Percent, nil
	case last.Side == plan.Modern:
		return 100, nil
	}
	return 0, nil
}

// weights are whole numbers in the proportion of the two sides, as an HTTPRoute
// takes them: of a hundred, or of ten thousand for a percentage with decimals.
func weights(modern plan.Percent) (l, m int) {
	of, n := 100, float64(modern)
	if n != math.Trunc(n) {
		of, n = 10000, n*100
	}
	m = int(math.Round(n))
	return of - m, m
}

// stopOf checks that there is something to build at a stop.
func stopOf(p *plan.Plan, stop plan.Position) (*plan.Cluster, error) {
	if p.Itinerary().Index(stop) < 0 {
		return nil, fmt.Errorf("build plan %q: stop %q is not on its itinerary %v", p.Metadata.Name, stop, p.Itinerary())
	}
	c := p.Phase(stop.Phase).Cluster
	if c == nil {
		return nil, fmt.Errorf("build plan %q: phase %q has no `cluster`", p.Metadata.Name, stop.Phase)
	}
	return c, nil
}
