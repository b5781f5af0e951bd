package gatewaytest

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// entry is one match of one rule under one hostname.
type entry struct {
	host      string // "" for all, "*.example.com" for all below
	match     routeMatch
	route     string // NAMESPACE/NAME
	created   time.Time
	rule, nth int
	action    *action
}

// action is what a rule does with a request.
type action struct {
	filters  []filter // without mirrors
	mirrors  []mirror
	backends []weighted
	total    int64 // of the weights
}

type weighted struct {
	target
	weight  int64
	filters []filter
}

// mirror takes numerator of denominator requests.
type mirror struct {
	target
	numerator, denominator int64
}

// compile makes the entries of a route under these hostnames.
func (w *world) compile(r *httpRoute, hosts []string) (entries []entry) {
	for i, rule := range r.Spec.Rules {
		act := w.action(r, rule)
		matches := rule.Matches
		if len(matches) == 0 {
			matches = []routeMatch{{}}
		}
		for n, m := range matches {
			if m.Path.Type == "" {
				m.Path = pathMatch{"PathPrefix", "/"}
			}
			m.Headers = firstOfEach(m.Headers, strings.EqualFold)
			m.QueryParams = firstOfEach(m.QueryParams, func(a, b string) bool { return a == b })
			for _, host := range hosts {
				entries = append(entries, entry{
					host: host, match: m, route: r.key(), created: r.Metadata.CreationTimestamp.Time, rule: i, nth: n,
					action: act,
				})
			}
		}
	}
	return entries
}

// firstOfEach drops what names the same a second time.
func firstOfEach(all []valueMatch, same func(a, b string) bool) (kept []valueMatch) {
	for _, v := range all {
		if !slices.ContainsFunc(kept, func(k valueMatch) bool { return same(k.Name, v.Name) }) {
			kept = append(kept, v)
		}
	}
	return kept
}

func (w *world) action(r *httpRoute, rule rule) *action {
	a := &action{}
	for _, f := range rule.Filters {
		if f.RequestMirror == nil {
			a.filters = append(a.filters, f)
			continue
		}
		m := mirror{numerator: 100, denominator: 100}
		switch {
		case f.RequestMirror.Percent != nil:
			m.numerator = *f.RequestMirror.Percent
		case f.RequestMirror.Fraction != nil:
			m.numerator, m.denominator = f.RequestMirror.Fraction.Numerator, cmp.Or(f.RequestMirror.Fraction.Denominator, 100)
		}
		m.target, _ = w.backend(r, f.RequestMirror.BackendRef) // the finding is in the route's status
		if !m.invalid {
			a.mirrors = append(a.mirrors, m)
		}
	}
	for _, ref := range rule.BackendRefs {
		b := weighted{weight: 1, filters: ref.Filters}
		if ref.Weight != nil {
			b.weight = *ref.Weight
		}
		b.target, _ = w.backend(r, ref)
		a.backends = append(a.backends, b)
		a.total += b.weight
	}
	return a
}

// draw chooses a backend; point is from 0 up to the total. Nil where nothing
// has a weight.
func (a *action) draw(point int64) *weighted {
	for i := range a.backends {
		b := &a.backends[i]
		if point < b.weight {
			return b
		}
		point -= b.weight
	}
	return nil
}

// order sorts entries by precedence: the first that fits a request serves it.
func order(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(
			// More characters in a hostname without wildcard, then in any.
			cmp.Compare(exactHost(b.host), exactHost(a.host)),
			cmp.Compare(len(b.host), len(a.host)),
			first(a.match.Path.Type == "Exact", b.match.Path.Type == "Exact"),
			cmp.Compare(len(b.match.Path.Value), len(a.match.Path.Value)),
			first(a.match.Method != "", b.match.Method != ""),
			cmp.Compare(len(b.match.Headers), len(a.match.Headers)),
			cmp.Compare(len(b.match.QueryParams), len(a.match.QueryParams)),
			a.created.Compare(b.created),
			cmp.Compare(a.route, b.route),
			cmp.Compare(a.rule, b.rule),
			cmp.Compare(a.nth, b.nth),
		)
	})
}

func exactHost(host string) int {
	if strings.HasPrefix(host, "*.") {
		return 0
	}
	return len(host)
}

// first puts what is before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// find is the entry for a request; nil where none fits.
func find(entries []entry, r *http.Request) *entry {
	host := strings.ToLower(r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	query := r.URL.Query()
	for i := range entries {
		if e := &entries[i]; (e.host == "" || covers(e.host, host)) && e.fits(r, query) {
			return e
		}
	}
	return nil
}

func (e *entry) fits(r *http.Request, query url.Values) bool {
	m := e.match
	if m.Method != "" && m.Method != r.Method || !m.Path.fits(r.URL.EscapedPath()) {
		return false
	}
	for _, h := range m.Headers {
		got, has := strings.Join(r.Header.Values(h.Name), ","), len(r.Header.Values(h.Name)) > 0
		if strings.EqualFold(h.Name, "Host") { // which net/http keeps elsewhere
			got, has = r.Host, true
		}
		if !has || got != h.Value {
			return false
		}
	}
	for _, q := range m.QueryParams {
		if !query.Has(q.Name) || query.Get(q.Name) != q.Value {
			return false
		}
	}
	return true
}

// fits compares paths as they are sent, by whole elements for a prefix.
func (p pathMatch) fits(path string) bool {
	if p.Type == "Exact" {
		return path == p.Value
	}
	prefix := strings.TrimSuffix(p.Value, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// covers tells whether a hostname is a pattern's. A pattern below another one
// counts too.
func covers(pattern, host string) bool {
	if pattern == host {
		return true
	}
	below, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && len(host) > len(below) && strings.HasSuffix(host, below)
}

// intersect is what a listener and a route have in common; "" stands for all.
func intersect(listener string, route []string) (common []string) {
	if len(route) == 0 {
		return []string{listener}
	}
	for _, host := range route {
		switch {
		case listener == "" || covers(listener, host):
			common = append(common, host)
		case covers(host, listener):
			common = append(common, listener)
		}
	}
	return common
}
