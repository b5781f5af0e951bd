package kustomize

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"sigs.k8s.io/kustomize/api/types"
)

// forbidden are the fields that no kustomization may have, and why.
var forbidden = map[string]string{
	"openapi":                     "a schema of one kustomization would change how all others are built",
	"crds":                        "a schema of one kustomization would change how all others are built; list the CustomResourceDefinitions in `resources`",
	"helmCharts":                  "charts are fetched and rendered by another program: render the chart and commit what comes of it",
	"helmGlobals":                 "charts are fetched and rendered by another program: render the chart and commit what comes of it",
	"helmChartInflationGenerator": "charts are fetched and rendered by another program: render the chart and commit what comes of it",
}

// allowed are the fields of a kustomization that this package knows how to
// check. What a later kustomize adds is refused until it is looked at.
var allowed = []string{
	"apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations",
	"patchesStrategicMerge", "patchesJson6902", "patches", "images", "imageTags", "replacements", "replicas", "vars", "sortOptions",
	"resources", "components", "bases", "configMapGenerator", "secretGenerator", "generatorOptions", "configurations",
	"generators", "transformers", "validators", "buildMetadata",
}

// fields reads YAML nodes beside Go types and gives what json.Marshal takes.
// It reports what does not fit. Unlike kustomize it takes keys as they are
// written: kustomize takes Resources for resources.
type fields struct{ at func(*yaml.Node) refuse }

// value is nil where there is nothing or the node does not fit.
func (f fields) value(n *yaml.Node, t reflect.Type) any {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		f.at(n)("alias", "an anchor or alias", "write the value out: kustomizations are checked as they are written")
		return nil
	}
	if n.Style&yaml.TaggedStyle != 0 {
		f.at(n)("tag", "a tag", "remove it, or put a value that begins with ! in quotes")
		return nil
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && t.Kind() != reflect.String && t.Kind() != reflect.Bool && t.Kind() != reflect.Int64 {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return f.value(n, t.Elem())
	case reflect.Struct:
		if f.is(n, yaml.MappingNode, "an object") {
			return f.object(n, t)
		}
	case reflect.Map:
		if f.is(n, yaml.MappingNode, "an object") {
			out := map[string]any{}
			f.pairs(n, func(key, value *yaml.Node) { out[key.Value] = f.value(value, t.Elem()) })
			return out
		}
	case reflect.Slice:
		if f.is(n, yaml.SequenceNode, "a list") {
			out := make([]any, len(n.Content))
			for i, c := range n.Content {
				out[i] = f.value(c, t.Elem())
			}
			return out
		}
	default:
		if f.is(n, yaml.ScalarNode, "a single value") {
			return f.scalar(n, t)
		}
	}
	return nil
}

func (f fields) is(n *yaml.Node, kind yaml.Kind, want string) bool {
	if n.Kind != kind {
		f.at(n)("wrong-type", "expected "+want, "")
	}
	return n.Kind == kind
}

func (f fields) scalar(n *yaml.Node, t reflect.Type) any {
	tag := n.ShortTag()
	switch t.Kind() {
	case reflect.String:
		if tag == "!!str" || tag == "!!timestamp" {
			return n.Value
		}
		f.at(n)("wrong-type", "expected text", "put the value in quotes")
	case reflect.Bool:
		if tag == "!!bool" {
			return strings.EqualFold(n.Value, "true")
		}
		f.at(n)("wrong-type", "expected true or false", "write true or false, without quotes")
	case reflect.Int, reflect.Int64:
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil && tag == "!!int" {
			return i
		}
		f.at(n)("wrong-type", "expected a whole number", "write it in decimal digits, without quotes")
	default:
		f.at(n)("wrong-type", fmt.Sprintf("no value of type %s can be read", t), "this is a defect of Changeover; please report it")
	}
	return nil
}

// object reads a mapping with known fields.
func (f fields) object(n *yaml.Node, t reflect.Type) map[string]any {
	known := fieldsOf(t)
	out := map[string]any{}
	f.pairs(n, func(key, value *yaml.Node) {
		name := key.Value
		ft, ok := known[name]
		top := t == reflect.TypeFor[types.Kustomization]()
		switch {
		case top && forbidden[name] != "":
			f.at(key)("forbidden-field", fmt.Sprintf("a kustomization of a plan may not have %q", name), forbidden[name])
		case !ok || top && !slices.Contains(allowed, name):
			f.at(key)("unknown-field", fmt.Sprintf("unknown field %q", name), meant(name, known))
		default:
			if v := f.value(value, ft); v != nil {
				out[name] = v
			}
		}
	})
	return out
}

// pairs calls visit for every pair with a good key.
func (f fields) pairs(n *yaml.Node, visit func(key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch line, again := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge":
			f.at(key)("alias", "an anchor, alias or merge key", "write the fields out: kustomizations are checked as they are written")
		case key.ShortTag() != "!!str":
			f.at(key)("wrong-type", "a key must be text", "put it in quotes")
		case again:
			f.at(key)("duplicate-key", fmt.Sprintf("key %q is already at line %d", key.Value, line), "remove one of the two")
		default:
			seen[key.Value] = key.Line
			visit(key, n.Content[i+1])
		}
	}
}

// meant is a hint for a field that there is not.
func meant(name string, known map[string]reflect.Type) string {
	names := make([]string, 0, len(known))
	for k := range known {
		if strings.EqualFold(k, name) || strings.EqualFold(k, name+"s") || strings.EqualFold(k+"s", name) {
			return fmt.Sprintf("did you mean %q?", k)
		}
		names = append(names, k)
	}
	slices.Sort(names)
	if len(names) > 12 {
		return ""
	}
	return "fields here: " + strings.Join(names, ", ")
}

// fieldsOf lists the fields of a struct as they stand in files.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case f.IsExported() && name != "-":
			out[name] = f.Type
		}
	}
	return out
}

// field is the value of a key of a mapping; nil where there is none.
func field(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// items are the elements of a list.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// text is the value of a scalar that is text, and whether it is one.
func text(n *yaml.Node) (string, bool) {
	if n == nil || n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp" {
		return "", false
	}
	return n.Value, true
}
