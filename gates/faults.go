package gates

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
)

// CEL and its parser speak to those who know their grammar. What they say is
// turned here into what was expected and what to do.

var (
	undefinedField = regexp.MustCompile(`^undefined field '(.*)'$`)
	undeclaredName = regexp.MustCompile(`^undeclared reference to '(.*)' \(in container ''\)$`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*?)\.?\((.*)\)'$`)
	unrecognized   = regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(.*)'$`)
	unexpected     = regexp.MustCompile(`(?s)^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting (.*)$`)
	missing        = regexp.MustCompile(`(?s)^Syntax error: missing '(.*)' at '(.*)'$`)
	noAlternative  = regexp.MustCompile(`(?s)^Syntax error: no viable alternative at input '(.*)'$`)
	reserved       = regexp.MustCompile(`^reserved identifier: (.*)$`)
)

// syntaxFault reports the first of the parser's errors: the others are mostly
// its consequences.
func syntaxFault(src string, errs []*cel.Error) fault {
	first := slices.MinFunc(errs, func(a, b *cel.Error) int {
		return errorOffset(src, a) - errorOffset(src, b)
	})
	f := fault{offset: errorOffset(src, first), code: "gate-syntax"}
	f.message, f.hint = rewordSyntax(src, f.offset, first.Message)
	return f
}

func rewordSyntax(src string, offset int, msg string) (message, hint string) {
	switch {
	case strings.TrimSpace(src) == "":
		return "the expression is empty", "write a comparison such as signal.NAME < 0.01"
	case strings.Contains(msg, "recursion limit exceeded"):
		return fmt.Sprintf("the expression is nested more than %d deep", maxDepth), "use fewer parentheses, or several gates"
	case strings.Contains(msg, "size exceeds limit"):
		return fmt.Sprintf("the expression is longer than %d characters", maxExprRunes), "use several gates"
	}
	if m := unrecognized.FindStringSubmatch(msg); m != nil {
		text := strings.TrimSpace(m[1])
		if strings.HasPrefix(text, "'") || strings.HasPrefix(text, `"`) {
			return "text is not closed by its quote, or holds an unknown escape such as \\q", `write \\ for a backslash`
		}
		return fmt.Sprintf("unexpected %q", text), tokenHint(src, offset, text)
	}
	if m := unexpected.FindStringSubmatch(msg); m != nil {
		if m[1] == "<EOF>" {
			return "the expression ends too early", endHint(src)
		}
		return fmt.Sprintf("unexpected %q", m[1]), tokenHint(src, offset, m[1])
	}
	if m := missing.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("missing %q", m[1]), ""
	}
	if m := noAlternative.FindStringSubmatch(msg); m != nil {
		name := strings.TrimLeft(strings.TrimSpace(m[1]), ". ")
		return fmt.Sprintf("unexpected %q", name), tokenHint(src, offset, name)
	}
	if m := reserved.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%q is a reserved word", m[1]), tokenHint(src, offset, m[1])
	}
	return strings.TrimPrefix(msg, "Syntax error: "), ""
}

// tokenHint guesses what was meant by a word or sign that CEL does not have.
func tokenHint(src string, offset int, token string) string {
	switch strings.ToLower(token) {
	case "and", "&":
		return "write && for and"
	case "or", "|":
		return "write || for or"
	case "=":
		return "write == to compare"
	case "=>":
		return "write >= to compare"
	case "=<":
		return "write <= to compare"
	case "<>":
		return "write != to compare"
	case ",":
		return "a decimal point is written as . and not as a comma"
	case "if", "then":
		return "a gate is one condition; write CONDITION ? A : B to choose"
	case ">":
		if before := []rune(src)[:offset]; len(before) > 0 && before[len(before)-1] == '<' {
			return "write != to compare"
		}
	}
	if before, _, _ := strings.Cut(strings.TrimSpace(src), " "); strings.EqualFold(before, "not") {
		return "write !(...) for not"
	}
	return ""
}

func endHint(src string) string {
	if strings.HasSuffix(strings.TrimSpace(src), "%") {
		return "% is the remainder of a division; write 0.05 for 5 %"
	}
	return ""
}

// typeFaults rewords the errors of the type checker.
func (c *compiler) typeFaults(src string, errs []*cel.Error) []fault {
	var fs []fault
	for _, e := range errs {
		if len(errs) > 1 && strings.Contains(e.Message, "!error!") {
			continue // a consequence of another
		}
		f := fault{offset: errorOffset(src, e), code: "gate-type", message: e.Message}
		c.rewordType(src, &f)
		// One mistake in a list or a loop is found once for each element.
		if !slices.ContainsFunc(fs, func(o fault) bool { return o.offset == f.offset && o.message == f.message }) {
			fs = append(fs, f)
		}
	}
	return fs
}

