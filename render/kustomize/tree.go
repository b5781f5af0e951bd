package kustomize

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v4"
)

// tree is what kustomize is given: kustomizations written anew, and the files
// that they read.
type tree struct {
	units     map[string]map[string]any // kustomizations by folder
	files     map[string][]byte
	manifests map[string]bool       // files of YAML
	secrets   map[string]secretForm // files that become data of Secrets
}

// secretForm is how a file becomes data of a Secret.
type secretForm int

const (
	wholeFile secretForm = iota // it is a value
	envFile                     // it has a line KEY=VALUE for each value
)

func newTree() *tree {
	return &tree{units: map[string]map[string]any{}, files: map[string][]byte{}, manifests: map[string]bool{}, secrets: map[string]secretForm{}}
}

// manifest adds a file of YAML.
func (t *tree) manifest(src *source) { t.files[src.path], t.manifests[src.path] = src.data, true }

// unit adds a kustomization.
func (t *tree) unit(dir string, k map[string]any) {
	// As kustomize does itself, after a warning on standard error.
	for old, name := range map[string]string{"bases": "resources", "imageTags": "images"} {
		if v, ok := k[old].([]any); ok {
			have, _ := k[name].([]any)
			k[name] = append(have, v...)
			delete(k, old)
		}
	}
	t.units[dir] = k
}

// hidden is what stands in place of the data of Secrets.
const hidden = "redacted"

// redacted is a tree with nothing that could be data of a Secret, and whether
// it differs from this one.
func (t *tree) redacted() (*tree, bool) {
	out, changed := newTree(), false
	for dir, k := range t.units {
		safe, ok := hideUnit(k)
		out.units[dir], changed = safe, changed || ok
	}
	for p, data := range t.files {
		safe := data
		form, secret := t.secrets[p]
		switch {
		case secret && form == envFile:
			safe = hideEnv(data)
		case secret:
			safe = []byte(hidden)
		case t.manifests[p]:
			safe = []byte(hideYAML(string(data)))
		}
		out.files[p], changed = safe, changed || !bytes.Equal(safe, data)
	}
	return out, changed
}

// hideUnit hides literals of Secrets, and what is in patches.
func hideUnit(k map[string]any) (safe map[string]any, changed bool) {
	b, err := json.Marshal(k)
	if err == nil {
		err = json.Unmarshal(b, &safe)
	}
	if err != nil {
		return nil, true
	}
	hideLists(safe)
	for _, name := range []string{"generators", "transformers", "validators"} {
		list, _ := safe[name].([]any)
		for i, v := range list {
			var config map[string]any
			s, _ := v.(string)
			if json.Unmarshal([]byte(s), &config) != nil {
				list[i] = hidden
				continue
			}
			if config["kind"] == "SecretGenerator" {
				config["literals"] = hideLiterals(config["literals"])
			}
			hideLists(config)
			for _, body := range []string{"patch", "jsonOp", "patches"} {
				hideText(config, body)
			}
			if b, err := json.Marshal(config); err == nil {
				list[i] = string(b)
			}
		}
	}
	after, err := json.Marshal(safe)
	return safe, err != nil || !bytes.Equal(b, after)
}

// hideLists hides what is in the lists of a kustomization, or of the config of
// a plugin.
func hideLists(k map[string]any) {
	for _, name := range []string{"secretGenerator", "patches", "patchesJson6902", "replacements"} {
		list, _ := k[name].([]any)
		for _, v := range list {
			m, _ := v.(map[string]any)
			switch {
			case m == nil:
			case name == "secretGenerator":
				m["literals"] = hideLiterals(m["literals"])
			case name == "replacements" && m["sourceValue"] != nil:
				m["sourceValue"] = hidden
			default:
				hideText(m, "patch")
			}
		}
	}
	for _, name := range []string{"patchesStrategicMerge", "paths"} {
		list, _ := k[name].([]any)
		for i, v := range list {
			if s, ok := v.(string); ok && inline(s) {
				list[i] = hideYAML(s)
			}
		}
	}
}

func hideText(m map[string]any, name string) {
	if s, ok := m[name].(string); ok {
		m[name] = hideYAML(s)
	}
}

func hideLiterals(v any) any {
	list, _ := v.([]any)
	for i, v := range list {
		s, _ := v.(string)
		key, _, ok := strings.Cut(s, "=")
		if !ok {
			key = hidden
		}
		list[i] = key + "=" + hidden
	}
	return v
}

func hideEnv(data []byte) []byte {
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		key, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case key == "" && !ok, strings.HasPrefix(key, "#"):
			lines[i] = ""
		case !ok:
			lines[i] = hidden
		default:
			lines[i] = key + "=" + hidden
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// hideYAML hides the data of Secrets in manifests and patches.
func hideYAML(s string) string {
	docs, err := load([]byte(s))
	if err != nil {
		return hidden
	}
	var out []string
	changed := false
	for _, doc := range docs {
		changed = hide(doc) || changed
		b, err := yaml.Marshal(doc)
		if err != nil {
			return hidden
		}
		out = append(out, string(b))
	}
	if !changed {
		return s
	}
	return "---\n" + strings.Join(out, "---\n")
}

// hide replaces what can be data of a Secret below a node, and reports whether
// there was any. A patch need not be of the kind of what it changes, so all that
// is called data counts.
func hide(n *yaml.Node) (changed bool) {
	kind, _ := text(field(n, "kind"))
	operation := field(n, "op") != nil && field(n, "path") != nil
	for i, c := range n.Content {
		name := ""
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			name = n.Content[i-1].Value
		}
		switch {
		case operation && name == "value",
			name == "stringData", name == "data",
			kind == "Secret" && name != "apiVersion" && name != "kind" && name != "type" && name != "metadata",
			kind == "Secret" && name == "metadata" && field(c, "annotations") != nil:
			changed = true
			if name == "metadata" {
				c = field(c, "annotations")
			}
			hideAll(c, map[*yaml.Node]bool{})
		default:
			changed = hide(c) || changed
		}
	}
	return changed
}

// hideAll replaces every value at and below a node.
func hideAll(n *yaml.Node, seen map[*yaml.Node]bool) {
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	if n.Kind == yaml.ScalarNode {
		write(n, hidden)
	}
	hideAll(n.Alias, seen)
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			hideAll(c, seen)
		}
	}
}
