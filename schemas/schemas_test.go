package schemas_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/schemas"
)

var update = flag.Bool("update", false, "write the schema anew")

func TestTheSchemaIsThatOfTheTypes(t *testing.T) {
	for file, c := range map[string]struct {
		got  []byte
		want object
	}{
		"migrationplan.schema.json": {schemas.MigrationPlan, generate(t, reflect.TypeFor[plan.Plan](), plan.Kind)},
		"approval.schema.json":      {schemas.Approval, generateApproval(t)},
	} {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(c.want); err != nil {
			t.Fatal(err)
		}
		if *update {
			write(t, file, want.Bytes())
			continue
		}
		if !bytes.Equal(c.got, want.Bytes()) {
			t.Errorf("%s is not that of the types: run go generate ./schemas", file)
		}
	}
}

func load(t *testing.T, schema []byte) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, file string) any {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoodPlansFitTheSchema(t *testing.T) {
	files, err := filepath.Glob("../plan/testdata/good/*.yaml")
	examples, err2 := filepath.Glob("../examples/[^c]*/*.yaml") // examples/ci holds pipelines
	if files = append(files, examples...); err != nil || err2 != nil || len(files) < 5 {
		t.Fatalf("found %d plans, errors %v, %v", len(files), err, err2)
	}
	s := load(t, schemas.MigrationPlan)
	for _, file := range files {
		if src, err := os.ReadFile(file); err != nil || !plan.IsPlan(src) {
			continue // what an example needs beside its plan
		}
		for _, e := range check("", s, decode(t, file)) {
			t.Errorf("%s: %s", file, e)
		}
	}
}

func TestBadPlansDoNotFitTheSchema(t *testing.T) {
	s := load(t, schemas.MigrationPlan)
	for _, name := range []string{
		"api-version", "kind", "field-unknown-later", "field-unknown-translation", "field-unknown-typo", "missing-position", "list-empty",
		"type-text-for-object", "type-quoted-number", "type-object-for-list", "duration-bare-number", "duration-go-syntax",
		"percent-out-of-range", "bake-key", "rollback-words", "route-to-unknown", "cluster-later", "cluster-path-missing", "backends-service-fields",
		"gateway-api-no-parents", "gateway-api-empty-parents", "object-missing-fields", "requires-kubernetes-number",
	} {
		if len(check("", s, decode(t, "../plan/testdata/bad/"+name+".bad.yaml"))) == 0 {
			t.Errorf("%s fits the schema", name)
		}
	}
}

// check validates a value against the part of JSON Schema that is generated.
// It fails on a keyword that it does not know.
func check(path string, s map[string]any, v any) (errs []string) {
	fail := func(format string, a ...any) { errs = append(errs, path+": "+fmt.Sprintf(format, a...)) }
	for _, keyword := range sorted(s) {
		want := s[keyword]
		switch keyword {
		case "$schema", "title", "description":
		case "type":
			if !isType(want, v) {
				fail("%v is no %v", v, want)
			}
		case "const":
			if !reflect.DeepEqual(v, want) {
				fail("%v is not %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				fail("%v is none of %v", v, want)
			}
		case "oneOf":
			fits := 0
			for _, one := range want.([]any) {
				if len(check(path, one.(map[string]any), v)) == 0 {
					fits++
				}
			}
			if fits != 1 {
				fail("%v fits %d forms", v, fits)
			}
		default:
			errs = append(errs, constrain(path, keyword, want, s, v)...)
		}
	}
	return errs
}

// constrain checks the keywords that count for one type of value only.
func constrain(path, keyword string, want any, s map[string]any, v any) (errs []string) {
	ok := true
	switch x := v.(type) {
	case string:
		switch keyword {
		case "pattern":
			ok = regexp.MustCompile(want.(string)).MatchString(x)
		case "minLength":
			ok = float64(len(x)) >= want.(float64)
		}
	case float64:
		switch keyword {
		case "minimum":
			ok = x >= want.(float64)
		case "maximum":
			ok = x <= want.(float64)
		}
	case []any:
		switch keyword {
		case "minItems":
			ok = float64(len(x)) >= want.(float64)
		case "items":
			for i, e := range x {
				errs = append(errs, check(fmt.Sprintf("%s[%d]", path, i), want.(map[string]any), e)...)
			}
		}
	case map[string]any:
		errs = members(path, keyword, want, s, x)
	}
	if known := "pattern minLength minimum maximum minItems items required properties additionalProperties propertyNames"; !strings.Contains(known, keyword) {
		ok = false
	}
	if !ok {
		errs = append(errs, fmt.Sprintf("%s: %v does not fit %s %v", path, v, keyword, want))
	}
	return errs
}

func members(path, keyword string, want any, s, x map[string]any) (errs []string) {
	properties, _ := s["properties"].(map[string]any)
	switch keyword {
	case "required":
		for _, name := range want.([]any) {
			if _, ok := x[name.(string)]; !ok {
				errs = append(errs, fmt.Sprintf("%s: %s is missing", path, name))
			}
		}
	case "properties":
		for _, name := range sorted(x) {
			if p, ok := properties[name]; ok {
				errs = append(errs, check(path+"."+name, p.(map[string]any), x[name])...)
			}
		}
	case "propertyNames":
		for _, name := range sorted(x) {
			errs = append(errs, check(path+"."+name, want.(map[string]any), name)...)
		}
	case "additionalProperties":
		for _, name := range sorted(x) {
			if _, ok := properties[name]; ok {
				continue
			}
			if more, ok := want.(map[string]any); ok {
				errs = append(errs, check(path+"."+name, more, x[name])...)
			} else {
				errs = append(errs, fmt.Sprintf("%s: %s is unknown", path, name))
			}
		}
	}
	return errs
}

func isType(want, v any) bool {
	switch x := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && x == float64(int(x))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}

func sorted(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
