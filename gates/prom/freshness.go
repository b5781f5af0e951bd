package prom

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// freshness derives the query for the age in seconds of the newest sample
// behind a query: the time less the newest timestamp of its selectors. It is
// empty for a query without selectors, which is always fresh.
//
// An instant selector sees back five minutes, and nothing as soon as a target
// was seen to be gone; a subquery over it sees the samples of the last maxAge
// all the same. Offsets and fixed times are left out: what counts is whether
// data comes in, and a comparison with yesterday is not stale for being of
// yesterday.
//
// Where quick answers, it answers the same, and asks far less of Prometheus:
// it does without the subqueries where every selector has a sample in sight.
// There is none for selectors that match several names: Prometheus may refuse
// the subquery then, because series differ in nothing but the name.
func freshness(query string, maxAge time.Duration) (full, quick string, err error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return "", "", fmt.Errorf("parse the query: %w", err)
	}
	var newest, insight []string
	named := true
	seen := map[string]bool{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		s := (&parser.VectorSelector{Name: vs.Name, LabelMatchers: vs.LabelMatchers}).String()
		if !seen[s] {
			seen[s] = true
			newest = append(newest, newestOf(s, maxAge))
			named = named && hasName(vs)
			insight = append(insight, fmt.Sprintf("max(timestamp(%s))", s))
		}
		return nil
	})
	switch all := "(" + apart(insight) + ")"; len(newest) {
	case 0:
		return "", "", nil
	case 1:
		full, quick = "time() - ("+newest[0]+")", "time() - "+insight[0]
	default:
		full = "time() - max(" + apart(newest) + ")"
		quick = fmt.Sprintf("time() - max(%s) and on() count(%s) == %d", all, all, len(insight))
	}
	if !named {
		quick = ""
	}
	return full, quick, nil
}

// hasName reports whether a selector selects series of one name.
func hasName(vs *parser.VectorSelector) bool {
	return slices.ContainsFunc(vs.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual
	})
}

// apart joins queries that answer with one series each. A label of its own
// keeps `or` from dropping all but the first.
func apart(queries []string) string {
	labelled := make([]string, len(queries))
	for i, q := range queries {
		labelled[i] = fmt.Sprintf("label_replace(%s, %q, %q, \"\", \"\")", q, "changeover_selector", strconv.Itoa(i))
	}
	return strings.Join(labelled, " or ")
}

// newestOf is the query for the time of the newest sample of a selector.
func newestOf(selector string, maxAge time.Duration) string {
	return fmt.Sprintf("max(timestamp(%[1]s)) or max(max_over_time(timestamp(%[1]s)[%[2]s:%[3]s]))",
		selector, model.Duration(maxAge), model.Duration(subqueryStep(maxAge)))
}

// subqueryStep is fine enough to find the newest sample, and never so coarse
// that an instant selector at each step would miss one between two.
func subqueryStep(maxAge time.Duration) time.Duration {
	return min(max(maxAge/60, time.Second), 4*time.Minute).Truncate(time.Second)
}
