package observed

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Source is a Prometheus and what it is asked about: one plan, from Since to Now.
// It is safe for concurrent use.
type Source struct {
	Querier    prom.Querier
	Client     *prom.Client
	Plan       *plan.Plan
	Program    *gates.Program
	Since, Now time.Time
}

// The numbers of readings of a time: of a day one every minute and a half.
const (
	readings       = 1000
	readingsBefore = 250
	trackPoints    = 10000
	leastStep      = 15 * time.Second
)

// stepOf cuts a time into about so many steps of whole seconds.
func stepOf(length time.Duration, parts int) time.Duration {
	step := length / time.Duration(parts)
	return max(leastStep, (step + time.Second - 1).Truncate(time.Second))
}

func (s *Source) vector(ctx context.Context, query string, at time.Time) (model.Vector, error) {
	v, err := s.Querier.Query(ctx, query, at)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for %s: %w", query, err)
	}
	vec, ok := v.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("ask Prometheus for %s: it answered with a %T", query, v)
	}
	return vec, nil
}

func (s *Source) matrix(ctx context.Context, query string, from time.Time, step time.Duration) (model.Matrix, error) {
	v, err := s.Querier.QueryRange(ctx, query, from, s.Now, step)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for %s: %w", query, err)
	}
	m, ok := v.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("ask Prometheus for %s: it answered with a %T", query, v)
	}
	return m, nil
}

// Track is where the plan was since a time, by what the daemon told; empty where
// it told nothing. What two daemons tell differently at a time is not known then.
func (s *Source) Track(ctx context.Context, from time.Time) ([]migrationreport.Stay, error) {
	if !from.Before(s.Now) {
		return nil, nil
	}
	step := stepOf(s.Now.Sub(from), trackPoints)
	// The last step is now, such that the newest is what is told now.
	from = s.Now.Add(-s.Now.Sub(from).Truncate(step))
	phases, err := s.matrix(ctx, fmt.Sprintf("max by (phase) (changeover_plan_position{plan=%q}) == 1", s.Plan.Key()), from, step)
	if err != nil {
		return nil, err
	}
	percents, err := s.matrix(ctx, fmt.Sprintf("max(changeover_effective_percent{plan=%q})", s.Plan.Key()), from, step)
	if err != nil {
		return nil, err
	}
	at := map[model.Time]plan.Position{}
	for _, series := range phases {
		for _, v := range series.Values {
			stop := plan.Position{Phase: string(series.Metric["phase"])}
			if _, twice := at[v.Timestamp]; twice {
				stop = plan.Position{}
			}
			at[v.Timestamp] = stop
		}
	}
	share := map[model.Time]plan.Percent{}
	for _, series := range percents {
		for _, v := range series.Values {
			share[v.Timestamp] = plan.Percent(v.Value)
		}
	}
	var out []migrationreport.Stay
	for _, t := range slices.Sorted(maps.Keys(at)) {
		stop := at[t]
		if ph := s.Plan.Phase(stop.Phase); ph != nil && len(ph.Percents) > 0 {
			stop.Percent = share[t]
		}
		if stop.IsZero() {
			continue
		}
		begin, end := t.Time(), t.Time().Add(step)
		if n := len(out); n > 0 && out[n-1].Stop == stop && !begin.After(out[n-1].To) {
			out[n-1].To = end
			continue
		}
		out = append(out, migrationreport.Stay{Stop: stop, From: begin, To: end})
	}
	if n := len(out); n > 0 && out[n-1].To.After(s.Now) {
		out[n-1].To = s.Now
	}
	return out, nil
}

// Signals are the plan's, by name, with those of as long a time before.
func (s *Source) Signals(ctx context.Context) ([]migrationreport.Readings, error) {
	names := slices.Sorted(maps.Keys(s.Plan.Spec.Signals))
	var needs []gates.Need
	for _, name := range names {
		need, _, _ := s.Program.Signal(name)
		needs = append(needs, need)
	}
	if len(needs) == 0 {
		return nil, nil
	}
	window := s.Now.Sub(s.Since)
	points, err := s.points(ctx, needs, s.Since, s.Now, stepOf(window, readings))
	if err != nil {
		return nil, err
	}
	before, err := s.points(ctx, needs, s.Since.Add(-window), s.Since, stepOf(window, readingsBefore))
	if err != nil {
		return nil, err
	}
	var out []migrationreport.Readings
	for i, name := range names {
		out = append(out, migrationreport.Readings{Name: name, Side: sideOf(s.Plan, s.Plan.Spec.Signals[name].Query), Points: points[needs[i]], Before: before[needs[i]]})
	}
	return out, nil
}

// points are those of the needs at every step to an end.
func (s *Source) points(ctx context.Context, needs []gates.Need, from, to time.Time, step time.Duration) (map[gates.Need][]gates.Point, error) {
	from, to = to.Truncate(time.Second).Add(-to.Sub(from).Truncate(step)), to.Truncate(time.Second)
	span, err := s.Client.Span(ctx, needs, from, to, step)
	if err != nil {
		return nil, err
	}
	out := map[gates.Need][]gates.Point{}
	samples := map[gates.Need]gates.Sample{}
	for t := from; !t.After(to); t = t.Add(step) {
		span.Into(samples, t)
		for _, n := range needs {
			p := samples[n].Last
			if err := samples[n].Err; err != nil {
				p = gates.Point{Time: t, Unknown: err.Error()}
			}
			if p.Unknown == "" && (math.IsNaN(p.Value) || math.IsInf(p.Value, 0)) {
				p.Unknown = "no number"
			}
			out[n] = append(out[n], p)
		}
	}
	return out, nil
}

// Baselines are the values that are remembered when a stop is left, asked for as
// of when that was. The notes say when it was, and what is not known.
func (s *Source) Baselines(ctx context.Context, track []migrationreport.Stay, changes []decide.Change) (values map[string]decide.Baseline, notes []string) {
	values = map[string]decide.Baseline{}
	for _, name := range slices.Sorted(maps.Keys(s.Plan.Spec.Baselines)) {
		stop, need, ok := s.Program.Remembered(name)
		if !ok {
			continue
		}
		at, left := migrationreport.LeftForward(s.Plan.Itinerary(), track, changes, stop)
		if !left {
			continue // nothing is to be remembered yet
		}
		sample := s.Client.Sample(ctx, []gates.Need{need}, at)[need]
		why := sample.Last.Unknown
		if sample.Err != nil {
			why = sample.Err.Error()
		}
		if why != "" {
			notes = append(notes, fmt.Sprintf("The baseline %s has no value as of %s, when %s was left: %s.", name, at.UTC().Format(time.RFC3339), stop, why))
			continue
		}
		values[name] = decide.Baseline{Signal: s.Plan.Spec.Baselines[name].Signal, Value: sample.Last.Value, At: at, Stop: stop}
		notes = append(notes, fmt.Sprintf("The baseline %s is asked for anew, as of %s, when %s was left: %g. The daemon's record may differ by a little.",
			name, at.UTC().Format(time.RFC3339), stop, sample.Last.Value))
	}
	return values, notes
}
