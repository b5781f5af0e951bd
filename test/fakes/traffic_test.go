package fakes_test

import (
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
)

func TestTraffic(t *testing.T) {
	conformance.Traffic(t, func(*testing.T) conformance.Gateway {
		return conformance.Gateway{Traffic: &fakes.Traffic{}, Plan: &plan.Plan{
			Metadata: plan.Metadata{Name: "shop", Namespace: "default"},
			Spec: plan.Spec{Phases: []plan.Phase{
				{Name: "setup"}, {Name: "gradual", Percents: []plan.Percent{10, 25}},
			}},
		}}
	})
}
