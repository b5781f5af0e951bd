package schemas_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// object is a part of a JSON Schema.
type object = map[string]any

// durationPattern is the Prometheus syntax of durations, units from large to
// small.
const durationPattern = `^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$`

// timePattern is a time as of RFC 3339.
const timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`

// datePattern is a day.
const datePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`

// scalars are the types with a form of their own in files.
var scalars = map[reflect.Type]func() object{
	reflect.TypeFor[plan.Duration](): duration,
	reflect.TypeFor[plan.Percent](): func() object {
		return object{"type": "number", "minimum": 0, "maximum": 100}
	},
	reflect.TypeFor[plan.Date](): func() object {
		return object{"type": "string", "pattern": datePattern}
	},
	reflect.TypeFor[plan.Timestamp](): func() object {
		return object{"type": "string", "pattern": timePattern}
	},
	reflect.TypeFor[plan.Share](): func() object {
		return object{"oneOf": []any{object{"type": "number", "minimum": 0, "maximum": 100}, object{"const": "position"}}}
	},
	reflect.TypeFor[plan.Bake](): func() object {
		return orByPercent(duration())
	},
	reflect.TypeFor[plan.NotBefore](): func() object {
		return orByPercent(object{"type": "string", "pattern": timePattern})
	},
}

// orByPercent is one value, or a map from percentages to values.
func orByPercent(one object) object {
	return object{"oneOf": []any{one, object{"type": "object", "additionalProperties": one,
		"propertyNames": object{"pattern": `^[0-9]+(\.[0-9]+)?$`}}}}
}

func duration() object {
	return object{"type": "string", "minLength": 2, "pattern": durationPattern}
}

// docs are the comments and the words of package plan's types.
type docs struct {
	types  map[string]string            // by type
	fields map[string]map[string]string // by type and Go name
	words  map[string][]any             // by type: its constants, in order
}

func readDocs(t *testing.T) docs {
	t.Helper()
	d := docs{types: map[string]string{}, fields: map[string]map[string]string{}, words: map[string][]any{}}
	names, err := filepath.Glob("../plan/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range gen.Specs {
					d.add(gen, spec)
				}
			}
		}
	}
	return d
}

func (d docs) add(gen *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		d.types[s.Name.Name] = prose(gen.Doc)
		fields := map[string]string{}
		if st, ok := s.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					fields[name.Name] = prose(f.Doc)
				}
			}
		}
		d.fields[s.Name.Name] = fields
	case *ast.ValueSpec:
		typ, ok := s.Type.(*ast.Ident)
		if !ok || gen.Tok != token.CONST {
			return
		}
		for _, v := range s.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if word, err := strconv.Unquote(lit.Value); err == nil {
					d.words[typ.Name] = append(d.words[typ.Name], word)
				}
			}
		}
	}
}

// prose is a comment in one line.
func prose(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// schema is that of a type.
func (d docs) schema(t reflect.Type) object {
	if f := scalars[t]; f != nil {
		return f()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Struct:
		return d.object(t)
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Slice:
		return object{"type": "array", "minItems": 1, "items": d.schema(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	s := object{"type": "string", "minLength": 1}
	if words := d.words[t.Name()]; t.Kind() == reflect.String && words != nil {
		s = object{"enum": words}
	}
	return s
}

func (d docs) object(t reflect.Type) object {
	properties, required := object{}, []any{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s := d.schema(f.Type)
		if text := d.describe(t, f); text != "" {
			s["description"] = text
		}
		properties[name] = s
		if options == "" {
			required = append(required, name)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// describe is the comment of a field, else that of its type.
func (d docs) describe(t reflect.Type, f reflect.StructField) string {
	if text := d.fields[t.Name()][f.Name]; text != "" {
		return text
	}
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return d.types[typ.Name()]
}

// generate is the whole schema of a kind.
func generate(t *testing.T, root reflect.Type, kind string) object {
	t.Helper()
	d := readDocs(t)
	s := d.schema(root)
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = kind
	s["description"] = d.types[root.Name()]
	properties := s["properties"].(object)
	properties["apiVersion"] = object{"const": plan.APIVersion}
	properties["kind"] = object{"const": kind}
	return s
}

// labelPattern is a DNS-1123 label.
const labelPattern = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`

// generateApproval is the schema of an Approval. Its types are plain texts, so
// their forms are told here.
func generateApproval(t *testing.T) object {
	t.Helper()
	s := generate(t, reflect.TypeFor[plan.Approval](), plan.ApprovalKind)
	spec := s["properties"].(object)["spec"].(object)["properties"].(object)
	for name, pattern := range map[string]string{
		"plan":  "^(" + labelPattern + "/)?" + labelPattern + "$",
		"stop":  `^[^@]+(@(100([.]0+)?|[0-9]{1,2}([.][0-9]+)?))?$`,
		"raise": `^[0-9a-f]{12,64}$`,
		"role":  "^" + labelPattern + "$",
	} {
		spec[name].(object)["pattern"] = pattern
	}
	return s
}

// write writes a schema's file.
func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
