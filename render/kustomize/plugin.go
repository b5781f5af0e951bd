package kustomize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// builtin says what a plugin that is built into kustomize reads.
type builtin func(u *unit, n *yaml.Node, at places)

func nothing(*unit, *yaml.Node, places) {}

// generators and transformers are the plugins that are built into kustomize,
// without the one that runs helm.
var (
	generators = map[string]builtin{
		"ConfigMapGenerator": func(u *unit, n *yaml.Node, at places) {
			u.generator(n, at, false)
			u.s.reserved(field(n, "name"), at)
			u.s.reserved(field(field(n, "metadata"), "name"), at)
		},
		"SecretGenerator":    func(u *unit, n *yaml.Node, at places) { u.generator(n, at, true) },
		"IAMPolicyGenerator": nothing,
	}
	transformers = map[string]builtin{
		"AnnotationsTransformer":   nothing,
		"HashTransformer":          nothing,
		"ImageTagTransformer":      nothing,
		"LabelTransformer":         nothing,
		"NamespaceTransformer":     nothing,
		"PatchJson6902Transformer": func(u *unit, n *yaml.Node, at places) { u.patch(n, "jsonOp", at) },
		"PatchStrategicMergeTransformer": func(u *unit, n *yaml.Node, at places) {
			for _, c := range items(field(n, "paths")) {
				u.patchOrPath(c, at)
			}
			if value, ok := text(field(n, "patches")); ok {
				u.s.inlinePatch(value, at(field(n, "patches")))
			}
		},
		"PatchTransformer":        func(u *unit, n *yaml.Node, at places) { u.patch(n, "patch", at) },
		"PrefixSuffixTransformer": nothing,
		"PrefixTransformer":       nothing,
		"SuffixTransformer":       nothing,
		"ReplacementTransformer": func(u *unit, n *yaml.Node, at places) {
			for _, c := range items(field(n, "replacements")) {
				u.file(field(c, "path"), at, u.s.manifest)
			}
		},
		"ReplicaCountTransformer": nothing,
		"ValueAddTransformer":     func(u *unit, n *yaml.Node, at places) { u.file(field(n, "targetFilePath"), at, u.s.manifest) },
	}
)

// reading are the keys of plugins under which they have what they read.
// kustomize takes them in upper and lower case alike, this package as they are
// written here.
var reading = []string{"apiVersion", "kind", "metadata", "name", "files", "envs", "env", "path", "paths", "patch", "patches", "jsonOp", "replacements", "targetFilePath", "literals"}

// plugins checks the entries of a list of plugins: files, or YAML inline. They
// are written anew as JSON, one entry for each plugin.
func (u *unit) plugins(name string, known map[string]builtin) {
	list := field(u.root, name)
	var out []*yaml.Node
	for _, n := range items(list) {
		for _, doc := range u.plugin(n, known) {
			entry := *n
			write(&entry, doc)
			out = append(out, &entry)
		}
	}
	if list != nil && list.Kind == yaml.SequenceNode {
		list.Content = out
	}
}

// plugin checks one entry and gives the configs in it as JSON.
func (u *unit) plugin(n *yaml.Node, known map[string]builtin) (out []string) {
	value, ok := text(n)
	if !ok {
		return nil
	}
	var docs []*yaml.Node
	at := func(*yaml.Node) refuse { return u.at(n) }
	if inline(value) {
		var err error
		if docs, err = load([]byte(value)); err != nil {
			_, _, message, hint := syntax(err)
			u.at(n)("syntax", message, hint)
			return nil
		}
	} else if t, ok := u.find(n, u.at); ok && t.dir {
		u.at(n)("plugin", fmt.Sprintf("%q is a folder", t.path), "name a file with the config of a plugin that is built into kustomize")
	} else if ok {
		u.open(t, u.at(n), func(src *source) {
			docs, _ = u.s.documents(src)
			at = func(n *yaml.Node) refuse { return u.s.at(src, n) }
		})
	}
	for _, doc := range docs {
		u.s.check(doc, at)
		if b, ok := u.config(doc, at, known); ok {
			out = append(out, b)
		}
	}
	return out
}

