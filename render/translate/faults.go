package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// typeFaults rewords the errors of the type checker.
func typeFaults(src string, errs []*cel.Error) []fault {
	var out []fault
	for _, e := range errs {
		if len(errs) > 1 && strings.Contains(e.Message, "!error!") {
			continue // a consequence of another
		}
		f := fault{offset: celtext.Offset(src, e), code: "translation-type", message: e.Message}
		reword(src, &f)
		if !slices.ContainsFunc(out, func(o fault) bool { return o.offset == f.offset && o.message == f.message }) {
			out = append(out, f)
		}
	}
	return out
}

func reword(src string, f *fault) {
	runes := []rune(src)
	if m := celtext.UndefinedField.FindStringSubmatch(f.message); m != nil {
		variable := celtext.WordBefore(runes, f.offset)
		f.offset, f.code = celtext.NameAfter(src, f.offset), "unknown-name"
		f.message = fmt.Sprintf("%s has no field %q", variable, m[1])
		if t := variables[variable]; t != "" {
			f.hint = celtext.Suggest(m[1], slices.Sorted(maps.Keys(fields[t])), variable+" has: ")
		}
		return
	}
	if m := celtext.UndeclaredName.FindStringSubmatch(f.message); m != nil {
		f.code, f.message = "unknown-name", fmt.Sprintf("there is no %q here", m[1])
		switch {
		case f.offset < len(runes) && runes[f.offset] == '(':
			f.message = fmt.Sprintf("there is no function %q here", m[1])
			if celtext.WordBefore(runes, f.offset) == m[1] {
				f.offset = celtext.StartOfWord(runes, f.offset)
			}
		case m[1] == "response":
			f.message, f.hint = "there is no response yet where a request is translated", "read it in the expressions under response"
		default:
			f.hint = celtext.Suggest(m[1], []string{"request", "response"}, "an expression reads: ")
		}
		return
	}
	f.message, f.hint = celtext.Mismatch(f.message)
}
