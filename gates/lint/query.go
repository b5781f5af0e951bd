package lint

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// promQL parses what package gates parses.
var promQL = parser.NewParser(parser.Options{})

// bare is an expression without what changes nothing of its value.
func bare(e parser.Expr) parser.Expr {
	for {
		switch inner := e.(type) {
		case *parser.ParenExpr:
			e = inner.Expr
		case *parser.StepInvariantExpr:
			e = inner.Expr
		default:
			return e
		}
	}
}

// rateSum is sum(rate(SELECTOR[RANGE])), or the same of increase or irate.
type rateSum struct {
	function string
	matrix   *parser.MatrixSelector
	selector *parser.VectorSelector
}

func newRateSum(e parser.Expr) (rateSum, bool) {
	agg, ok := bare(e).(*parser.AggregateExpr)
	if !ok || agg.Op != parser.SUM || len(agg.Grouping) > 0 || agg.Without {
		return rateSum{}, false
	}
	call, ok := bare(agg.Expr).(*parser.Call)
	if !ok || !slices.Contains([]string{"rate", "increase", "irate"}, call.Func.Name) || len(call.Args) != 1 {
		return rateSum{}, false
	}
	m, ok := bare(call.Args[0]).(*parser.MatrixSelector)
	if !ok {
		return rateSum{}, false
	}
	vs, ok := m.VectorSelector.(*parser.VectorSelector)
	return rateSum{function: call.Func.Name, matrix: m, selector: vs}, ok
}

// metric is the name of the series, or "".
func (r rateSum) metric() string {
	for _, m := range r.selector.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// partOf reports whether r sums some of the series of s, over the same time.
func (r rateSum) partOf(s rateSum) bool {
	a, b := r.selector, s.selector
	if r.function != s.function || r.matrix.Range != s.matrix.Range || r.matrix.RangeExpr != nil || s.matrix.RangeExpr != nil ||
		a.OriginalOffset != b.OriginalOffset || a.OriginalOffsetExpr != nil || b.OriginalOffsetExpr != nil ||
		a.Anchored != b.Anchored || a.Smoothed != b.Smoothed {
		return false
	}
	if at, bt := a.Timestamp, b.Timestamp; (at == nil) != (bt == nil) || at != nil && *at != *bt {
		return false
	}
	for _, m := range b.LabelMatchers {
		if !slices.ContainsFunc(a.LabelMatchers, func(n *labels.Matcher) bool {
			return n.Type == m.Type && n.Name == m.Name && n.Value == m.Value
		}) {
			return false
		}
	}
	return r.metric() != "" && r.metric() == s.metric()
}

// proportion is a query that divides what happened to some requests by all of
// them.
type proportion struct {
	part, whole rateSum
	// proven: the part is of the whole, so that the value is 0 to 1. Else its
	// name alone says so.
	proven bool
	// guarded: without any series of the part it is 0 and not unknown.
	guarded bool
}

var (
	ofErrors = regexp.MustCompile(`(?i)err|fail`)
	ofTimes  = regexp.MustCompile(`(?i)_sum$|seconds|duration|latency|bytes`)
)

// newProportion is of A / B.
func newProportion(e parser.Expr) (p proportion, ok bool) {
	div, ok := bare(e).(*parser.BinaryExpr)
	if !ok || div.Op != parser.DIV {
		return p, false
	}
	part := div.LHS
	if or, isOr := bare(part).(*parser.BinaryExpr); isOr && or.Op == parser.LOR {
		part, p.guarded = or.LHS, true
		if !zero(or.RHS) {
			return p, false
		}
	}
	if p.part, ok = newRateSum(part); !ok {
		return p, false
	}
	if p.whole, ok = newRateSum(div.RHS); !ok {
		return p, false
	}
	p.proven = p.part.partOf(p.whole)
	named := p.part.function == p.whole.function && p.part.metric() != p.whole.metric() &&
		ofErrors.MatchString(p.part.metric()) && !ofTimes.MatchString(p.part.metric()+" "+p.whole.metric())
	return p, p.proven || named
}

// zero reports whether an expression is vector(0).
func zero(e parser.Expr) bool {
	call, ok := bare(e).(*parser.Call)
	if !ok || call.Func.Name != "vector" || len(call.Args) != 1 {
		return false
	}
	n, ok := bare(call.Args[0]).(*parser.NumberLiteral)
	return ok && n.Val == 0
}

// share is a proportion, counted between from and to: 0 and 1, 0 and 100, or 1
// and 0 where the query tells of the others.
func share(e parser.Expr) (p proportion, from, to float64, ok bool) {
	if p, ok = newProportion(e); ok {
		return p, 0, 1, true
	}
	b, isBinary := bare(e).(*parser.BinaryExpr)
	if !isBinary {
		return p, 0, 0, false
	}
	if b.Op == parser.LOR {
		p, from, to, ok = share(b.LHS)
		return p, from, to, ok && zero(b.RHS) && min(from, to) <= 0 && max(from, to) >= 0
	}
	inner, left := b.RHS, true
	lit, isNumber := bare(b.LHS).(*parser.NumberLiteral)
	if !isNumber {
		inner, left = b.LHS, false
		if lit, isNumber = bare(b.RHS).(*parser.NumberLiteral); !isNumber {
			return p, 0, 0, false
		}
	}
	n := lit.Val
	if p, from, to, ok = share(inner); !ok || math.IsInf(n, 0) {
		return p, 0, 0, false
	}
	switch {
	case b.Op == parser.MUL && n > 0:
		return p, from * n, to * n, true
	case b.Op == parser.SUB && left:
		return p, n - from, n - to, true
	}
	return p, 0, 0, false
}

// domain is the values that a query can have, as far as it can be told from
// its text. NaN and the infinities are unknown, and are not values.
func domain(e parser.Expr) set {
	if p, from, to, ok := share(e); ok && p.proven {
		return between(min(from, to), max(from, to))
	}
	if notNegative(e) {
		return above(0, false)
	}
	return all
}

// notNegative reports whether a query is sure not to be below 0.
func notNegative(e parser.Expr) bool {
	switch e := bare(e).(type) {
	case *parser.NumberLiteral:
		return e.Val >= 0 && !math.IsInf(e.Val, 0)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.COUNT:
			return true
		case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.QUANTILE, parser.TOPK, parser.BOTTOMK:
			return notNegative(e.Expr)
		}
	case *parser.Call:
		switch e.Func.Name {
		case "rate", "increase", "irate", "abs", "count_over_time", "changes", "resets", "time":
			return true
		case "vector", "scalar":
			return len(e.Args) == 1 && notNegative(e.Args[0])
		}
	case *parser.BinaryExpr:
		switch e.Op {
		case parser.ADD, parser.MUL, parser.DIV, parser.LOR:
			return notNegative(e.LHS) && notNegative(e.RHS)
		}
	}
	return false
}

