package filetransform

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/changeover-dev/changeover/gates/celjson"
	"github.com/changeover-dev/changeover/plan"
)

const (
	// maxFile is the largest file that is read, in bytes.
	maxFile = 4 << 20
	// maxNodes bounds what aliases make of a file.
	maxNodes = 1_000_000
)

// fault is a problem at a place of the file.
type fault struct {
	line, column  int
	code          string
	message, hint string
}

// read reads the one document of a file.
func read(path string) (any, *plan.Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read %q: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %q: %w", path, err)
	}
	v, bad := parse(src)
	if bad == nil {
		return v, nil, nil
	}
	p := plan.Problem{File: path, Line: bad.line, Column: bad.column, Severity: plan.SeverityError, Code: bad.code, Message: bad.message, Hint: bad.hint}
	if lines := strings.Split(string(src), "\n"); bad.line > 0 && bad.line <= len(lines) {
		p.Source = strings.TrimSuffix(lines[bad.line-1], "\r")
	}
	return nil, &p, nil
}

// parse reads YAML, of which JSON is a part.
func parse(src []byte) (any, *fault) {
	if len(src) > maxFile {
		return nil, &fault{code: "too-large", message: fmt.Sprintf("the file is larger than %d bytes", maxFile)}
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(src)), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(celjson.MaxDepth))))
	if err != nil {
		return nil, &fault{code: "syntax", message: err.Error()}
	}
	var root yaml.Node
	if err := loader.Load(&root); err != nil || len(root.Content) == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, &fault{code: "empty", message: "the file holds no document"}
		}
		return nil, syntax(err)
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntax(err)
	default:
		return nil, &fault{line: second.Line, column: second.Column, code: "several-documents", message: "a second YAML document", hint: "give each a file of its own"}
	}
	c := converter{}
	v := c.value(root.Content[0])
	return v, c.bad
}

func syntax(err error) *fault {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return &fault{line: 1, column: 1, code: "syntax", message: err.Error()}
	}
	return &fault{line: max(le.Mark.Line, 1), column: max(le.Mark.Column, 1), code: "syntax", message: le.Message}
}

// converter makes values of nodes, up to the first that is none.
type converter struct {
	nodes int
	bad   *fault
}

func (c *converter) fail(n *yaml.Node, code, message, hint string) any {
	if c.bad == nil {
		c.bad = &fault{line: n.Line, column: n.Column, code: code, message: message, hint: hint}
	}
	return nil
}

func (c *converter) value(n *yaml.Node) any {
	if c.nodes++; c.nodes > maxNodes {
		return c.fail(n, "too-large", fmt.Sprintf("aliases make more than %d values of the file", maxNodes), "write fewer aliases")
	}
	if c.bad != nil {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.value(n.Alias)
	case yaml.SequenceNode:
		out := []any{}
		for _, e := range n.Content {
			out = append(out, c.value(e))
		}
		return out
	case yaml.MappingNode:
		return c.mapping(n)
	}
	return c.scalar(n)
}

func (c *converter) mapping(n *yaml.Node) any {
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return c.fail(key, "key", "a key is a map or a list", "keys are texts")
		}
		if key.ShortTag() == "!!merge" {
			return c.fail(key, "merge", "merge keys << are not read", "write the fields out")
		}
		if _, ok := out[key.Value]; ok {
			return c.fail(key, "duplicate-key", fmt.Sprintf("key %.60q is already in the map", key.Value), "remove one of the two")
		}
		out[key.Value] = c.value(n.Content[i+1])
	}
	return out
}

// scalar has the types of JSON: times and the like are texts.
func (c *converter) scalar(n *yaml.Node) any {
	var err error
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if err = n.Decode(&b); err == nil {
			return b
		}
	case "!!int":
		var i int64
		if err = n.Decode(&i); err == nil {
			return i
		}
		var u uint64
		if err = n.Decode(&u); err == nil {
			return u
		}
	case "!!float":
		var f float64
		if err = n.Decode(&f); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return c.fail(n, "number", "a number is not finite, or too large", "put it in quotes where it is a text")
	}
	if err != nil {
		return c.fail(n, "number", fmt.Sprintf("%.60q cannot be read: %v", n.Value, err), "put it in quotes where it is a text")
	}
	return n.Value
}
