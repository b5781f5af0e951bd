package observed

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/plan"
)

var promQL = parser.NewParser(parser.Options{})

// sideOf is the side that a query is about, by the labels that it selects: the
// side's name or that of its Service. Empty where it is both or neither.
func sideOf(p *plan.Plan, query string) plan.Side {
	e, err := promQL.ParseExpr(query)
	if err != nil {
		return ""
	}
	found := map[plan.Side]bool{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		for _, m := range v.LabelMatchers {
			for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
				service := p.Spec.Backends.Of(side).Service
				if m.Type == labels.MatchEqual && (m.Value == string(side) || service != nil && m.Value == service.Name) {
					found[side] = true
				}
			}
		}
		return nil
	})
	switch {
	case found[plan.Legacy] && !found[plan.Modern]:
		return plan.Legacy
	case found[plan.Modern] && !found[plan.Legacy]:
		return plan.Modern
	}
	return ""
}

// Sides is what each side served: by what bridges count, or else by the signals of
// observedSplit. Where neither is there, why says so.
func (s *Source) Sides(ctx context.Context, signals []migrationreport.Readings) (sides *migrationreport.Sides, why string, err error) {
	g := s.Plan.Spec.Gateway
	if g == nil {
		return nil, "The plan moves no traffic.", nil
	}
	if g.Bridge != nil {
		if sides, err = s.bridged(ctx); err != nil || sides != nil {
			return sides, "", err
		}
	}
	if o := s.Plan.Spec.ObservedSplit; o != nil {
		legacy, modern := meanOf(signals, o.Legacy), meanOf(signals, o.Modern)
		if legacy != nil && modern != nil {
			return &migrationreport.Sides{
				From:   fmt.Sprintf("the signals %s and %s: the means of their readings", o.Legacy, o.Modern),
				Legacy: migrationreport.Served{Requests: *legacy}, Modern: migrationreport.Served{Requests: *modern},
			}, "", nil
		}
		return nil, fmt.Sprintf("How requests are shared is not known: the signals %s and %s had no values together.", o.Legacy, o.Modern), nil
	}
	if g.Bridge != nil {
		return nil, "How requests are shared is not known: Prometheus has no changeover_bridge_requests_total of this plan. Let it scrape the bridges' admin addresses.", nil
	}
	return nil, "How requests are shared is not known: name the signals that count them in spec.observedSplit.", nil
}

func meanOf(signals []migrationreport.Readings, name string) *float64 {
	for _, s := range signals {
		if s.Name == name {
			return migrationreport.Mean(s.Points)
		}
	}
	return nil
}

// bridged is what bridges count; nil where no bridge of the plan is scraped.
func (s *Source) bridged(ctx context.Context) (*migrationreport.Sides, error) {
	window := fmt.Sprintf("[%ds]", int(s.Now.Sub(s.Since)/time.Second))
	of := fmt.Sprintf("plan=%q", s.Plan.Metadata.Name)
	bySide := func(query string) (map[plan.Side]float64, error) {
		v, err := s.vector(ctx, query, s.Now)
		out := map[plan.Side]float64{}
		for _, sample := range v {
			if f := float64(sample.Value); !math.IsNaN(f) {
				out[plan.Side(sample.Metric["side"])] = f
			}
		}
		return out, err
	}
	requests, err := bySide("sum by (side) (increase(changeover_bridge_requests_total{" + of + "}" + window + "))")
	if err != nil || len(requests) == 0 {
		return nil, err
	}
	errs, err := bySide("sum by (side) (increase(changeover_bridge_requests_total{" + of + `,code=~"5.."}` + window + "))")
	if err != nil {
		return nil, err
	}
	sides := &migrationreport.Sides{From: "the bridges"}
	for side, into := range map[plan.Side]*migrationreport.Served{plan.Legacy: &sides.Legacy, plan.Modern: &sides.Modern} {
		into.Requests = requests[side]
		e := errs[side]
		into.Errors = &e
	}
	for q, into := range map[string][2]**float64{
		"0.5": {&sides.Legacy.P50, &sides.Modern.P50}, "0.95": {&sides.Legacy.P95, &sides.Modern.P95},
	} {
		v, err := bySide("histogram_quantile(" + q + ", sum by (side, le) (increase(changeover_bridge_request_duration_seconds_bucket{" + of + "}" + window + ")))")
		if err != nil {
			return nil, err
		}
		for i, side := range []plan.Side{plan.Legacy, plan.Modern} {
			if f, ok := v[side]; ok {
				*into[i] = &f
			}
		}
	}
	return sides, nil
}

// counted are the metrics of entities, transforms, hand-overs and backups.
const counted = "changeover_(entities|entities_comparisons_failed_total|labelled_entities|labelled_entities_changes_total|labelled_entities_failures_total|handover_entities_total|transform_.+|backup_.+)"

// maxCounts bounds what is shown.
const maxCounts = 60

// scraper are the labels that say who was scraped and not what is counted.
var scraper = []model.LabelName{"__name__", "instance", "job", "plan", "namespace", "pod", "container", "endpoint", "service", "source"}

// Counts are gauges and counters of the plan, by name; what several daemons tell
// is told once, by the highest.
func (s *Source) Counts(ctx context.Context) ([]migrationreport.Count, error) {
	key := s.Plan.Key()
	query := fmt.Sprintf("{__name__=~%q,plan=~%q}", counted, regexp.QuoteMeta(key.String())+"|"+regexp.QuoteMeta(key.Name))
	now, err := s.vector(ctx, query, s.Now)
	if err != nil {
		return nil, err
	}
	then, err := s.vector(ctx, query, s.Since)
	if err != nil {
		return nil, err
	}
	was := s.named(then)
	var out []migrationreport.Count
	for name, v := range s.named(now) {
		c := migrationreport.Count{Name: name, Value: v}
		if metric, _, _ := strings.Cut(name, "{"); strings.HasSuffix(metric, "_total") {
			grew := v - was[name]
			if grew < 0 {
				grew = v // it began anew
			}
			c.Grew = &grew
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b migrationreport.Count) int { return strings.Compare(a.Name, b.Name) })
	return out[:min(len(out), maxCounts)], nil
}

// named are the samples of the plan by metric and labels. A histogram is not
// among them.
func (s *Source) named(v model.Vector) map[string]float64 {
	out := map[string]float64{}
	key := s.Plan.Key()
	for _, sample := range v {
		name := string(sample.Metric["__name__"])
		if strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") {
			continue
		}
		if p := string(sample.Metric["plan"]); p != key.String() && string(sample.Metric["namespace"]) != key.Namespace {
			continue // another plan of that name
		}
		var parts []string
		for l, value := range sample.Metric {
			if !slices.Contains(scraper, l) {
				parts = append(parts, fmt.Sprintf("%s=%q", l, value))
			}
		}
		slices.Sort(parts)
		if len(parts) > 0 {
			name += "{" + strings.Join(parts, ",") + "}"
		}
		if had, ok := out[name]; !ok || float64(sample.Value) > had {
			out[name] = float64(sample.Value)
		}
	}
	return out
}
