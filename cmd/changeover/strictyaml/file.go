// Package strictyaml reads the YAML files of the command that are not plans:
// every field is known, none is there twice, and what is wrong is told with its
// line, column and remedy, all of it in one go.
package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/changeover-dev/changeover/plan"
)

// maxDepth bounds the nesting of a file.
const maxDepth = 64

// File is one that is being read, with all that was found wrong in it. It is for
// one goroutine.
type File struct {
	name     string
	lines    []string
	problems []plan.Problem
}

// Read returns the file and the root of its one document; nil where there is
// none. What says what the file should hold, as in "the file holds no tests".
func Read(name, what string, src []byte) (*File, *yaml.Node) {
	f := Open(name, src)
	return f, f.root(string(src), what)
}

// Open is Read for a file that was read before, and of which more is wrong than
// it tells by itself.
func Open(name string, src []byte) *File {
	return &File{name: name, lines: strings.Split(string(src), "\n")}
}

// Problems that were found so far, in the order of the file.
func (f *File) Problems() []plan.Problem {
	plan.Sort(f.problems)
	return f.problems
}

// Add notes what is wrong at a node.
func (f *File) Add(n *yaml.Node, code, message, hint string) {
	f.AddAt(n.Line, n.Column, code, message, hint)
}

// AddAt is Add for a line and a column, both from 1.
func (f *File) AddAt(line, column int, code, message, hint string) {
	p := plan.Problem{File: f.name, Line: line, Column: column, Severity: plan.SeverityError, Code: code, Message: message, Hint: hint}
	if line >= 1 && line <= len(f.lines) {
		p.Source = strings.TrimSuffix(f.lines[line-1], "\r")
	}
	f.problems = append(f.problems, p)
}

func (f *File) root(src, what string) *yaml.Node {
	var root, more yaml.Node
	loader, err := yaml.NewLoader(strings.NewReader(src), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err == nil {
		err = loader.Load(&root)
	}
	if err == nil {
		if err = loader.Load(&more); err == nil {
			f.Add(&more, "several-documents", "a second YAML document; a file of "+what+" has one", "move it to a file of its own")
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	var le *yaml.LoadError
	switch {
	case errors.As(err, &le):
		f.AddAt(max(le.Mark.Line, 1), max(le.Mark.Column, 1), "syntax", le.Message, "")
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		f.AddAt(1, 1, "syntax", err.Error(), "")
		return nil
	case len(root.Content) == 0:
		f.problems = append(f.problems, plan.Problem{File: f.name, Severity: plan.SeverityError, Code: "empty", Message: "the file holds no " + what})
		return nil
	}
	return root.Content[0]
}

// Fields calls the function of every field of a mapping. Others are problems,
// and so are required ones that are not there.
func (f *File) Fields(n *yaml.Node, what string, known map[string]func(key, value *yaml.Node), required ...string) {
	if n.Kind != yaml.MappingNode {
		f.Add(n, "wrong-type", fmt.Sprintf("%s must be an object", what), "")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			f.Add(key, "duplicate-key", fmt.Sprintf("%q is there twice", key.Value), "")
		case !ok:
			f.Add(key, "unknown-field", fmt.Sprintf("%s has no field %q", what, key.Value), "it has "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		default:
			read(key, value)
		}
		seen[key.Value] = true
	}
	for _, name := range required {
		if !seen[name] {
			f.Add(n, "missing-field", fmt.Sprintf("%s needs %q", what, name), "")
		}
	}
}

// List calls each for every item of a list.
func (f *File) List(n *yaml.Node, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		f.Add(n, "wrong-type", "this must be a list", "")
		return
	}
	for _, c := range n.Content {
		each(c)
	}
}

// Text of a node; empty where it has none.
func (f *File) Text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		f.Add(n, "wrong-type", "this must be text", "")
		return ""
	}
	return n.Value
}

// Bool of a node; false where it has none.
func (f *File) Bool(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		f.Add(n, "wrong-type", "this must be true or false", "")
	}
	return n.Value == "true"
}
