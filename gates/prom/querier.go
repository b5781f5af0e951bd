package prom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Querier evaluates PromQL: a Prometheus over HTTP, or an engine in this
// process. It is safe for concurrent use. Its errors say what failed without
// naming the query; ErrRefused and ErrEvaluation in them tell Span what to do.
type Querier interface {
	// Query evaluates at one time and answers with a *model.Scalar or a
	// model.Vector. What it answers else is refused by its type's name.
	Query(ctx context.Context, query string, at time.Time) (model.Value, error)
	// QueryRange evaluates at start and at every step after it up to end,
	// and answers with a model.Matrix. It is asked for at most MaxPoints
	// times at once.
	QueryRange(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Value, error)
}

// MaxPoints is for how many times Prometheus evaluates one range query.
const MaxPoints = 11000

var (
	// ErrRefused is that a query is refused whatever the time.
	ErrRefused = errors.New("the query is refused")
	// ErrEvaluation is that a query failed while it was evaluated: it may
	// succeed at other times, or for fewer of them at once.
	ErrEvaluation = errors.New("the query failed while it was evaluated")
	// errSlow is that there was no answer in time.
	errSlow = errors.New("the query took too long")
)

// marked is an error that errors.Is finds to be of a kind, and whose text
// stays as it is.
type marked struct {
	error
	kind error
}

func (m marked) Unwrap() []error { return []error{m.error, m.kind} }

// Refused marks an error with ErrRefused; its text stays.
func Refused(err error) error { return marked{err, ErrRefused} }

// Evaluation marks an error with ErrEvaluation; its text stays.
func Evaluation(err error) error { return marked{err, ErrEvaluation} }

// ask is one question; times are in milliseconds. An instant query has no
// step, and its start is its end.
type ask struct {
	query            string
	start, end, step int64
}

// query sends one question and reads the answer.
func (c *Client) query(ctx context.Context, a ask) answer {
	m, err := c.matrix(ctx, a)
	if err != nil {
		return answer{err: err}
	}
	values, err := single(m)
	if err != nil {
		return answer{err: fmt.Errorf("query Prometheus: %w", err)}
	}
	return answer{values: values}
}

// matrix asks one question. The time of an instant answer is that of the
// question; the series are in the order of their labels.
func (c *Client) matrix(ctx context.Context, a ask) (model.Matrix, error) {
	var v model.Value
	var err error
	if a.step == 0 {
		v, err = c.querier.Query(ctx, a.query, millis(a.end))
	} else {
		v, err = c.querier.QueryRange(ctx, a.query, millis(a.start), millis(a.end), time.Duration(a.step)*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("query Prometheus: %w", err)
	}
	m, err := toMatrix(v, a)
	if err != nil {
		return nil, fmt.Errorf("query Prometheus: %w", err)
	}
	return m, nil
}

// matrixInTurn is matrix as one of the queries that may be under way at once.
func (c *Client) matrixInTurn(ctx context.Context, a ask) (model.Matrix, error) {
	select {
	case c.shared.slots <- struct{}{}:
		defer func() { <-c.shared.slots }()
		return c.matrix(ctx, a)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// toMatrix brings every answer that is a number into one form.
func toMatrix(v model.Value, a ask) (model.Matrix, error) {
	at := model.Time(a.end)
	switch v := v.(type) {
	case *model.Scalar:
		if a.step == 0 {
			return model.Matrix{{Values: []model.SamplePair{{Timestamp: at, Value: v.Value}}}}, nil
		}
	case model.Vector:
		if a.step == 0 {
			m := make(model.Matrix, len(v))
			for i, s := range v {
				m[i] = &model.SampleStream{Metric: s.Metric}
				if s.Histogram != nil {
					m[i].Histograms = []model.SampleHistogramPair{{Timestamp: at}}
				} else {
					m[i].Values = []model.SamplePair{{Timestamp: at, Value: s.Value}}
				}
			}
			return sorted(m), nil
		}
	case model.Matrix:
		if a.step != 0 {
			return sorted(v), nil
		}
	}
	kind := "nothing"
	if v != nil {
		kind = v.Type().String()
	}
	return nil, Refused(fmt.Errorf("the query answers with a %s, want one number", kind))
}
