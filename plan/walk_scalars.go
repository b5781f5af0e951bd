package plan

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decimal is how numbers are written: other forms that YAML knows (octal,
// exponents, underscores, infinities) are read differently by different tools.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// boolean reads true or false.
func (w *walker) boolean(path string, n *yaml.Node) bool {
	if !w.expect(path, n, yaml.ScalarNode, "true or false") {
		return false
	}
	if n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
		hint := ""
		if words := []string{"true", "false", "yes", "no", "on", "off"}; slices.Contains(words, strings.ToLower(n.Value)) {
			hint = "write true or false, in lower case and without quotes"
		}
		return w.refuse(path, n, "wrong-type", "expected true or false, got "+got(n), hint)
	}
	w.json = append(w.json, n.Value...)
	return true
}

// number reads a plain decimal number.
func (w *walker) number(path string, n *yaml.Node) bool {
	if !w.decimal(path, n, "a number") {
		return false
	}
	w.json = append(w.json, n.Value...)
	return true
}

// decimal checks that a node is a number in plain decimal form.
func (w *walker) decimal(path string, n *yaml.Node, want string) bool {
	if !w.expect(path, n, yaml.ScalarNode, want) {
		return false
	}
	if n.Tag != "!!int" && n.Tag != "!!float" {
		hint := ""
		if decimal.MatchString(n.Value) {
			hint = "write it without quotes"
		}
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected %s, got %s", want, got(n)), hint)
	}
	if len(n.Value) > 20 || !decimal.MatchString(n.Value) {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected %s, got %s", want, shorten(n.Value)), "write it in plain decimal digits, such as 400 or 0.5")
	}
	return true
}

// integer reads a whole number.
func (w *walker) integer(path string, n *yaml.Node) bool {
	if !w.decimal(path, n, "a whole number") {
		return false
	}
	if _, err := strconv.ParseInt(n.Value, 10, 32); err != nil {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a whole number, got %s", shorten(n.Value)), "")
	}
	w.json = append(w.json, n.Value...)
	return true
}

// percent reads a percentage from 0 to 100 with at most two decimals.
func (w *walker) percent(path string, n *yaml.Node) bool {
	if n.Kind == yaml.ScalarNode && strings.HasSuffix(n.Value, "%") {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a percentage, got text %s", shorten(n.Value)), "write the number alone, without the % sign")
	}
	if !w.decimal(path, n, "a percentage") {
		return false
	}
	p, message := parsePercent(n.Value)
	if message != "" {
		return w.refuse(path, n, "percent", message, "")
	}
	w.json = append(w.json, p.String()...)
	return true
}

// parsePercent reads a plain decimal number as a percentage, or says what is
// wrong with it.
func parsePercent(s string) (p Percent, message string) {
	f, err := strconv.ParseFloat(s, 64)
	if _, decimals, _ := strings.Cut(s, "."); len(strings.TrimRight(decimals, "0")) > 2 {
		return 0, fmt.Sprintf("percentage %s has more than two decimals", s)
	}
	if err != nil || f < 0 || f > 100 {
		return 0, fmt.Sprintf("percentage %s is not between 0 and 100", s)
	}
	return Percent(f + 0), "" // -0 becomes 0
}

const durationHint = "write it with a unit: 30s, 5m, 1h30m or 30d"

// duration reads a duration in Prometheus syntax.
func (w *walker) duration(path string, n *yaml.Node) bool {
	if !w.expect(path, n, yaml.ScalarNode, "a duration") {
		return false
	}
	if n.Tag != "!!str" {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected a duration, got %s", got(n)), durationHint)
	}
	v, err := ParseDuration(n.Value)
	if err != nil || n.Value == "0" {
		return w.refuse(path, n, "duration", fmt.Sprintf("%s is not a duration", shorten(n.Value)), durationHint)
	}
	w.quote(v.String())
	return true
}

// bake reads one duration, or a map from percentages to durations.
func (w *walker) bake(path string, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return w.duration(path, n)
	}
	return w.byPercent(path, n, "bake", "{10: 1h, 100: 24h}", reflect.TypeFor[Duration]())
}

// byPercent reads a map from percentages to values of a type. The problems of
// its keys have the code.
func (w *walker) byPercent(path string, n *yaml.Node, code, example string, elem reflect.Type) bool {
	w.json = append(w.json, '{')
	seen, empty := map[Percent]bool{}, true
	w.pairs(path, n, func(name string, key, value *yaml.Node) {
		at := join(path, name)
		if !decimal.MatchString(name) {
			w.refuse(at, key, code, fmt.Sprintf("key %s is not a percentage", shorten(name)), fmt.Sprintf("a map for %s has percentages as keys: %s", code, example))
			return
		}
		p, message := parsePercent(name)
		if message != "" {
			w.refuse(at, key, code, message, "")
			return
		}
		if seen[p] {
			w.refuse(at, key, "duplicate-key", fmt.Sprintf("percentage %s is already in this map", p), "remove one of the two")
			return
		}
		seen[p] = true
		w.d.nodes[join(path, p.String())] = place{key: key, value: value}
		empty = !w.member(at, p.String(), value, elem, empty) && empty
	})
	w.json = append(w.json, '}')
	return true
}
