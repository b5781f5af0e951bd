package entity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// typeFaults rewords the errors of the type checker. Names are the variables of
// the expression, maps those of the plan's values.
func typeFaults(src string, errs []*cel.Error, names, maps []string) []fault {
	var out []fault
	for _, e := range errs {
		if len(errs) > 1 && strings.Contains(e.Message, "!error!") {
			continue // a consequence of another
		}
		f := fault{offset: celtext.Offset(src, e), code: "entity-type", message: e.Message}
		reword(src, &f, names, maps)
		if !slices.ContainsFunc(out, func(o fault) bool { return o.offset == f.offset && o.message == f.message }) {
			out = append(out, f)
		}
	}
	return out
}

func reword(src string, f *fault, names, maps []string) {
	runes := []rune(src)
	if m := celtext.UndefinedField.FindStringSubmatch(f.message); m != nil {
		f.offset, f.code = celtext.NameAfter(src, f.offset), "unknown-name"
		f.message = fmt.Sprintf("spec.entities.values has no map %q", m[1])
		f.hint = celtext.Suggest(m[1], maps, "it has: ")
		if len(maps) == 0 {
			f.hint = "declare it: values: {" + m[1] + ": {LEGACYWORD: MODERNWORD}}"
		}
		return
	}
	if m := celtext.UndeclaredName.FindStringSubmatch(f.message); m != nil {
		f.code, f.message = "unknown-name", fmt.Sprintf("there is no %q here", m[1])
		if f.offset < len(runes) && runes[f.offset] == '(' {
			f.message = fmt.Sprintf("there is no function %q here", m[1])
			if celtext.WordBefore(runes, f.offset) == m[1] {
				f.offset = celtext.StartOfWord(runes, f.offset)
			}
			return
		}
		f.hint = celtext.Suggest(m[1], names, "an expression here reads: ")
		return
	}
	if m := celtext.NoOverload.FindStringSubmatch(f.message); m != nil {
		operands := strings.Split(m[3], ", ")
		if m[2] != "" {
			operands = append([]string{m[2]}, operands...)
		}
		f.message = fmt.Sprintf("%s does not apply to %s", strings.Trim(m[1], "_"), strings.Join(operands, " and "))
		switch {
		case m[1] == "_?_:_":
			f.message = fmt.Sprintf("? : wants a condition and two values of one type, not %s", strings.Join(operands, ", "))
			f.hint = "write dyn(...) around one of the two where they differ"
		case m[1] == "_+_" && slices.Contains(operands, "string"):
			f.hint = "make text of the other: string(...)"
		}
		return
	}
	if strings.HasSuffix(f.message, "does not support field selection") {
		f.message = "a value has no fields: nothing can follow its name with a dot"
	}
}
