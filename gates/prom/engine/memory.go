package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Series is one series with its samples.
type Series struct {
	labels  labels.Labels
	samples promql.Series
	last    int64
}

// End is the time of the last sample, those that are left out included.
func (s Series) End() time.Time { return time.UnixMilli(s.last).UTC() }

// memory is all series, sorted by their labels. It implements
// storage.Queryable.
type memory []Series

func newMemory(series []Series) (memory, error) {
	m := memory(slices.Clone(series))
	slices.SortStableFunc(m, func(a, b Series) int { return labels.Compare(a.labels, b.labels) })
	for i := range m {
		if i > 0 && labels.Equal(m[i-1].labels, m[i].labels) {
			return nil, fmt.Errorf("read the series: %s is there twice", m[i].labels)
		}
	}
	return m, nil
}

// Querier implements storage.Queryable.
func (m memory) Querier(from, to int64) (storage.Querier, error) { return between{m, from, to}, nil }

// between is the series with their samples of a time range, in milliseconds.
type between struct {
	series   memory
	from, to int64
}

// Select implements storage.Querier.
func (b between) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &found{at: -1}
	for _, s := range b.series {
		matches := func(w *labels.Matcher) bool { return w.Matches(s.labels.Get(w.Name)) }
		if !slices.ContainsFunc(matchers, func(w *labels.Matcher) bool { return !matches(w) }) {
			set.series = append(set.series, b.cut(s.samples))
		}
	}
	return set
}

// LabelValues implements storage.Querier; no function of PromQL asks.
func (between) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; no function of PromQL asks.
func (between) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (between) Close() error { return nil }

// cut leaves out the samples of other times: the engine goes through all that
// it is given.
func (b between) cut(s promql.Series) promql.Series {
	first, _ := slices.BinarySearchFunc(s.Floats, b.from, func(p promql.FPoint, t int64) int { return cmp.Compare(p.T, t) })
	after, _ := slices.BinarySearchFunc(s.Floats, b.to+1, func(p promql.FPoint, t int64) int { return cmp.Compare(p.T, t) })
	s.Floats = s.Floats[first:max(first, after)]
	return s
}

// found is the answer of Select.
type found struct {
	series []promql.Series
	at     int
}

func (f *found) Next() bool                        { f.at++; return f.at < len(f.series) }
func (f *found) At() storage.Series                { return promql.NewStorageSeries(f.series[f.at]) }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }
