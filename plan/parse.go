package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth bounds the nesting of a file; a plan needs less than 20.
const maxDepth = 64

// parse reads the file's one YAML document and refuses what hides what a file
// says: anchors, aliases, merge keys and tags. Root is nil where there is no
// document to read.
func (d *Document) parse() (root *yaml.Node, ps []Problem) {
	roots, err := documents(d.text.src)
	if err != nil {
		return nil, []Problem{d.syntax(err)}
	}
	if len(roots) == 0 {
		return nil, []Problem{{File: d.File, Severity: SeverityError, Code: "empty", Message: "the file holds no plan"}}
	}
	for _, extra := range roots[1:] {
		ps = append(ps, d.problem(extra.Line, extra.Column, "several-documents", "a second YAML document; only one plan a file",
			"move it to a file of its own"))
	}
	return roots[0], append(ps, d.indirect(roots[0])...)
}

// documents returns the roots of all YAML documents that are not empty.
func documents(src string) (roots []*yaml.Node, err error) {
	loader, err := yaml.NewLoader(strings.NewReader(src), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return nil, fmt.Errorf("open YAML reader: %w", err)
	}
	for {
		var n yaml.Node
		if err := loader.Load(&n); errors.Is(err, io.EOF) {
			return roots, nil
		} else if err != nil {
			return roots, err
		}
		if len(n.Content) == 0 || n.Content[0].ShortTag() == "!!null" && n.Content[0].Value == "" {
			continue
		}
		roots = append(roots, n.Content[0])
	}
}

// syntax is the problem of a YAML error.
func (d *Document) syntax(err error) Problem {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return d.problem(1, 1, "syntax", fmt.Sprintf("read YAML: %v", err), "")
	}
	message, hint := le.Message, ""
	// At the end of a file the reader counts a line that is not there.
	line, column := d.text.position(d.text.offset(max(le.Mark.Line, 1), le.Mark.Column))
	switch {
	case strings.Contains(message, "tab character"), strings.HasPrefix(d.text.src[d.text.offset(line, column):], "\t"):
		hint = "indent with spaces, not with tabs"
	case strings.Contains(message, "max depth"):
		hint = "no plan nests as deep as this"
	case strings.Contains(message, "mapping values are not allowed"):
		hint = "a value that holds `: ` must stand in quotes, or the indentation is wrong"
	case strings.Contains(message, "incompatible YAML document"), strings.Contains(message, "cannot start any token"):
		hint = "put values that begin with %, @ or ` in quotes; remove a %YAML line"
	case strings.Contains(message, "unknown anchor"):
		hint = "write the value out; a plan has no anchors and aliases"
	}
	if from := le.ContextMark; le.ContextMsg != "" && from.Line > 0 && (from.Line != line || from.Column != column) {
		message += fmt.Sprintf(", %s that begins at line %d, column %d", le.ContextMsg, from.Line, from.Column)
	}
	return d.problem(line, column, "syntax", message, hint)
}

// indirect reports anchors, aliases, merge keys and tags in the whole tree.
func (d *Document) indirect(n *yaml.Node) (ps []Problem) {
	at := func(code, message, hint string) { ps = append(ps, d.problem(n.Line, n.Column, code, message, hint)) }
	switch {
	case n.Kind == yaml.AliasNode:
		at("alias", fmt.Sprintf("alias *%s", n.Value), "write the value out; a plan says what it says where it says it")
	case n.Anchor != "":
		at("alias", fmt.Sprintf("anchor &%s", n.Anchor), "remove it; a plan has no anchors and aliases")
	case n.Tag == "!!merge":
		at("alias", "merge key <<", "write the fields out; a plan says what it says where it says it")
	}
	if tagged(n) {
		at("tag", fmt.Sprintf("tag %s", n.Tag), "remove it; the field says what type its value has")
	}
	for _, c := range n.Content {
		if len(ps) > maxProblems {
			break
		}
		ps = append(ps, d.indirect(c)...)
	}
	return ps
}

// tagged reports whether the file gives the node a tag.
func tagged(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!")
}

// IsPlan reports whether a file claims to hold a MigrationPlan: one of its
// documents has that kind and a version of the group changeover.dev. A file
// that does not parse claims it by its text.
func IsPlan(src []byte) bool {
	if !bytes.Contains(src, []byte(Kind)) || !bytes.Contains(src, []byte(group)) {
		return false
	}
	if len(src) > MaxSize {
		return claims.kind.Match(src) && claims.version.Match(src)
	}
	roots, err := documents(string(src))
	for _, root := range roots {
		kind, version := false, false
		for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
			value := root.Content[i+1]
			if value.Kind == yaml.AliasNode && value.Alias != nil {
				value = value.Alias
			}
			switch root.Content[i].Value {
			case "kind":
				kind = kind || value.Value == Kind
			case "apiVersion":
				version = version || strings.HasPrefix(value.Value, group)
			}
		}
		if kind && version {
			return true
		}
	}
	return err != nil && claims.kind.Match(src) && claims.version.Match(src)
}

// group begins every version of the API.
const group = "changeover.dev/"

// claims find kind and version in files that do not parse: at the beginning of
// a line, or of an object in flow form.
var claims = struct{ kind, version *regexp.Regexp }{
	regexp.MustCompile(`(?m)(^|^\s*\{|,\s*|^\s*")\x{FEFF}?["']?kind["']?\s*:\s*["']?MigrationPlan\b`),
	regexp.MustCompile(`(?m)(^|^\s*\{|,\s*|^\s*")\x{FEFF}?["']?apiVersion["']?\s*:\s*["']?changeover\.dev/`),
}
