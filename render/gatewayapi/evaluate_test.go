package gatewayapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// request is one request. Header names are in lower case; its path is in the
// form that routes are matched against.
type request struct {
	method, path string
	headers      map[string]string
}

// outcome is what is done with a request.
type outcome struct {
	Backends string // Services and shares, in percent
	Mirror   string
	Host     string
	Headers  string
	Path     string
}

// wanted is what a plan's rules do with a request: the first that matches, read
// as package render says.
func wanted(p *plan.Plan, rules []render.Rule, req request) outcome {
	i := slices.IndexFunc(rules, func(r render.Rule) bool { return takes(r.Match, req) })
	r := rules[i]
	legacy, modern := serviceOf(p, plan.Legacy), serviceOf(p, plan.Modern)
	out := outcome{Path: req.path}
	switch {
	case r.Split:
		out.Backends = fmt.Sprintf("%s %.2f, %s %.2f", legacy, 100-r.Percent, modern, r.Percent)
	case r.Side == plan.Modern:
		out.Backends = modern + " 100.00"
	default:
		out.Backends = legacy + " 100.00"
	}
	if m := r.Mirror; m != nil && (m.AllowUnsafe != "" || slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, req.method)) {
		percent := plan.Percent(100)
		if m.Percent != nil {
			percent = *m.Percent
		}
		out.Mirror = fmt.Sprintf("%s %.2f", modern, percent)
	}
	if w := r.Rewrite; w != nil {
		out.Host = w.Host
		for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
			out.Headers += name + "=" + w.Headers[name]
		}
		if w.Path != "" {
			out.Path = w.Path + strings.TrimPrefix(req.path, cmp.Or(r.Match.PathPrefix, r.Match.Path))
		}
	}
	return out
}

func serviceOf(p *plan.Plan, side plan.Side) string {
	s := p.Spec.Backends.Of(side).Service
	return fmt.Sprintf("%s/%s:%d", s.Namespace, s.Name, s.Port)
}

func takes(m plan.Match, req request) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, req.method) || m.Path != "" && m.Path != req.path || !strings.HasPrefix(req.path, m.PathPrefix) {
		return false
	}
	for name, value := range m.Headers {
		if got, ok := req.headers[strings.ToLower(name)]; !ok || got != value {
			return false
		}
	}
	return true
}

// The fields of an HTTPRoute by which requests are routed. This is written after
// the Gateway API's own words, not after the package under test.
type (
	routeSpec struct {
		Rules []routeRule `json:"rules"`
	}
	routeRule struct {
		Matches     []routeMatch  `json:"matches"`
		Filters     []routeFilter `json:"filters"`
		BackendRefs []reference   `json:"backendRefs"`
	}
	routeMatch struct {
		Path    struct{ Type, Value string }
		Method  string
		Headers []struct{ Type, Name, Value string }
	}
	reference struct {
		Name, Namespace string
		Port, Weight    int
	}
	routeFilter struct {
		Type                  string
		RequestHeaderModifier struct {
			Set []struct{ Name, Value string }
		}
		URLRewrite struct {
			Hostname string
			Path     struct{ Type, ReplaceFullPath, ReplacePrefixMatch string }
		} `json:"urlRewrite"`
		RequestMirror struct {
			BackendRef reference
			Percent    *int
			Fraction   *struct{ Numerator, Denominator int }
		}
	}
)

func readSpec(o render.Object) (routeSpec, error) {
	var s routeSpec
	b, err := json.Marshal(o["spec"])
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// elements of a path; a slash at the end of a prefix is ignored.
func elements(path string) []string { return strings.Split(path, "/") }

func (m routeMatch) takes(req request) bool {
	switch m.Path.Type {
	case "Exact":
		if m.Path.Value != req.path {
			return false
		}
	case "PathPrefix":
		prefix, path := elements(strings.TrimSuffix(m.Path.Value, "/")), elements(req.path)
		if len(path) < len(prefix) || !slices.Equal(prefix, path[:len(prefix)]) {
			return false
		}
	default:
		panic("path type " + m.Path.Type)
	}
	if m.Method != "" && m.Method != req.method {
		return false
	}
	for _, h := range m.Headers {
		if got, ok := req.headers[strings.ToLower(h.Name)]; !ok || got != h.Value || h.Type != "Exact" {
			return false
		}
	}
	return true
}

// precedence of a match: one that is greater, part by part, wins.
func (m routeMatch) precedence() []int {
	p := []int{0, len(m.Path.Value), 0, len(m.Headers)}
	if m.Path.Type == "Exact" {
		p[0] = 1
	}
	if m.Method != "" {
		p[2] = 1
	}
	return p
}

// route is what an implementation of the Gateway API does with a request.
func (s routeSpec) route(req request) (outcome, error) {
	var won *routeRule
	var by routeMatch
	for i, r := range s.Rules {
		for _, m := range r.Matches {
			if m.takes(req) && (won == nil || slices.Compare(m.precedence(), by.precedence()) > 0) {
				won, by = &s.Rules[i], m
			}
		}
	}
	if won == nil {
		return outcome{}, fmt.Errorf("no match takes it: 404")
	}
	out := outcome{Path: req.path}
	total := 0
	for _, ref := range won.BackendRefs {
		total += ref.Weight
	}
	for i, ref := range won.BackendRefs {
		if i > 0 {
			out.Backends += ", "
		}
		out.Backends += fmt.Sprintf("%s %.2f", ref, float64(ref.Weight)*100/float64(total))
	}
	for _, f := range won.Filters {
		f.apply(&out, by)
	}
	return out, nil
}

func (r reference) String() string { return fmt.Sprintf("%s/%s:%d", r.Namespace, r.Name, r.Port) }

func (f routeFilter) apply(out *outcome, by routeMatch) {
	switch f.Type {
	case "RequestHeaderModifier":
		for _, h := range f.RequestHeaderModifier.Set {
			out.Headers += h.Name + "=" + h.Value
		}
	case "RequestMirror":
		percent := 100.0
		if m := f.RequestMirror; m.Percent != nil {
			percent = float64(*m.Percent)
		} else if m.Fraction != nil {
			percent = 100 * float64(m.Fraction.Numerator) / float64(m.Fraction.Denominator)
		}
		out.Mirror += fmt.Sprintf("%s %.2f", f.RequestMirror.BackendRef, percent)
	case "URLRewrite":
		out.Host = f.URLRewrite.Hostname
		switch p := f.URLRewrite.Path; p.Type {
		case "":
		case "ReplaceFullPath":
			out.Path = p.ReplaceFullPath
		case "ReplacePrefixMatch":
			rest := strings.TrimPrefix(out.Path, strings.TrimSuffix(by.Path.Value, "/"))
			out.Path = cmp.Or(strings.TrimSuffix(p.ReplacePrefixMatch, "/")+rest, "/")
		default:
			panic("path modifier " + p.Type)
		}
	default:
		panic("filter " + f.Type)
	}
}
