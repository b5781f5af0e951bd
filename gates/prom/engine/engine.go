package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/changeover-dev/changeover/gates/prom"
)

const (
	// maxSamples is what Prometheus lets one query load by default.
	maxSamples = 50_000_000
	timeout    = 2 * time.Minute
)

// Engine evaluates queries over series that do not change. It is safe for
// concurrent use.
type Engine struct {
	engine *promql.Engine
	series memory
}

var _ prom.Querier = (*Engine)(nil)

// New makes an engine over the series. No two may have the same labels.
func New(series []Series) (*Engine, error) {
	m, err := newMemory(series)
	if err != nil {
		return nil, err
	}
	return &Engine{series: m, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: timeout, EnableAtModifier: true, EnableNegativeOffset: true,
		Parser: parser.NewParser(parser.Options{}),
		// What Prometheus takes for the step of a subquery without one.
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})}, nil
}

// Query implements prom.Querier.
func (e *Engine) Query(ctx context.Context, query string, at time.Time) (model.Value, error) {
	q, err := e.engine.NewInstantQuery(ctx, e.series, nil, query, at)
	if err != nil {
		return nil, prom.Refused(err)
	}
	return answer(ctx, q)
}

// QueryRange implements prom.Querier.
func (e *Engine) QueryRange(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Value, error) {
	q, err := e.engine.NewRangeQuery(ctx, e.series, nil, query, start, end, step)
	if err != nil {
		return nil, prom.Refused(err)
	}
	return answer(ctx, q)
}

func answer(ctx context.Context, q promql.Query) (model.Value, error) {
	defer q.Close()
	r := q.Exec(ctx)
	var canceled promql.ErrQueryCanceled
	switch {
	case r.Err == nil:
	case ctx.Err() != nil || errors.As(r.Err, &canceled):
		return nil, errors.New("the evaluation was cut off")
	default:
		return nil, prom.Evaluation(r.Err)
	}
	switch v := r.Value.(type) {
	case promql.Scalar:
		return &model.Scalar{Timestamp: model.Time(v.T), Value: model.SampleValue(v.V)}, nil
	case promql.Vector:
		out := make(model.Vector, len(v))
		for i, s := range v {
			out[i] = &model.Sample{Metric: metric(s.Metric), Timestamp: model.Time(s.T), Value: model.SampleValue(s.F)}
			if s.H != nil {
				out[i].Histogram = &model.SampleHistogram{}
			}
		}
		return out, nil
	case promql.Matrix:
		out := make(model.Matrix, len(v))
		for i, s := range v {
			out[i] = stream(s)
		}
		return out, nil
	case promql.String:
		return &model.String{Timestamp: model.Time(v.T), Value: v.V}, nil
	}
	return nil, prom.Refused(fmt.Errorf("the query answers with a %s, want one number", r.Value.Type()))
}

func stream(s promql.Series) *model.SampleStream {
	out := &model.SampleStream{Metric: metric(s.Metric), Values: make([]model.SamplePair, len(s.Floats))}
	for i, p := range s.Floats {
		out.Values[i] = model.SamplePair{Timestamp: model.Time(p.T), Value: model.SampleValue(p.F)}
	}
	for _, p := range s.Histograms {
		out.Histograms = append(out.Histograms, model.SampleHistogramPair{Timestamp: model.Time(p.T), Histogram: &model.SampleHistogram{}})
	}
	return out
}

func metric(ls labels.Labels) model.Metric {
	m := model.Metric{}
	ls.Range(func(l labels.Label) { m[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return m
}

// Parse reads one series in promtool's notation, such as `up{job="a"}` with
// `1+0x30 _x5 0 stale`: samples from start, one at every interval.
func Parse(selector, values string, start time.Time, interval time.Duration) (Series, error) {
	if interval <= 0 || interval%time.Millisecond != 0 {
		return Series{}, fmt.Errorf("read the series %q: the interval %s is not some whole milliseconds", selector, interval)
	}
	ls, vs, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(selector + " " + values)
	if err != nil {
		return Series{}, fmt.Errorf("read the series %q: %w", selector, err)
	}
	s := Series{labels: ls}
	s.samples.Floats = make([]promql.FPoint, 0, len(vs))
	for i, v := range vs {
		t := start.Add(time.Duration(i) * interval).UnixMilli()
		switch {
		case v.Omitted:
		case v.Histogram != nil:
			s.samples.Histograms = append(s.samples.Histograms, promql.HPoint{T: t, H: v.Histogram})
		default:
			s.samples.Floats = append(s.samples.Floats, promql.FPoint{T: t, F: v.Value})
		}
		s.last = max(s.last, t)
	}
	s.samples.Metric = ls
	return s, nil
}
