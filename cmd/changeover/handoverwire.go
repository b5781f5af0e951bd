package main

import (
	"crypto/rand"
	"path/filepath"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/handover"
)

// handOver makes the engine that hands entities over, behind the daemon's bridges.
func (w *wired) handOver(t *entityTools, locks *entities.Locks) *handover.Engine {
	bridges, _ := w.common.Bridge.(handover.Bridges)
	return handover.New(handover.Options{
		Store: t.store, Open: t.sides, Bridges: func(*plan.Plan) handover.Bridges { return bridges }, Lock: locks.TryLock,
		Dir: filepath.Join(w.daemon.flags.stateDir, handoverDir), Token: rand.Text,
		Metrics: handover.NewMetrics(w.daemon.metrics), Log: w.daemon.log, Now: w.daemon.now,
	})
}

// sides of a plan, that are called as it says.
func (t *entityTools) sides(p *plan.Plan) (handover.Sides, error) {
	o, err := t.options(p)
	if err != nil {
		return nil, err
	}
	return &handover.Called{Program: o.Program, Caller: t.caller, Legacy: o.Legacy, Modern: o.Modern}, nil
}

// withHandOver refuses plans that hand entities over, where the daemon cannot.
func (w *wired) withHandOver(check func(*plan.Document) []plan.Problem) func(*plan.Document) []plan.Problem {
	return func(doc *plan.Document) []plan.Problem {
		ps := check(doc)
		if !handover.HandsOver(doc.Plan) {
			return ps
		}
		const at = "spec.entities.handOver"
		switch {
		case w.entities.engine == nil:
			ps = append(ps, doc.Problem(at, 0, "daemon", "the plan hands entities over, and the daemon was started without the table of their owners", "start it with --ownership, as the bridges have it"))
		case w.common.Bridge == nil:
			ps = append(ps, doc.Problem(at, 0, "daemon", "the plan hands entities over, and the daemon knows no bridge that keeps writes off meanwhile", "start it with --bridge-config or --bridge-config-map, and the bridges' addresses"))
		}
		return ps
	}
}
