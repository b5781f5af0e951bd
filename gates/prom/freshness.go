package prom

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
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
func freshness(query string, maxAge time.Duration) (string, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return "", fmt.Errorf("parse the query: %w", err)
	}
	var newest []string
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
		}
		return nil
	})
	switch len(newest) {
	case 0:
		return "", nil
	case 1:
		return "time() - (" + newest[0] + ")", nil
	}
	// A label of its own keeps `or` from dropping all but the first.
	for i, q := range newest {
		newest[i] = fmt.Sprintf("label_replace(%s, %q, %q, \"\", \"\")", q, "changeover_selector", strconv.Itoa(i))
	}
	return "time() - max(" + strings.Join(newest, " or ") + ")", nil
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
