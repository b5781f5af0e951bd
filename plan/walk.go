package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// walker goes through the YAML nodes beside the Go types. It reports what does
// not fit and writes the rest as JSON.
type walker struct {
	d        *Document
	problems []Problem
	json     []byte
	// bad are the paths of fields that were refused, so that validation does
	// not report what only follows from that.
	bad []string
}

func (w *walker) add(n *yaml.Node, code, message, hint string) {
	if w.full() {
		return
	}
	w.problems = append(w.problems, w.d.problem(n.Line, n.Column, code, message, hint))
}

// full reports whether there are more problems than are shown.
func (w *walker) full() bool { return len(w.problems) > maxProblems }

// refuse reports a value and marks its path.
func (w *walker) refuse(path string, n *yaml.Node, code, message, hint string) bool {
	w.bad = append(w.bad, path)
	w.add(n, code, message, hint)
	return false
}

// value appends the JSON of a node. It returns false, with nothing appended,
// where the node does not fit the type.
func (w *walker) value(path string, n *yaml.Node, t reflect.Type) bool {
	if n.Kind == yaml.AliasNode || tagged(n) {
		w.bad = append(w.bad, path) // reported by indirect
		return false
	}
	if read := scalars[t]; read != nil {
		return read(w, path, n)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.value(path, n, t.Elem())
	case reflect.Struct:
		return w.expect(path, n, yaml.MappingNode, "an object") && w.object(path, n, t)
	case reflect.Map:
		return w.expect(path, n, yaml.MappingNode, "an object") && w.dictionary(path, n, t.Elem())
	case reflect.Slice:
		return w.expect(path, n, yaml.SequenceNode, "a list") && w.list(path, n, t.Elem())
	case reflect.String:
		return w.text(path, n)
	case reflect.Bool:
		return w.boolean(path, n)
	case reflect.Int:
		return w.integer(path, n)
	case reflect.Float64:
		return w.number(path, n)
	}
	return w.refuse(path, n, "internal", fmt.Sprintf("no reader for %s", t), "")
}

// scalars are the types with a form of their own.
var scalars map[reflect.Type]func(*walker, string, *yaml.Node) bool

func init() {
	scalars = map[reflect.Type]func(*walker, string, *yaml.Node) bool{
		reflect.TypeFor[Duration]():  (*walker).duration,
		reflect.TypeFor[Percent]():   (*walker).percent,
		reflect.TypeFor[Bake]():      (*walker).bake,
		reflect.TypeFor[instant]():   (*walker).instant,
		reflect.TypeFor[NotBefore](): (*walker).notBefore,
		reflect.TypeFor[Date]():      (*walker).date,
		reflect.TypeFor[Share]():     (*walker).share,
		reflect.TypeFor[Timestamp](): (*walker).instant,
	}
}

// wholes are structs that files do not give by their fields.
var wholes = []reflect.Type{reflect.TypeFor[Bake](), reflect.TypeFor[NotBefore](), reflect.TypeFor[Share](), reflect.TypeFor[Timestamp]()}

// field is a field of a struct as it stands in files.
type field struct {
	name     string
	typ      reflect.Type
	required bool
}

// fieldsOf lists the fields of every struct type of a plan and of an approval,
// in order.
var fieldsOf = func() map[reflect.Type][]field {
	all := map[reflect.Type][]field{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(t.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if _, ok := all[t]; ok || slices.Contains(wholes, t) {
			return
		}
		all[t] = nil
		for f := range t.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			all[t] = append(all[t], field{name: name, typ: f.Type, required: options == ""})
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Plan]())
	visit(reflect.TypeFor[Approval]())
	visit(reflect.TypeFor[FileTransform]())
	return all
}()

// object reads a mapping with known fields.
func (w *walker) object(path string, n *yaml.Node, t reflect.Type) bool {
	fields := fieldsOf[t]
	seen := map[string]bool{}
	w.json = append(w.json, '{')
	empty := true
	w.pairs(path, n, func(name string, key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			w.unknown(path, key, t, seen)
			return
		}
		seen[name] = true
		empty = !w.member(join(path, name), name, value, fields[i].typ, empty) && empty
	})
	w.json = append(w.json, '}')
	for _, f := range fields {
		if f.required && !seen[f.name] {
			at := w.d.nodes[path]
			where := at.value
			if at.key != nil {
				where = at.key
			}
			w.refuse(join(path, f.name), where, "missing-field", fmt.Sprintf("field %q is missing", join(path, f.name)), "")
		}
	}
	return true
}

// unknown reports a key that is no field. The field that it probably means
// counts as seen.
func (w *walker) unknown(path string, key *yaml.Node, t reflect.Type, seen map[string]bool) {
	if w.full() {
		return
	}
	fields := fieldsOf[t]
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	hint := "fields here: " + strings.Join(names, ", ")
	if len(names) == 0 {
		hint = "it takes no fields: write {}"
	}
	if meant := nearest(key.Value, names); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
		seen[meant] = true
		w.bad = append(w.bad, join(path, meant))
	}
	if known := misplaced[t][key.Value]; known != "" {
		hint = known
	}
	w.refuse(join(path, key.Value), key, "unknown-field", fmt.Sprintf("unknown field %q", key.Value), hint)
}

