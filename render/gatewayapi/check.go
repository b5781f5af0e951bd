package gatewayapi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// refusal says what an HTTPRoute cannot do of a plan.
type refusal struct {
	path    string // of the field in the plan
	message string
	hint    string
}

func (r *refusal) Error() string { return r.path + ": " + r.message }

// orBridge ends a hint about something that the bridge can do.
const orBridge = ", or use gateway: {bridge: {}}"

// Check reports what an HTTPRoute cannot do of a plan, at every stop, located in
// its file. It is silent for plans with another gateway, and about what
// plan.Decode refuses.
func Check(doc *plan.Document) []plan.Problem {
	p := doc.Plan
	if p.Spec.Gateway == nil || p.Spec.Gateway.GatewayAPI == nil {
		return nil
	}
	var problems []plan.Problem
	seen := make(map[refusal]bool)
	for _, stop := range p.Itinerary() {
		_, err := Render(p, stop)
		for _, r := range refusals(err) {
			if !seen[*r] {
				seen[*r] = true
				problems = append(problems, doc.Problem(r.path, 0, "capability", "gatewayAPI: "+r.message, r.hint))
			}
		}
	}
	plan.Sort(problems)
	return problems
}

// refusals are all that an error holds.
func refusals(err error) (out []*refusal) {
	switch e := err.(type) { //nolint:errorlint // this is the walk that errors.As stops at the first of
	case nil:
	case *refusal:
		return []*refusal{e}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			out = append(out, refusals(err)...)
		}
	case interface{ Unwrap() error }:
		return refusals(e.Unwrap())
	}
	return out
}

// methods are those that an HTTPRoute can match.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

var (
	// plainPath is a path that is written without escapes.
	plainPath = regexp.MustCompile(`^/[-A-Za-z0-9/._~!$&'()*+,;=:@]*$`)
	// headerValue is what both channels' definitions take.
	headerValue = regexp.MustCompile(`^[!-~]+([\t ]?[!-~]+)*$`)
)

// checkRule refuses what of a rule no HTTPRoute can say.
func checkRule(path string, r render.Rule) []error {
	if r.Respond != nil || r.Owner || r.Match.PathRegex != "" {
		// Validation refuses these with words of its own.
		return []error{fmt.Errorf("%s: an HTTPRoute can neither answer itself nor match by pathRegex, and knows no owners", path)}
	}
	if r.Translate != "" {
		return []error{fmt.Errorf("%s: an HTTPRoute cannot translate", path)}
	}
	if r.Match.Path != "" && r.Match.PathPrefix != "" {
		return []error{fmt.Errorf("%s: want one of path and pathPrefix, it has both", path)}
	}
	var found []error
	refuse := func(field, hint, format string, args ...any) {
		found = append(found, &refusal{path + field, fmt.Sprintf(format, args...), hint})
	}
	for _, f := range []struct{ field, value string }{{".match.path", r.Match.Path}, {".match.pathPrefix", r.Match.PathPrefix}} {
		if f.value != "" && !plainPath.MatchString(f.value) {
			refuse(f.field, "match a part of it that needs no escapes"+orBridge,
				"the path %q would have to be written with escapes, which implementations compare in different ways", f.value)
		}
	}
	if prefix := r.Match.PathPrefix; prefix != "" && !strings.HasSuffix(prefix, "/") {
		refuse(".match.pathPrefix", fmt.Sprintf("write pathPrefix: %s/ here, and path: %s in a route of its own", prefix, prefix)+orBridge,
			"an HTTPRoute compares whole segments, so it cannot take all that begins with %q, such as %q", prefix, prefix+"x")
	}
	for i, method := range r.Match.Methods {
		if !slices.Contains(methods, method) {
			refuse(fmt.Sprintf(".match.methods[%d]", i), "leave it to a route without methods"+orBridge,
				"an HTTPRoute cannot match method %q, only %s", method, strings.Join(methods, ", "))
		}
	}
	found = append(found, checkHeaders(path+".match.headers", r.Match.Headers, orBridge)...)
	found = append(found, checkPercents(path, r)...)
	if r.Rewrite != nil {
		found = append(found, checkRewrite(path, r)...)
	}
	return found
}