const builtInHint = "programs, containers and scripts are never run; only plugins that are built into kustomize are allowed, with apiVersion: builtin"

// config checks the config of one plugin.
func (u *unit) config(doc *yaml.Node, at places, known map[string]builtin) (string, bool) {
	kind, _ := text(field(doc, "kind"))
	version, _ := text(field(doc, "apiVersion"))
	check, ok := known[kind]
	where := func(name string) *yaml.Node {
		if n := field(doc, name); n != nil {
			return n
		}
		return doc
	}
	switch {
	case doc.Kind != yaml.MappingNode:
		at(doc)("plugin", "the config of a plugin must be an object", "")
		return "", false
	case kind == "HelmChartInflationGenerator":
		at(where("kind"))("plugin", "the plugin HelmChartInflationGenerator is not allowed", forbidden["helmCharts"])
		return "", false
	case version != "builtin":
		at(where("apiVersion"))("plugin", fmt.Sprintf("the plugin %q of apiVersion %q is not built into kustomize", kind, version), builtInHint)
		return "", false
	case !ok:
		at(where("kind"))("plugin", fmt.Sprintf("there is no such plugin built into kustomize: %q", kind), "it has here: "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		return "", false
	}
	if !u.plain(doc, at) {
		return "", false
	}
	check(u, doc, at)
	v, ok := value(doc, at)
	b, err := json.Marshal(v)
	return string(b), ok && err == nil
}

// plain refuses what kustomize could read in another way than this package.
func (u *unit) plain(doc *yaml.Node, at places) bool {
	ok := true
	bad := func(n *yaml.Node, code, message, hint string) {
		ok = false
		at(n)(code, message, hint)
	}
	name, _ := text(field(field(doc, "metadata"), "name"))
	if name == "" {
		bad(doc, "plugin", "the config of a plugin has no metadata.name", "give it one")
	}
	for _, m := range append(items(field(doc, "replacements")), doc) {
		for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
			key := m.Content[i]
			for _, r := range reading {
				if key.Value != r && strings.EqualFold(key.Value, r) {
					bad(key, "unknown-field", fmt.Sprintf("unknown field %q", key.Value), fmt.Sprintf("did you mean %q?", r))
				}
			}
		}
	}
	notes := field(field(doc, "metadata"), "annotations")
	for i := 0; notes != nil && notes.Kind == yaml.MappingNode && i+1 < len(notes.Content); i += 2 {
		if n := notes.Content[i]; strings.HasPrefix(n.Value, "config.kubernetes.io/") || strings.HasPrefix(n.Value, "config.k8s.io/") {
			bad(n, "plugin", fmt.Sprintf("the annotation %q is not allowed on a plugin", n.Value), builtInHint)
		}
	}
	return ok
}

// value is a node as json.Marshal takes it. Anchors and aliases are refused.
func value(n *yaml.Node, at places) (v any, ok bool) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		at(n)("alias", "an anchor or alias", "write the value out: plugins are checked as they are written")
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if out[n.Content[i].Value], ok = value(n.Content[i+1], at); !ok {
				return nil, false
			}
		}
		return out, n.Content == nil || !merges(n, at)
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			if out[i], ok = value(c, at); !ok {
				return nil, false
			}
		}
		return out, true
	}
	if s, ok := text(n); ok {
		return s, true
	}
	if err := n.Decode(&v); err != nil {
		at(n)("wrong-type", "the value cannot be read", "")
		return nil, false
	}
	return v, true
}

// merges refuses merge keys.
func merges(n *yaml.Node, at places) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			at(n.Content[i])("alias", "a merge key", "write the fields out: plugins are checked as they are written")
			return true
		}
	}
	return false
}