func (c *compiler) rewordType(src string, f *fault) {
	if m := undefinedField.FindStringSubmatch(f.message); m != nil {
		c.rewordField(src, f, m[1])
		return
	}
	if m := undeclaredName.FindStringSubmatch(f.message); m != nil {
		c.rewordName(src, f, m[1])
		return
	}
	if m := noOverload.FindStringSubmatch(f.message); m != nil {
		rewordOverload(f, m[1], m[2], m[3])
		return
	}
	switch {
	case strings.HasSuffix(f.message, "does not support field selection"):
		f.message = "a value has no fields: nothing can follow its name with a dot"
	case f.message == "invalid duration argument":
		f.message, f.hint = "the text is no duration", "write hours, minutes and seconds, as in duration('72h30m')"
	case f.message == "invalid timestamp argument":
		f.message, f.hint = "the text is no time", "write it as in timestamp('2026-12-01T09:00:00Z')"
	case f.message == "invalid matches argument":
		f.message, f.hint = "the text is no regular expression", "the syntax is that of RE2"
	}
}

// rewordField speaks of a field that its object does not have. CEL points at
// the dot; the fault is the name after it.
func (c *compiler) rewordField(src string, f *fault, field string) {
	runes := []rune(src)
	object := wordBefore(runes, f.offset)
	owner := planBefore.FindStringSubmatch(string(runes[:min(f.offset, len(runes))]))
	f.offset = nameAfter(src, f.offset)
	if owner != nil {
		f.planField(field, owner[1] != "")
		return
	}
	switch object {
	case "signal":
		f.undeclared(object, field, c.signals)
		return
	case "series":
		if slices.Contains(c.signals, field) {
			f.code = "unknown-series"
			f.message = fmt.Sprintf("signal %q has no series", field)
			f.hint = "give the signal range and step, as in range: 1h, step: 1m"
			return
		}
		f.undeclared("signal", field, c.signals)
		return
	case "baseline":
		f.undeclared(object, field, c.baselines)
		return
	case "object":
		f.undeclared(object, field, c.objects)
		return
	}
	f.code = "unknown-name"
	f.message = fmt.Sprintf("%s has no field %q", object, field)
	if t := variables[object]; t != nil {
		f.hint = suggest(field, fieldNames(t.TypeName()), object+" has: ")
	}
	if object == "commit" && field == "signed" {
		f.message = "commit.signed is not known: a gate cannot tell whether a commit is signed"
		f.hint = "start the daemon with --verify promotions: then what is not signed is never taken up"
	}
}

// fieldNames are those of an object type that is the same in every plan, sorted.
func fieldNames(typeName string) []string { return slices.Sorted(maps.Keys(objectFields[typeName])) }

// nameAfter is where the name begins that follows the dot at an offset.
func nameAfter(src string, dot int) int {
	runes := []rune(src)
	at := dot + 1
	for at < len(runes) && (unicode.IsSpace(runes[at]) || runes[at] == '`') {
		at++
	}
	return at
}

// undeclared speaks of a signal or an object that the plan does not declare.
func (f *fault) undeclared(kind, name string, declared []string) {
	f.code = "unknown-" + kind
	f.message = fmt.Sprintf("the plan has no %s %q", kind, name)
	f.hint = suggest(name, declared, fmt.Sprintf("the plan's %ss are: ", kind))
	if len(declared) == 0 {
		f.hint = fmt.Sprintf("the plan has no %ss: declare it under spec.%ss", kind, kind)
	}
}

func (c *compiler) rewordName(src string, f *fault, name string) {
	runes := []rune(src)
	f.code = "unknown-name"
	if f.offset < len(runes) && runes[f.offset] == '(' {
		f.message = fmt.Sprintf("there is no function %q here", name)
		f.hint = nearFunction(name)
		if w := wordBefore(runes, f.offset); w == name {
			f.offset = startOfWord(runes, f.offset)
		}
		return
	}
	f.message = fmt.Sprintf("there is no %q here", name)
	if f.dashed(runes) {
		return
	}
	switch {
	case slices.Contains(c.signals, name):
		f.hint = "write signal." + name
		return
	case slices.Contains(c.baselines, name):
		f.hint = "write baseline." + name
		return
	case slices.Contains(c.objects, name):
		f.hint = "write object." + name
		return
	}
	f.hint = suggest(name, variableNames, "an expression reads: ")
}

