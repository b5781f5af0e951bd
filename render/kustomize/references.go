package kustomize

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"sigs.k8s.io/kustomize/api/konfig"
)

// references checks every path of the kustomization, and writes it anew such
// that it can be nothing but a path.
func (u *unit) references() {
	for _, name := range []string{"resources", "bases"} {
		for _, n := range u.list(name) {
			u.resource(n)
		}
	}
	for _, n := range u.list("components") {
		u.component(n)
	}
	for _, n := range u.list("configurations") {
		u.file(n, u.at, u.s.manifest)
	}
	for _, n := range u.list("patchesStrategicMerge") {
		u.patchOrPath(n, u.at)
	}
	for _, n := range slices.Concat(u.list("patches"), u.list("patchesJson6902")) {
		u.patch(n, "patch", u.at)
	}
	for _, n := range u.list("replacements") {
		u.file(field(n, "path"), u.at, u.s.manifest)
	}
	for _, n := range u.list("configMapGenerator") {
		u.generator(n, u.at, false)
		u.s.reserved(field(n, "name"), u.at)
	}
	for _, n := range u.list("secretGenerator") {
		u.generator(n, u.at, true)
	}
	u.plugins("generators", generators)
	u.plugins("transformers", transformers)
	u.plugins("validators", transformers)
}

func (u *unit) list(name string) []*yaml.Node { return items(field(u.root, name)) }

// places makes the refuse of a node.
type places func(*yaml.Node) refuse

// write gives a node another text.
func write(n *yaml.Node, value string) {
	n.Value, n.Tag, n.Style = value, "!!str", yaml.DoubleQuotedStyle
}

// find resolves the reference that a node holds, if it holds text.
func (u *unit) find(n *yaml.Node, at places) (t target, ok bool) {
	ref, ok := text(n)
	if !ok {
		return target{}, false // reported where it is no text
	}
	if t, ok = u.s.find(u.dir, ref, at(n)); ok {
		write(n, relative(u.dir, t.path))
	}
	return t, ok
}

// resource checks an entry of resources: a file with objects, or the folder of
// another kustomization.
func (u *unit) resource(n *yaml.Node) {
	switch t, ok := u.find(n, u.at); {
	case !ok:
	case t.dir:
		u.s.visit(t.path, false, u.at(n))
	default:
		u.open(t, u.at(n), u.s.resources)
	}
}

// component checks an entry of components: the folder of a Component.
func (u *unit) component(n *yaml.Node) {
	switch t, ok := u.find(n, u.at); {
	case !ok:
	case !t.dir:
		u.at(n)("not-a-folder", fmt.Sprintf("%q is a file", t.path), "name the folder that holds the Component's kustomization.yaml")
	default:
		u.s.visit(t.path, true, u.at(n))
	}
}

// file checks a reference to a file, reads it, and passes it on.
func (u *unit) file(n *yaml.Node, at places, then func(*source)) {
	if t, ok := u.find(n, at); ok {
		u.open(t, at(n), then)
	}
}

// open reads a file that a kustomization names, where kustomize would.
func (u *unit) open(t target, no refuse, then func(*source)) {
	switch {
	case t.dir:
		no("not-a-file", fmt.Sprintf("%q is a folder", t.path), "name a file")
	case !within(t.path, u.dir):
		no("outside-folder", fmt.Sprintf("the file %q is not in the kustomization's own folder %q or below it; kustomize refuses that", t.path, u.dir),
			"move the file, or name the folder of another kustomization that lists it")
	case slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(t.path)):
		no("kustomization-file", fmt.Sprintf("%q is a kustomization, not a file to read", t.path), "name its folder under `resources`")
	default:
		if src := u.s.read(t.path, no); src != nil {
			then(src)
		}
	}
}

// patchOrPath checks an entry that is a patch itself, or the path of one.
func (u *unit) patchOrPath(n *yaml.Node, at places) {
	value, ok := text(n)
	switch {
	case !ok:
	case inline(value):
		u.s.inlinePatch(value, at(n))
		// With a line break in front nothing can take it for an address.
		write(n, "---\n"+value)
	default:
		u.file(n, at, u.s.patch)
	}
}

// inline reports whether an entry that may be YAML or a path is YAML.
func inline(value string) bool {
	if !strings.ContainsAny(value, "{[") {
		return strings.Contains(value, "\n")
	}
	docs, err := load([]byte(value))
	return strings.Contains(value, "\n") || err == nil && len(docs) > 0 && docs[0].Kind != yaml.ScalarNode
}

// patch checks an object with the path of a patch, or a patch in a field.
func (u *unit) patch(n *yaml.Node, body string, at places) {
	u.file(field(n, "path"), at, u.s.patch)
	if c := field(n, body); c != nil {
		if value, ok := text(c); ok {
			u.s.inlinePatch(value, at(c))
		}
	}
}

// generator checks what a generator of ConfigMaps or Secrets reads.
func (u *unit) generator(n *yaml.Node, at places, secret bool) {
	if secret {
		at = discreet(at)
	}
	for _, c := range items(field(n, "literals")) {
		if value, ok := text(c); ok && strings.Index(value, "=") < 1 {
			at(c)("literal", "a literal is KEY=VALUE", "")
		}
	}
	for _, c := range items(field(n, "files")) {
		u.keyed(c, at, u.data(secret, wholeFile))
	}
	for _, c := range append(items(field(n, "envs")), field(n, "env")) {
		u.file(c, at, u.data(secret, envFile))
	}
}

// discreet does not repeat what is no path to a file that is there: it may be a
// Secret's data at the wrong place.
func discreet(at places) places {
	return func(n *yaml.Node) refuse {
		return func(code, message, hint string) {
			switch code {
			case "missing", "remote", "path", "absolute-path", "outside-repository":
				message = "this is no path to a file of this repository"
			}
			at(n)(code, message, hint)
		}
	}
}

// keyed checks an entry of a generator's files: PATH or KEY=PATH.
func (u *unit) keyed(n *yaml.Node, at places, then func(*source)) {
	value, ok := text(n)
	if !ok {
		return
	}
	key, ref, found := strings.Cut(value, "=")
	if !found || remote(value) {
		key, ref = path.Base(value), value
	}
	if key == "" || !remote(value) && strings.Contains(ref, "=") {
		at(n)("path", fmt.Sprintf("%q is neither PATH nor KEY=PATH", shown(value)), "")
		return
	}
	write(n, ref)
	u.file(n, at, then)
	write(n, key+"="+n.Value)
}

// data takes a file as it is.
func (u *unit) data(secret bool, form secretForm) func(*source) {
	return func(src *source) {
		u.s.tree.files[src.path] = src.data
		if secret {
			u.s.tree.secrets[src.path] = form
		}
	}
}
