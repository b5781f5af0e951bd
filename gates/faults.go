package gates

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// CEL and its parser speak to those who know their grammar. What they say is
// turned here, and in celtext, into what was expected and what to do.

var words = celtext.Words{
	Depth: maxDepth, Runes: maxExprRunes,
	Empty: "write a comparison such as signal.NAME < 0.01",
	Deep:  "use fewer parentheses, or several gates",
	Long:  "use several gates",
	If:    "a gate is one condition; write CONDITION ? A : B to choose",
}

// syntaxFault reports the first of the parser's errors.
func syntaxFault(src string, errs []*cel.Error) fault {
	f := fault{code: "gate-syntax"}
	f.offset, f.message, f.hint = words.Syntax(src, errs)
	return f
}

// typeFaults rewords the errors of the type checker.
func (c *compiler) typeFaults(src string, errs []*cel.Error) []fault {
	var fs []fault
	for _, e := range errs {
		difference := strings.Contains(e.Message, "'_-_'") && dashedName.MatchString(src)
		if len(errs) > 1 && (strings.Contains(e.Message, "!error!") || difference) {
			continue // a consequence of another
		}
		f := fault{offset: celtext.Offset(src, e), code: "gate-type", message: e.Message}
		c.rewordType(src, &f)
		// One mistake in a list or a loop is found once for each element.
		if !slices.ContainsFunc(fs, func(o fault) bool { return o.offset == f.offset && o.message == f.message }) {
			fs = append(fs, f)
		}
	}
	return fs
}

func (c *compiler) rewordType(src string, f *fault) {
	if m := celtext.UndefinedField.FindStringSubmatch(f.message); m != nil {
		c.rewordField(src, f, m[1])
		return
	}
	if m := celtext.UndeclaredName.FindStringSubmatch(f.message); m != nil {
		c.rewordName(src, f, m[1])
		return
	}
	if m := celtext.NoOverload.FindStringSubmatch(f.message); m != nil {
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
	object := celtext.WordBefore(runes, f.offset)
	owner := planBefore.FindStringSubmatch(string(runes[:min(f.offset, len(runes))]))
	at := f.offset
	f.offset = celtext.NameAfter(src, f.offset)
	if owner != nil {
		f.planField(field, owner[1] != "")
		return
	}
	if transformBefore.MatchString(string(runes[:min(at, len(runes))])) {
		f.code, f.message = "unknown-name", fmt.Sprintf("a transform has no field %q", field)
		f.hint = celtext.Suggest(field, fieldNames(transformType), "a transform has: ")
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
		f.hint = celtext.Suggest(field, fieldNames(t.TypeName()), object+" has: ")
	}
	if object == "commit" && field == "signed" {
		f.message = "commit.signed is not known: a gate cannot tell whether a commit is signed"
		f.hint = "start the daemon with --verify promotions: then what is not signed is never taken up"
	}
}

// fieldNames are those of an object type that is the same in every plan, sorted.
func fieldNames(typeName string) []string { return slices.Sorted(maps.Keys(objectFields[typeName])) }

// undeclared speaks of a signal or an object that the plan does not declare.
func (f *fault) undeclared(kind, name string, declared []string) {
	f.code = "unknown-" + kind
	f.message = fmt.Sprintf("the plan has no %s %q", kind, name)
	f.hint = celtext.Suggest(name, declared, fmt.Sprintf("the plan's %ss are: ", kind))
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
		if w := celtext.WordBefore(runes, f.offset); w == name {
			f.offset = celtext.StartOfWord(runes, f.offset)
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
	f.hint = celtext.Suggest(name, variableNames, "an expression reads: ")
}

// nearFunction names the function of ours that was probably meant.
func nearFunction(name string) string {
	best, distance := "", 4
	for _, f := range functions {
		if d := celtext.EditDistance(name, f.name); d < distance {
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
		if mapTexts[operands[0]] != "" {
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
	case transformType:
		f.message, f.hint = "the expression is a transform, want true or false", "read one of its fields, as in transforms.NAME.complete"
	case "dyn":
		f.message, f.hint = "the expression may be of any type, want true or false", "compare it, as in: == true"
	case "string":
		f.message, f.hint = "the expression is text, want true or false", `compare it, as in: == "gradual"`
	}
	return f
}
