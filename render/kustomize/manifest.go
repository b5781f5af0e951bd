package kustomize

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of the YAML that kustomize is given.
const (
	maxNesting = 256
	// maxNodes are the values of all files of a phase, with every alias
	// written out: kustomize does that, whatever comes of it.
	maxNodes = 1 << 20
)

// manifest checks a file of YAML that kustomize reads.
func (s *scan) manifest(src *source) {
	s.tree.manifest(src)
	s.yaml(src)
}

// resources checks a file with objects.
func (s *scan) resources(src *source) {
	s.tree.manifest(src)
	for _, doc := range s.yaml(src) {
		s.ours(src, doc)
	}
}

// ours refuses an object that has the name of the ConfigMap that every build
// gets.
func (s *scan) ours(src *source, doc *yaml.Node) {
	for _, item := range items(field(doc, "items")) {
		s.ours(src, item)
	}
	if kind, _ := text(field(doc, "kind")); kind == "ConfigMap" {
		s.reserved(field(field(doc, "metadata"), "name"), func(n *yaml.Node) refuse { return s.at(src, n) })
	}
}

// reserved refuses the name of a ConfigMap.
func (s *scan) reserved(n *yaml.Node, at places) {
	if name, _ := text(n); name == PositionName {
		at(n)("reserved-name", fmt.Sprintf("the ConfigMap %q is Changeover's own: every build gets it", PositionName), "give yours another name")
	}
}

// patch checks a file with patches: objects, or a list of operations, which may
// be JSON that is no YAML.
func (s *scan) patch(src *source) {
	s.tree.manifest(src)
	if b := strings.TrimSpace(string(src.data)); strings.HasPrefix(b, "[") && json.Valid(src.data) {
		return
	}
	s.yaml(src)
}

// inlinePatch checks a patch within a kustomization.
func (s *scan) inlinePatch(value string, no refuse) {
	if strings.HasPrefix(strings.TrimSpace(value), "[") && json.Valid([]byte(value)) {
		return
	}
	docs, err := load([]byte(value))
	if err != nil {
		_, _, message, hint := syntax(err)
		no("syntax", "the patch is no YAML: "+message, hint)
		return
	}
	for _, doc := range docs {
		s.check(doc, func(*yaml.Node) refuse { return no })
	}
}

// yaml reads and checks the documents of a file.
func (s *scan) yaml(src *source) []*yaml.Node {
	docs, ok := s.documents(src)
	if !ok {
		return nil
	}
	for _, doc := range docs {
		s.check(doc, func(n *yaml.Node) refuse { return s.at(src, n) })
	}
	return docs
}

// documents reads the YAML documents of a file that are not empty.
func (s *scan) documents(src *source) ([]*yaml.Node, bool) {
	if !utf8.Valid(src.data) {
		s.whole(src.path)("encoding", "the file is not UTF-8", "save the file as UTF-8")
		return nil, false
	}
	docs, err := load(src.data)
	if err != nil {
		line, column, message, hint := syntax(err)
		s.place(src, line, column)("syntax", message, hint)
		return nil, false
	}
	return docs, true
}

// limits are those of the YAML reader. Aliases are counted once they are read.
type limits struct{}

var errNesting = fmt.Errorf("values lie more than %d deep", maxNesting)

// CheckDepth bounds how deep values lie.
func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxNesting {
		return errNesting
	}
	return nil
}

// CheckAlias allows all.
func (limits) CheckAlias(int, int) error { return nil }

// load reads YAML. A panic of the reader is an error.
func load(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			docs, err = nil, errors.New("the reader failed")
		}
	}()
	loader, err := yaml.NewLoader(strings.NewReader(string(data)), yaml.WithPlugin(limits{}))
	if err != nil {
		return nil, err
	}
	for {
		var n yaml.Node
		if err := loader.Load(&n); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		if len(n.Content) == 0 || n.Content[0].ShortTag() == "!!null" {
			continue
		}
		docs = append(docs, n.Content[0])
	}
}

// syntax says where and what is wrong with YAML, without a word of its values:
// they may be a Secret's.
func syntax(err error) (line, column int, message, hint string) {
	le, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return 1, 1, "the file is no YAML", ""
	}
	line, column, message = max(le.Mark.Line, 1), max(le.Mark.Column, 1), le.Message
	switch {
	case strings.Contains(message, "already defined"):
		return line, column, "a key is there twice", "remove one of the two"
	case strings.Contains(message, "anchor"):
		return line, column, "an alias without its anchor", "put values that begin with * or & in quotes"
	case strings.Contains(message, "tab character"):
		hint = "indent with spaces, not with tabs"
	case strings.Contains(message, errNesting.Error()):
		return line, column, errNesting.Error(), "no manifest lies as deep as this"
	case strings.Contains(message, "mapping values are not allowed"):
		hint = "a value that holds `: ` must stand in quotes, or the indentation is wrong"
	}
	return line, column, "read YAML: " + message, hint
}

// check refuses what kustomize does not survive: it writes out aliases without
// a bound, and ends the process where an object cannot be written as JSON.
func (s *scan) check(doc *yaml.Node, at places) {
	c := census{at: at, sizes: map[*yaml.Node]int{}}
	s.nodes += c.count(doc)
	if s.nodes > maxNodes {
		s.stop(at(doc), "too-large", fmt.Sprintf("the files of this phase hold more than %d values, aliases written out", maxNodes), "")
	}
}

// census counts the nodes of a document with its aliases written out.
type census struct {
	at    places
	sizes map[*yaml.Node]int // of those with an anchor; 0 while it is counted
}

func (c *census) count(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		size, known := c.sizes[n.Alias]
		if known && size == 0 {
			c.at(n)("alias", "an alias within its own anchor", "write the value out")
		}
		return max(size, 1)
	}
	if n.Anchor != "" {
		c.sizes[n] = 0
	}
	switch n.Kind {
	case yaml.MappingNode:
		c.keys(n)
	case yaml.ScalarNode:
		c.scalar(n)
	}
	size := 1
	for _, child := range n.Content {
		size = min(size+c.count(child), math.MaxInt32)
	}
	if n.Anchor != "" {
		c.sizes[n] = size
	}
	return size
}

func (c *census) keys(n *yaml.Node) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		switch line, again := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" && key.ShortTag() != "!!merge":
			c.at(n.Content[i])("wrong-type", "a key must be text", "put it in quotes")
		case again:
			c.at(n.Content[i])("duplicate-key", fmt.Sprintf("the key is already at line %d", line), "remove one of the two")
		}
		seen[key.Value] = key.Line
	}
}

// scalar refuses numbers and tags that JSON does not know.
func (c *census) scalar(n *yaml.Node) {
	if n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str" {
		c.at(n)("tag", "a tag", "remove it, or put a value that begins with ! in quotes")
	}
	if n.ShortTag() == "!!float" && strings.ContainsAny(strings.ToLower(n.Value), "nif") {
		c.at(n)("wrong-type", "not a number of JSON", "put it in quotes")
	}
}
