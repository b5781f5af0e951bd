package gates

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

// lookback is how far back an instant selector of Prometheus looks for a
// sample, by its default.
const lookback = 5 * time.Minute

// promQL parses what a Prometheus with default settings accepts. A parser
// keeps no state.
var promQL = parser.NewParser(parser.Options{})

// parseQuery parses one PromQL query that must answer with a number.
func parseQuery(src string) (parser.Expr, []fault) {
	e, err := promQL.ParseExpr(src)
	if err != nil {
		return nil, queryFaults(src, err)
	}
	var fs []fault
	switch t := e.Type(); t {
	case parser.ValueTypeVector, parser.ValueTypeScalar:
	case parser.ValueTypeMatrix:
		fs = append(fs, fault{code: "query-type", message: "the query answers with a range of samples, want one number",
			hint: "put it into a function such as rate(...) or avg_over_time(...)"})
	default:
		fs = append(fs, fault{code: "query-type", message: fmt.Sprintf("the query answers with a %s, want one number", t)})
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if boundAt(n) {
			fs = append(fs, fault{offset: runesBefore(src, int(n.PositionRange().Start)), code: "query-at",
				message: "@ start() and @ end() mean the ends of a whole range query",
				hint:    "leave them out, so that each point of a window is judged by its own time"})
		}
		return nil
	})
	if len(fs) > 0 {
		return nil, fs
	}
	return e, nil
}

// boundAt reports a selector whose time depends on the range of the request: a
// gate with for would judge the same instant at every point of its window.
func boundAt(n parser.Node) bool {
	switch n := n.(type) {
	case *parser.VectorSelector:
		return n.StartOrEnd != 0
	case *parser.SubqueryExpr:
		return n.StartOrEnd != 0
	}
	return false
}

func queryFaults(src string, err error) []fault {
	var list parser.ParseErrors
	if !errors.As(err, &list) || len(list) == 0 {
		return []fault{{code: "query-syntax", message: err.Error()}}
	}
	var fs []fault
	for _, e := range list {
		f := fault{offset: runesBefore(src, int(e.PositionRange.Start)), code: "query-syntax", message: e.Err.Error()}
		switch {
		case strings.HasPrefix(f.message, "no arguments for aggregate") && len(list) > 1:
			// A consequence of the others.
			continue
		case strings.HasPrefix(f.message, "expected type"):
			f.code = "query-type"
		}
		fs = append(fs, f)
	}
	return fs
}

// runesBefore turns an offset in bytes into one in runes.
func runesBefore(src string, bytes int) int {
	return utf8.RuneCountInString(src[:min(max(bytes, 0), len(src))])
}

// reach is how old the oldest sample can be that a query reads: the longest
// range selector with its offset and the subqueries around it. An instant
// selector may answer with a sample that is as old as instant. Selectors at a
// fixed time do not count: waiting does not make them newer.
func reach(n parser.Node, instant time.Duration) time.Duration {
	switch n := n.(type) {
	case *parser.VectorSelector:
		if n.Timestamp != nil {
			return 0
		}
		return max(0, n.OriginalOffset+instant)
	case *parser.MatrixSelector:
		if vs, ok := n.VectorSelector.(*parser.VectorSelector); ok && vs.Timestamp != nil {
			return 0
		}
		return n.Range + reach(n.VectorSelector, 0)
	case *parser.SubqueryExpr:
		if n.Timestamp != nil {
			return 0
		}
		return max(0, n.Range+n.OriginalOffset+reach(n.Expr, instant))
	}
	var longest time.Duration
	for c := range parser.ChildrenIter(n) {
		longest = max(longest, reach(c, instant))
	}
	return longest
}
