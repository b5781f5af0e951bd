package transform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/gates/celtext"
)

// typeFaults rewords the errors of the type checker.
func (b *builder) typeFaults(src string, errs []*cel.Error) (out []fault) {
	for _, e := range errs {
		if len(errs) > 1 && strings.Contains(e.Message, "!error!") {
			continue // a consequence of another
		}
		f := fault{offset: celtext.Offset(src, e), code: "transform-type", message: e.Message}
		b.reword(src, &f)
		if !slices.ContainsFunc(out, func(o fault) bool { return o.offset == f.offset && o.message == f.message }) {
			out = append(out, f)
		}
	}
	return out
}

func (b *builder) reword(src string, f *fault) {
	runes := []rune(src)
	if m := celtext.UndefinedField.FindStringSubmatch(f.message); m != nil {
		variable := celtext.WordBefore(runes, f.offset)
		f.offset, f.code = celtext.NameAfter(src, f.offset), "unknown-name"
		f.message = fmt.Sprintf("%s has no field %q", variable, m[1])
		f.hint = celtext.Suggest(m[1], b.scope[variable], variable+" has: ")
		return
	}
	m := celtext.UndeclaredName.FindStringSubmatch(f.message)
	if m == nil {
		f.message, f.hint = celtext.Mismatch(f.message)
		return
	}
	f.code, f.message = "unknown-name", fmt.Sprintf("there is no %q here", m[1])
	switch {
	case f.offset < len(runes) && runes[f.offset] == '(':
		f.message = fmt.Sprintf("there is no function %q here", m[1])
		if celtext.WordBefore(runes, f.offset) == m[1] {
			f.offset = celtext.StartOfWord(runes, f.offset)
		}
	case m[1] == "now":
		f.hint = "equal objects become equal objects at any time: read a time of the object, such as object.metadata.creationTimestamp"
	case m[1] == "targets":
		f.hint = "targets are read by verify expressions alone, when all are written"
	default:
		f.hint = celtext.Suggest(m[1], b.scope.names(), "an expression reads: ")
	}
}
