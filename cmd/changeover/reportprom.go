package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport/observed"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// reportPrometheus fills in what Prometheus tells.
func (a *app) reportPrometheus(ctx context.Context, f *reportFlags, h *atHead, in *migrationreport.Input) error {
	client, querier, err := f.clients()
	if err != nil {
		return err
	}
	prg, err := gates.Compile(in.Head.Plan, gates.Options{Interval: f.interval})
	if err != nil {
		return err
	}
	src := &observed.Source{Querier: querier, Client: client, Plan: in.Head.Plan, Program: prg, Since: in.Since, Now: in.Now}
	if in.Track, err = src.Track(ctx, in.Changes[0].At); err != nil {
		return err
	}
	if in.Signals, err = src.Signals(ctx); err != nil {
		return err
	}
	if in.Sides, in.NoSides, err = src.Sides(ctx, in.Signals); err != nil {
		return err
	}
	if in.Counts, err = src.Counts(ctx); err != nil {
		return err
	}
	baselines, notes := src.Baselines(ctx, in.Track, in.Changes)
	in.Notes = append(in.Notes, notes...)
	s := &reportStand{prg: prg, client: client, in: in, baselines: baselines}
	s.place()
	needs := prg.SuccessNeeds()
	in.Success = prg.Success(ctx, gates.Snapshot{Now: in.Now, Samples: client.Sample(ctx, needs, in.Now), Facts: s.facts()})
	if in.Final {
		return nil
	}
	if err := s.decide(ctx, h); err != nil {
		return err
	}
	return s.lasted(ctx, client)
}

// reportStand is how the plan stands, as far as Git and Prometheus tell.
type reportStand struct {
	prg       *gates.Program
	client    *prom.Client
	in        *migrationreport.Input
	baselines map[string]decide.Baseline

	stop  plan.Position
	since time.Time
}

// place is where the plan is: as the daemon's metrics tell, else as is declared.
func (s *reportStand) place() {
	s.stop = s.in.Head.Plan.Spec.Position
	for _, c := range s.in.Changes {
		if c.To == s.stop && c.From != s.stop {
			s.since = c.At
		}
	}
	if n := len(s.in.Track); n > 0 {
		s.stop, s.since = s.in.Track[n-1].Stop, s.in.Track[n-1].From
		return
	}
	s.in.Notes = append(s.in.Notes, "Prometheus has no changeover_plan_position of this plan: let it scrape the daemon's admin address. Where the plan is, is taken from the branch.")
}

func (s *reportStand) facts() gates.Facts {
	f := backtest.Facts(s.stop)
	f.Declared, f.StopSince, f.Baselines = s.in.Head.Plan.Spec.Position, s.since, map[string]float64{}
	for name, b := range s.baselines {
		f.Baselines[name] = b.Value
	}
	return f
}

// decide asks the daemon's rules, with a record rebuilt from Git.
func (s *reportStand) decide(ctx context.Context, h *atHead) error {
	it := s.in.Head.Plan.Itinerary()
	if it.Index(s.stop) < 0 {
		s.in.Notes = append(s.in.Notes, fmt.Sprintf("%s, where the plan is, is not on its itinerary: what blocks it is not known.", s.stop))
		return nil
	}
	in := decide.Input{
		Head: s.in.Head, Applied: s.in.Head, Now: s.in.Now, Git: decide.Git{ReadAt: s.in.Now}, Limits: reportLimits, Approvals: s.in.Approvals,
		Record: decide.Rebuild(it, s.in.Head, s.stop, s.since, nil, s.in.Head.Revision, s.in.Changes),
	}
	in.Record.Baselines = s.baselines
	var err error
	if in.Others, err = s.others(ctx, h); err != nil {
		return err
	}
	wants := decide.Wants(in)
	var needs []gates.Need
	for _, w := range wants {
		needs = append(needs, s.prg.Needs([]gates.Request{w.Request})...)
	}
	needs = append(needs, s.prg.DueNeeds(s.stop)...)
	snap := gates.Snapshot{Now: s.in.Now, Samples: s.client.Sample(ctx, needs, s.in.Now)}
	in.Due = s.prg.Due(s.stop, snap)
	for _, w := range wants {
		if w.Version.Content != s.in.Head.Content {
			continue // of a version that went by
		}
		snap.Facts = in.Facts(w)
		in.Verdicts = append(in.Verdicts, s.prg.EvalContext(ctx, w.Version.Revision, []gates.Request{w.Request}, snap)...)
	}
	d := decide.Decide(in)
	s.in.Decision, s.in.Gates = &d, in.Verdicts
	s.in.Notes = append(s.in.Notes, "Cluster and gateway are taken to be healthy. What only a daemon knows (live objects, bridges, holds, halts) is not asked: `changeover status` tells.")
	return nil
}

// others are the plans that this one is tied to, taken to be where they are
// declared.
func (s *reportStand) others(ctx context.Context, h *atHead) (map[plan.Key]decide.Other, error) {
	p := s.in.Head.Plan
	if len(p.Spec.DependsOn)+len(p.Spec.ConflictsWith) == 0 {
		return nil, nil
	}
	files, err := h.repo.Plans(ctx, h.head)
	if err != nil {
		return nil, fmt.Errorf("read the plans at %s: %w", h.head.Short(), err)
	}
	out := map[plan.Key]decide.Other{}
	for _, f := range files {
		o := f.Version.Plan
		if o == nil || plan.HasErrors(f.Problems) || o.Key() == p.Key() {
			continue
		}
		it, at := o.Itinerary(), o.Spec.Position
		last := len(it) > 0 && at == it[len(it)-1]
		out[o.Key()] = decide.Other{Known: true, At: at, Itinerary: it, Past: it.Index(at) > 0, Complete: last, Completed: last}
	}
	s.in.Notes = append(s.in.Notes, "Other plans are taken to be where they are declared.")
	return out, nil
}

// lastedSteps are at most so many evaluations: a week by the minute.
const lastedSteps = 10080

// lasted is for how long each gate of the stop gave which verdict.
func (s *reportStand) lasted(ctx context.Context, c *prom.Client) error {
	if len(s.in.Gates) == 0 {
		return nil
	}
	stops := []plan.Position{s.stop}
	for _, g := range s.in.Gates {
		if !slices.Contains(stops, g.Stop) {
			stops = append(stops, g.Stop)
		}
	}
	step := max(time.Minute, (s.in.Now.Sub(s.in.Since) / lastedSteps).Truncate(time.Second))
	end := s.in.Now.Truncate(time.Second)
	r, err := backtest.Run(ctx, c, backtest.Options{Plan: s.in.Head.Plan, Program: s.prg, Stops: stops, From: end.Add(-s.in.Now.Sub(s.in.Since)), To: end, Step: step})
	if err != nil {
		return err
	}
	for _, g := range r.Gates {
		for _, stop := range g.Stops {
			s.in.Lasted = append(s.in.Lasted, migrationreport.Lasted{Stop: stop, Effect: g.Effect, Name: g.Name, Totals: g.Totals})
		}
	}
	return nil
}