// unguarded finds the divisions whose part may have no series: the places of
// their parts, as byte offsets, with the extra matchers.
func unguarded(e parser.Expr) (places []int, matchers []string) {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		div, ok := n.(*parser.BinaryExpr)
		if !ok || div.Op != parser.DIV || slices.ContainsFunc(path, isOr) {
			return nil
		}
		part, isPart := newRateSum(div.LHS)
		whole, isWhole := newRateSum(div.RHS)
		if isPart && isWhole && part.partOf(whole) && len(part.selector.LabelMatchers) > len(whole.selector.LabelMatchers) {
			places = append(places, int(div.LHS.PositionRange().Start))
			matchers = append(matchers, extraMatchers(part, whole))
		}
		return nil
	})
	return places, matchers
}

func isOr(n parser.Node) bool {
	b, ok := n.(*parser.BinaryExpr)
	return ok && b.Op == parser.LOR
}

func extraMatchers(part, whole rateSum) string {
	var out []string
	for _, m := range part.selector.LabelMatchers {
		if !slices.ContainsFunc(whole.selector.LabelMatchers, func(n *labels.Matcher) bool { return n.String() == m.String() }) {
			out = append(out, m.String())
		}
	}
	return strings.Join(out, ", ")
}

// longestRange is the longest range selector of a query; zero where it has none
// or the range is computed.
func longestRange(e parser.Expr) (longest time.Duration) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			longest = max(longest, n.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, n.Range)
		}
		return nil
	})
	return longest
}

// ofLegacy reports whether a query asks for the legacy side alone, so that it
// has no data where that gets no traffic.
func ofLegacy(e parser.Expr) bool {
	if answersAlways(e) {
		return false
	}
	legacy, other := false, false
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if selectsLegacy(vs) && !slices.ContainsFunc(path, isOr) {
			legacy = true
		}
		for _, m := range vs.LabelMatchers {
			other = other || strings.Contains(m.Value, "modern")
		}
		return nil
	})
	return legacy && !other
}

// answersAlways reports whether a query has a value also where its selectors
// find nothing.
func answersAlways(e parser.Expr) bool { return isOr(bare(e)) }

func selectsLegacy(vs *parser.VectorSelector) bool {
	return slices.ContainsFunc(vs.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name != model.MetricNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) &&
			strings.HasPrefix(strings.ToLower(m.Value), "legacy") && !strings.Contains(m.Value, "|")
	})
}
