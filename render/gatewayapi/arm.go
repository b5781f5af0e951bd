package gatewayapi

import (
	"math"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// arm is a part of a route whose requests are all treated alike.
type arm struct {
	route   int // index in the phase; behind the last for the added rule
	matches []match
	// missing is the path that matches take and the route does not: /a of a
	// route with the prefix /a/. "" where there is none.
	missing string
	action  action
}

// takesPath reports whether the route takes a path.
func (a arm) takesPath(path string) bool { return path != a.missing && a.matches[0].takesPath(path) }

// action is what is done with a request. Equal actions are equal in effect.
type action struct {
	side    plan.Side // "" splits
	percent plan.Percent
	mirror  plan.Percent // 0 is none
	host    string
	headers string // as headersOf reads them
	path    replacement
}

// replacement of a path, or of the prefix from, which ends in a slash like to.
type replacement struct {
	from, to string
	prefix   bool
}

// of is what replaces the path of a match: a prefix without the slash at its
// end, or else the whole.
func (r replacement) of(m match) string {
	switch {
	case !r.prefix:
		return r.to
	case m.exact:
		return r.to + strings.TrimPrefix(m.path, r.from)
	}
	return trim(r.to + strings.TrimPrefix(strings.TrimSuffix(m.path, "/")+"/", r.from))
}

// armsOf are the arms of a stop's rules, in order; the first that takes a
// request wins.
func armsOf(rules []render.Rule) []arm {
	var arms []arm
	for i, r := range rules {
		a := arm{route: i, matches: matchesOf(r), action: actionOf(r)}
		if prefix := r.Match.PathPrefix; prefix != "" && prefix != "/" {
			a.missing = trim(prefix)
		}
		if a.action.mirror == 0 || r.Mirror.AllowUnsafe != "" {
			arms = append(arms, a)
			continue
		}
		safe, rest := a, a
		safe.matches = safeOf(a.matches)
		if len(safe.matches) > 0 {
			arms = append(arms, safe)
		}
		if len(safe.matches) < len(a.matches) || a.matches[0].method == "" {
			rest.action.mirror = 0
			arms = append(arms, rest)
		}
	}
	return arms
}

// safeOf are the matches whose requests may be copied.
func safeOf(matches []match) (safe []match) {
	for _, m := range matches {
		if m.method == "" {
			for _, method := range plan.SafeMethods {
				m.method = method
				safe = append(safe, m)
			}
		} else if slices.Contains(plan.SafeMethods, m.method) {
			safe = append(safe, m)
		}
	}
	return safe
}

func actionOf(r render.Rule) action {
	a := action{side: r.Side, percent: r.Percent}
	if r.Mirror != nil {
		a.mirror = 100
		if r.Mirror.Percent != nil {
			a.mirror = *r.Mirror.Percent
		}
	}
	if w := r.Rewrite; w != nil {
		a.host = w.Host
		a.headers = joinHeaders(w.Headers)
		switch {
		case w.Path == "":
		case r.Match.Path != "":
			a.path = replacement{from: r.Match.Path, to: w.Path}
		default:
			a.path = replacement{from: r.Match.PathPrefix, to: w.Path, prefix: true}
		}
	}
	return a
}

// hundredths of a percent; false where the percentage is finer.
func hundredths(p plan.Percent) (int64, bool) {
	_, decimals, _ := strings.Cut(p.String(), ".")
	return int64(math.Round(float64(p) * 100)), len(decimals) <= 2
}

// weights of a split: percents where they are whole, and else hundredths.
func weights(p plan.Percent) (legacy, modern int64) {
	n, _ := hundredths(p)
	if n%100 == 0 {
		return 100 - n/100, n / 100
	}
	return 10000 - n, n
}