// dictionary reads a mapping with free keys.
func (w *walker) dictionary(path string, n *yaml.Node, elem reflect.Type) bool {
	w.json = append(w.json, '{')
	empty := true
	w.pairs(path, n, func(name string, _, value *yaml.Node) {
		empty = !w.member(join(path, name), name, value, elem, empty) && empty
	})
	w.json = append(w.json, '}')
	return true
}

// member appends one field of an object, if it is good.
func (w *walker) member(path, name string, value *yaml.Node, t reflect.Type, first bool) bool {
	mark := len(w.json)
	if !first {
		w.json = append(w.json, ',')
	}
	w.quote(name)
	w.json = append(w.json, ':')
	if !w.value(path, value, t) {
		w.json = w.json[:mark]
		return false
	}
	return true
}

// maxKey is the longest key of an object in bytes.
const maxKey = 256

// pairs calls visit for every pair with a good key, and notes where it stands.
func (w *walker) pairs(path string, n *yaml.Node, visit func(name string, key, value *yaml.Node)) {
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		switch {
		case key.Kind == yaml.AliasNode, key.Tag == "!!merge", tagged(key):
			w.bad = append(w.bad, path) // reported by indirect
		case key.Kind != yaml.ScalarNode:
			w.refuse(path, key, "wrong-type", "a key must be text", "")
		case len(key.Value) > maxKey:
			w.refuse(path, key, "wrong-type", fmt.Sprintf("the key has %d bytes; at most %d are allowed", len(key.Value), maxKey), "")
		case first[key.Value] != nil:
			w.refuse(at, key, "duplicate-key", fmt.Sprintf("key %q is already at line %d", key.Value, first[key.Value].Line), "remove one of the two")
		default:
			first[key.Value] = key
			w.d.nodes[at] = place{key: key, value: value}
			visit(key.Value, key, value)
		}
	}
}

// maxList is the most elements of a list.
const maxList = 1000

// list reads a sequence. An element that does not fit leaves a null, so that
// the others keep their places.
func (w *walker) list(path string, n *yaml.Node, elem reflect.Type) bool {
	if len(n.Content) == 0 {
		return w.refuse(path, n, "empty-list", "the list is empty", "give an element, or leave the field out")
	}
	if len(n.Content) > maxList {
		return w.refuse(path, n, "list-too-long", fmt.Sprintf("the list has %d elements; at most %d are allowed", len(n.Content), maxList), "")
	}
	w.json = append(w.json, '[')
	for i, c := range n.Content {
		if i > 0 {
			w.json = append(w.json, ',')
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		w.d.nodes[at] = place{value: c}
		if !w.value(at, c, elem) {
			w.json = append(w.json, "null"...)
		}
	}
	w.json = append(w.json, ']')
	return true
}

// quote appends a JSON string.
func (w *walker) quote(s string) {
	b, err := json.Marshal(s)
	if err != nil { // never for a string
		b = []byte(`""`)
	}
	w.json = append(w.json, b...)
}

// text reads a string.
func (w *walker) text(path string, n *yaml.Node) bool {
	if !w.expect(path, n, yaml.ScalarNode, "text") {
		return false
	}
	if n.Tag != "!!str" {
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected text, got %s", got(n)), fmt.Sprintf("put it in quotes: %q", n.Value))
	}
	if strings.TrimSpace(n.Value) == "" {
		return w.refuse(path, n, "empty-text", "the text is empty", "give a value, or leave the field out")
	}
	// The raw source was scanned; escapes in quotes can still make these.
	if at := strings.IndexFunc(n.Value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); at >= 0 {
		r := []rune(n.Value[at:])[0]
		w.bad = append(w.bad, path)
		w.problems = append(w.problems, w.d.Problem(path, len([]rune(n.Value[:at])), "control-character", fmt.Sprintf("control character %U", r), "remove it"))
		return false
	}
	w.quote(n.Value)
	return true
}

// expect checks the kind of a node.
func (w *walker) expect(path string, n *yaml.Node, kind yaml.Kind, want string) bool {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null" && (kind != yaml.ScalarNode || n.Value == ""):
		where := n
		if key := w.d.nodes[path].key; key != nil && n.Value == "" {
			where = key
		}
		return w.refuse(path, where, "wrong-type", fmt.Sprintf("expected %s, got nothing", want), "give a value, or leave the field out")
	case n.Kind != kind:
		return w.refuse(path, n, "wrong-type", fmt.Sprintf("expected %s, got %s", want, got(n)), "")
	}
	return true
}

// got names what a node is, for people.
func got(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	kinds := map[string]string{"!!str": "text", "!!int": "the number", "!!float": "the number", "!!bool": "the truth value",
		"!!null": "null", "!!timestamp": "the date"}
	kind := kinds[n.Tag]
	if kind == "" || kind == "null" {
		return "null"
	}
	return fmt.Sprintf("%s %s", kind, shorten(n.Value))
}

// shorten quotes a value for a message, long ones cut.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strconv.Quote(s)
}
