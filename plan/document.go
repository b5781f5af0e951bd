package plan

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxProblems is how many problems of one file are reported.
const maxProblems = 100

// Document is one plan file as it was read. It is not changed after Decode and
// safe for concurrent use.
type Document struct {
	File   string
	Source []byte
	// Plan is never nil: what could be read, with defaults. It is whole only
	// where Decode gave no error.
	Plan *Plan

	text  text
	nodes map[string]place // by path
}

// place is where a field stands.
type place struct {
	key   *yaml.Node // nil in lists and at the top
	value *yaml.Node
}

// Decode reads a plan file strictly. The document is never nil. The problems
// are all that are wrong in the file, sorted; expressions and queries are not
// looked into. File is the name for the problems.
func Decode(file string, src []byte) (*Document, []Problem) {
	d, ps := decode(file, src)
	Sort(ps)
	if n := len(ps); n > maxProblems {
		ps = append(ps[:maxProblems:maxProblems], Problem{File: file, Line: ps[maxProblems].Line, Column: ps[maxProblems].Column,
			Severity: SeverityError, Code: "too-many-problems", Message: "more problems follow; mend these first"})
	}
	return d, ps
}

func decode(file string, src []byte) (*Document, []Problem) {
	d, w, ps := read(file, src)
	if len(ps) > maxProblems || w == nil {
		setDefaults(d.Plan)
		return d, ps
	}
	setDefaults(d.Plan)
	v := validator{d: d, p: d.Plan, bad: w.bad}
	v.plan()
	return d, append(ps, v.problems...)
}

// read is Decode without defaults and validation. The walker is nil where there
// was nothing to walk.
func read(file string, src []byte) (*Document, *walker, []Problem) {
	p := &Plan{}
	d, w, ps := readAs(file, src, p)
	d.Plan = p
	return d, w, ps
}

// Locate returns the line and column, both from 1, of a field's value. Path is
// as in `spec.phases[3].gates.advance[0].expr`; offset counts runes of a
// scalar's value. Objects and lists are located at their key, and a field that
// is not there at the nearest one around it that is.
func (d *Document) Locate(path string, offset int) (line, column int) {
	for {
		if p, ok := d.nodes[path]; ok {
			return d.locate(p, offset)
		}
		if path == "" {
			return 1, 1
		}
		path = parent(path)
		offset = 0
	}
}

func (d *Document) locate(p place, offset int) (line, column int) {
	n := p.value
	if n.Kind != yaml.ScalarNode {
		if p.key != nil {
			n = p.key
		}
		return n.Line, n.Column
	}
	at, _, ok := d.text.scalar(n)
	switch {
	case !ok || len(at) == 0 || offset < 0:
		return n.Line, n.Column
	case offset < len(at):
		return d.text.position(at[offset])
	}
	line, column = d.text.position(at[len(at)-1])
	return line, column + 1
}

// Problem makes a problem of severity error at a field's value; see Locate.
func (d *Document) Problem(path string, offset int, code, message, hint string) Problem {
	line, column := d.Locate(path, offset)
	return d.problem(line, column, code, message, hint)
}

func (d *Document) problem(line, column int, code, message, hint string) Problem {
	p := Problem{File: d.File, Line: line, Column: column, Severity: SeverityError, Code: code, Message: message, Hint: hint}
	if source := d.text.line(line); len(source) <= maxExcerpt {
		p.Source = source
	}
	return p
}

// join is the path of a field below another.
func join(path, key string) string {
	for i := range len(key) {
		if c := key[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Sprintf("%s[%q]", path, key)
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// parent cuts the last part off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
