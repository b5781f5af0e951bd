package kustomize

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/plan"
)

// maxProblems is how many problems of one plan's kustomizations are reported.
const maxProblems = 100

// Refused is the error of a build whose kustomizations are not allowed or do
// not fit together.
type Refused struct {
	Problems []plan.Problem // sorted; at least one
}

// Error gives the first problem and how many more there are.
func (r *Refused) Error() string {
	s := r.Problems[0].String()
	if n := len(r.Problems) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// refuse reports what is wrong at the place for which it was made.
type refuse func(code, message, hint string)

// add notes a problem once.
func (s *scan) add(p plan.Problem) {
	if _, ok := s.found[p]; ok || len(s.found) > maxProblems {
		return
	}
	s.found[p] = struct{}{}
}

// at makes a refuse for a node of a file.
func (s *scan) at(src *source, n *yaml.Node) refuse { return s.place(src, n.Line, n.Column) }

// whole makes a refuse for a file as a whole.
func (s *scan) whole(path string) refuse {
	return func(code, message, hint string) {
		s.add(plan.Problem{File: path, Severity: plan.SeverityError, Code: code, Message: message, Hint: hint})
	}
}

func (s *scan) place(src *source, line, column int) refuse {
	return func(code, message, hint string) {
		s.add(plan.Problem{
			File: src.path, Line: line, Column: column, Severity: plan.SeverityError,
			Code: code, Message: message, Hint: hint, Source: src.line(line),
		})
	}
}

// maxExcerpt is the longest line, in bytes, that a problem carries along.
const maxExcerpt = 1000

// line is the text of a line, from 1, for people; empty where it could hold
// what belongs to a Secret.
func (f *source) line(n int) string {
	if f.confidential() {
		return ""
	}
	rest := f.data
	for ; n > 1; n-- {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return ""
		}
		rest = after
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	// A URL or an scp-like address may hold a password or a token.
	if len(line) > maxExcerpt || bytes.ContainsRune(line, '@') || bytes.Contains(line, []byte("://")) && bytes.ContainsRune(line, '?') {
		return ""
	}
	return strings.TrimSuffix(string(line), "\r")
}

// confidential reports whether no line of the file may be repeated: it has to
// do with Secrets, or holds patches, which can be for one.
func (f *source) confidential() bool {
	lower := bytes.ToLower(f.data)
	return bytes.Contains(lower, []byte("secret")) || bytes.Contains(lower, []byte("patch"))
}

// problems are those found, sorted.
func (s *scan) problems() []plan.Problem {
	if len(s.found) == 0 {
		return nil
	}
	ps := make([]plan.Problem, 0, len(s.found))
	for p := range s.found {
		ps = append(ps, p)
	}
	plan.Sort(ps)
	if len(ps) > maxProblems {
		last := ps[maxProblems]
		ps = append(ps[:maxProblems:maxProblems], plan.Problem{
			File: last.File, Line: last.Line, Column: last.Column, Severity: plan.SeverityError,
			Code: "too-many-problems", Message: "more problems follow; mend these first",
		})
	}
	return ps
}
