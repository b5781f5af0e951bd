package nginx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// matcher builds the map that selects a rule. Its source joins what the rules
// look at, one part a line: the method, then headers, then one flag for each
// regular expression, then the path. No part but the last can hold a line
// break (nginx refuses requests with one in method or header), so the parts
// cannot be confused.
type matcher struct {
	names   names
	method  bool
	path    bool
	headers []string          // lower case, sorted
	regexes []string          // as in the plan, in the order of first use
	index   map[string]string // regular expression to its variable
	// entities are the patterns of paths that come before every rule.
	entities []string
}

func newMatcher(n names, rules []render.Rule, entities []string) (*matcher, error) {
	m := &matcher{names: n, index: make(map[string]string), entities: entities, path: len(entities) > 0}
	headers := make(map[string]bool)
	for i, r := range rules {
		if err := checkMatch(r.Match); err != nil {
			return nil, &Refusal{Rule: i, Err: err}
		}
		m.method = m.method || len(r.Match.Methods) > 0
		m.path = m.path || r.Match.Path != "" || r.Match.PathPrefix != ""
		for name := range r.Match.Headers {
			headers[strings.ToLower(name)] = true
		}
		if expr := r.Match.PathRegex; expr != "" && m.index[expr] == "" {
			m.index[expr] = n.variable(fmt.Sprintf("path%d", len(m.regexes)))
			m.regexes = append(m.regexes, expr)
		}
	}
	m.headers = slices.Sorted(maps.Keys(headers))
	return m, nil
}

func checkMatch(m plan.Match) error {
	paths := 0
	for _, s := range []string{m.Path, m.PathPrefix, m.PathRegex} {
		if s != "" {
			paths++
		}
	}
	if paths > 1 {
		return errors.New("match has several of path, pathPrefix and pathRegex, want at most one")
	}
	seen := make(map[string]bool)
	for name := range m.Headers {
		if err := checkVariableName("header", name); err != nil {
			return err
		}
		if lower := strings.ToLower(name); seen[lower] {
			return fmt.Errorf("match names the header %q twice, in another case", lower)
		} else {
			seen[lower] = true
		}
	}
	return nil
}

// checkVariableName refuses names of request headers that nginx drops or
// cannot name in a variable.
func checkVariableName(what, name string) error {
	bad := name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
	if bad {
		return fmt.Errorf("nginx can read a request %s only by a name of letters, digits and dashes, not %q: rename it, or use the bridge as gateway", what, name)
	}
	return nil
}

// variableOf is the nginx variable of a request header.
func variableOf(header string) string {
	return "$http_" + strings.ReplaceAll(strings.ToLower(header), "-", "_")
}

// source is the source of the map.
func (m *matcher) source() string {
	var parts []string
	if m.method {
		parts = append(parts, "$request_method")
	}
	for _, h := range m.headers {
		parts = append(parts, variableOf(h))
	}
	for _, expr := range m.regexes {
		parts = append(parts, m.index[expr])
	}
	if m.path {
		parts = append(parts, "$uri")
	}
	if len(parts) == 0 {
		return "$request_method"
	}
	return strings.Join(parts, "\n")
}

const (
	anyLine = `[^\x0a]*`
	// blanks around the value of a header are none of it. nginx takes spaces
	// away, tabs it leaves.
	blanks = `[\x20\x09]*`
)

// pattern is the regular expression over the source that a rule's requests
// match.
func (m *matcher) pattern(match plan.Match) string {
	path := ""
	switch {
	case match.Path != "":
		path = literalPattern(match.Path) + `\z`
	case match.PathPrefix != "":
		path = literalPattern(match.PathPrefix)
	}
	return m.patternOf(match, path)
}

// patternOf has a pattern of its own for the path.
func (m *matcher) patternOf(match plan.Match, path string) string {
	var parts []string
	if m.method {
		parts = append(parts, methodPattern(match.Methods))
	}
	values := make(map[string]string, len(match.Headers))
	for name, value := range match.Headers {
		values[strings.ToLower(name)] = value
	}
	for _, h := range m.headers {
		if value, ok := values[h]; ok {
			parts = append(parts, blanks+literalPattern(value)+blanks)
		} else {
			parts = append(parts, anyLine)
		}
	}
	for _, expr := range m.regexes {
		if expr == match.PathRegex {
			parts = append(parts, "1")
		} else {
			parts = append(parts, anyLine)
		}
	}
	if m.path {
		parts = append(parts, path)
	} else {
		parts[len(parts)-1] += `\z`
	}
	return `\A` + strings.Join(parts, `\x0a`)
}

func methodPattern(methods []string) string {
	if len(methods) == 0 {
		return anyLine
	}
	var alternatives []string
	for _, method := range methods {
		alternatives = append(alternatives, literalPattern(method))
	}
	if len(alternatives) == 1 {
		return alternatives[0]
	}
	return "(?:" + strings.Join(alternatives, "|") + ")"
}

// writeRegexes emits one flag for each regular expression.
func (m *matcher) writeRegexes(w *writer, rules []render.Rule) error {
	encoding := "" // the variable that tells UTF-8 from other bytes
	for _, expr := range m.regexes {
		p, err := pcre(expr)
		if err != nil {
			return refusalOf(rules, func(r render.Rule) bool { return r.Match.PathRegex == expr }, err)
		}
		flag := m.index[expr]
		if p.bytes == "" {
			writeFlag(w, flag, p.text)
			continue
		}
		if encoding == "" {
			encoding = m.names.variable("utf8")
			writeFlag(w, encoding, validUTF8)
		}
		writeFlag(w, flag+"_text", p.text)
		writeFlag(w, flag+"_bytes", p.bytes)
		w.open("map %s %s", encoding, flag)
		w.directive("1", flag+"_text")
		w.directive("default", flag+"_bytes")
		w.close()
	}
	return nil
}

// writeFlag emits a map to 1 for paths that match the pattern, and else to 0.
func writeFlag(w *writer, flag, pattern string) {
	w.open("map $uri %s", flag)
	w.directive(quote("~"+pattern), "1")
	w.directive("default", "0")
	w.close()
}

// write emits the maps of the regular expressions and the map of the rules.
func (m *matcher) write(w *writer, rules []render.Rule) error {
	if err := m.writeRegexes(w, rules); err != nil {
		return err
	}
	w.open("map %s %s", quote(m.source()), m.names.variable("rule"))
	for _, path := range m.entities {
		pattern := quote("~" + m.patternOf(plan.Match{}, path))
		if len(pattern) > maxToken {
			return refuse("spec.entities", "a path takes %d bytes in nginx's words, it reads at most %d: use shorter ones", len(pattern), maxToken)
		}
		w.directive(pattern, entityRule)
	}
	for i, r := range rules {
		if r.MatchesAll() {
			w.directive("default", ruleName(i))
			break
		}
		pattern := quote("~" + m.pattern(r.Match))
		if len(pattern) > maxToken {
			return &Refusal{Rule: i, Err: fmt.Errorf("match takes %d bytes in nginx's words, it reads at most %d: use shorter texts", len(pattern), maxToken)}
		}
		w.directive(pattern, ruleName(i))
	}
	w.close()
	return nil
}

// ruleName is the value of the rule variable. It is never "0", which nginx
// takes for false.
func ruleName(i int) string { return fmt.Sprintf("r%d", i) }