// checkHeaders refuses headers that an HTTPRoute cannot match or set. Or ends
// the hints.
func checkHeaders(path string, headers map[string]string, or string) (found []error) {
	if n := len(headers); n > maxHeaders {
		found = append(found, &refusal{path, fmt.Sprintf("%d headers; an HTTPRoute takes at most %d", n, maxHeaders), "name fewer headers" + or})
	}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if lower := strings.ToLower(name); seen[lower] {
			found = append(found, fmt.Errorf("%s: header %q is there twice, in other letters", path, lower))
		} else {
			seen[lower] = true
		}
		if value := headers[name]; !headerValue.MatchString(value) {
			found = append(found, &refusal{
				path + "." + name, fmt.Sprintf("an HTTPRoute cannot have %q as the value of header %q: want text without two blanks in a row", value, name),
				"use another value" + or,
			})
		}
	}
	return found
}

func checkPercents(path string, r render.Rule) (found []error) {
	check := func(field string, p plan.Percent) {
		if _, ok := hundredths(p); !ok || !(p >= 0 && p <= 100) {
			found = append(found, fmt.Errorf("%s: percent %v: want 0 to 100 with at most two decimals", path+field, p))
		}
	}
	if r.Split {
		check("", r.Percent)
	}
	if r.Mirror != nil && r.Mirror.Percent != nil {
		check(".mirror", *r.Mirror.Percent)
	}
	return found
}

// checkRewrite refuses what of a rewrite no HTTPRoute can say.
func checkRewrite(path string, r render.Rule) []error {
	w := r.Rewrite
	found := checkHeaders(path+".rewrite.headers", w.Headers, "")
	at := path + ".rewrite.path"
	switch {
	case w.Path == "":
	case r.Match.Path == "" && r.Match.PathPrefix == "":
		found = append(found, fmt.Errorf("%s: the route matches no path that it could replace", at))
	case !plainPath.MatchString(w.Path):
		found = append(found, &refusal{at, fmt.Sprintf("the path %q would have to be written with escapes, which implementations send on in different ways", w.Path), "use a path that needs no escapes"})
	case r.Match.PathPrefix != "" && !strings.HasSuffix(w.Path, "/"):
		found = append(found, &refusal{
			at, fmt.Sprintf("an HTTPRoute replaces whole segments, so it cannot replace %q by %q", r.Match.PathPrefix, w.Path),
			fmt.Sprintf("write path: %s/", w.Path),
		})
	}
	return found
}

// maxPath is the longest path, in bytes, that an HTTPRoute can match or put in.
const maxPath = 1024

// checked is what replaces the path of a match, where that is not too long.
func (r replacement) checked(path string, m match) (string, error) {
	if r.to == "" {
		return "", nil
	}
	replaced := r.of(m)
	if n := len(replaced); n > maxPath {
		return "", &refusal{
			path + ".rewrite.path", fmt.Sprintf("with the path of a later route it comes to %d bytes; an HTTPRoute takes at most %d", n, maxPath),
			"use a shorter path, or put the more specific route first",
		}
	}
	return replaced, nil
}

func tooManyHeaders(path string, n int) error {
	return &refusal{path, fmt.Sprintf("to win over later routes it has to match %d headers at once; an HTTPRoute takes at most %d", n, maxHeaders), "put the more specific routes first" + orBridge}
}

func tooManyRules(path string) error {
	return &refusal{path, fmt.Sprintf("the routes up to this one need more than the %d rules of an HTTPRoute", maxRules), "join routes, or split the plan" + orBridge}
}

func tooManyMatches(path string) error {
	return &refusal{
		path, fmt.Sprintf("it needs more matches than an HTTPRoute takes, which is %d a rule and %d in all: a route has one for each method, and one for each more specific route behind it", maxRuleMatches, maxMatches),
		"put the more specific routes first, or name fewer methods" + orBridge,
	}
}