// nearFunction names the function of ours that was probably meant.
func nearFunction(name string) string {
	best, distance := "", 4
	for _, f := range functions {
		if d := editDistance(name, f.name); d < distance {
			best, distance = f.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// rewordOverload speaks of an operator or a function that does not take its
// operands.
func rewordOverload(f *fault, function, target, args string) {
	for variable, text := range mapTexts {
		args = strings.ReplaceAll(args, text, variable)
	}
	operands := strings.Split(args, ", ")
	if target != "" {
		operands = append([]string{target}, operands...)
	}
	name := strings.Trim(function, "_")
	switch function {
	case "_?_:_":
		f.message = fmt.Sprintf("? : wants a condition and two values of one type, not %s", strings.Join(operands, ", "))
	case "_[_]":
		if operands[0] == "plans" || operands[0] == "approvals" {
			f.unquoted(operands[0])
			return
		}
		f.message = fmt.Sprintf("%s has no elements to pick with [...]", operands[0])
	case "!_", "-_":
		f.message = fmt.Sprintf("%s does not apply to %s", name, operands[0])
	default:
		f.message = fmt.Sprintf("%s does not apply to %s", name, strings.Join(operands, " and "))
	}
	if slices.Contains(operands, "double") && slices.Contains(operands, "int") {
		f.hint = "a signal is a double: write whole numbers beside it with a point, as 100.0"
	}
	for _, variable := range fielded {
		if slices.Contains(operands, variable) || slices.Contains(operands, variables[variable].TypeName()) {
			f.hint = fmt.Sprintf("read one of its fields: %s.NAME", variable)
		}
	}
	for _, fn := range functions {
		if fn.name == function && fn.lists > 0 && slices.Contains(operands[:min(fn.lists, len(operands))], "double") {
			f.hint = function + " wants a list: series.NAME of a signal with range and step"
		}
	}
	if slices.Contains(operands, "list(double)") && function != "_[_]" {
		f.hint = "a series is a list: make one number of it, as in quantile(series.NAME, 0.95)"
	}
}

// notBool speaks of an expression that is a value and no condition.
func notBool(t *cel.Type) fault {
	f := fault{code: "gate-not-bool", message: "the expression is of type " + t.TypeName() + ", want true or false"}
	switch t.TypeName() {
	case "double", "int", "uint":
		f.message, f.hint = "the expression is a number, want true or false", "compare it, as in: < 0.01"
	case planType:
		f.message, f.hint = "the expression is a plan, want true or false", "read one of its fields, as in plans.NAME.complete"
	case "dyn":
		f.message, f.hint = "the expression may be of any type, want true or false", "compare it, as in: == true"
	case "string":
		f.message, f.hint = "the expression is text, want true or false", `compare it, as in: == "gradual"`
	}
	return f
}

// suggest names the nearest of the names that are there, else all of them.
func suggest(got string, names []string, list string) string {
	best, distance := "", len(got)/3+2
	for _, n := range names {
		if d := editDistance(got, n); d < distance {
			best, distance = n, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(names) == 0 {
		return ""
	}
	return list + strings.Join(names, ", ")
}

// editDistance is how many letters are to be added, dropped or changed; case
// does not count.
func editDistance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

func errorOffset(src string, e *cel.Error) int {
	return runeOffset(src, e.Location.Line(), e.Location.Column())
}

// runeOffset turns a place of CEL, line from 1 and column from 0, into runes
// from the start. A place that is none is the start.
func runeOffset(src string, line, column int) int {
	if line < 1 {
		return 0
	}
	offset := 0
	lines := strings.SplitAfter(src, "\n")
	for i := 0; i < line-1 && i < len(lines); i++ {
		offset += len([]rune(lines[i]))
	}
	return min(offset+max(column, 0), len([]rune(src)))
}

// startOfWord is where the name that ends before at begins; blanks between
// are passed over.
func startOfWord(runes []rune, at int) int {
	for at > 0 && unicode.IsSpace(runes[at-1]) {
		at--
	}
	for at > 0 && isWord(runes[at-1]) {
		at--
	}
	return at
}

func wordBefore(runes []rune, at int) string {
	start := startOfWord(runes, min(at, len(runes)))
	end := start
	for end < len(runes) && isWord(runes[end]) {
		end++
	}
	return string(runes[start:end])
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
