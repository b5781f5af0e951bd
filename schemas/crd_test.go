package schemas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/schemas"
)

const (
	planPackage = "github.com/changeover-dev/changeover/plan"
	apiPackage  = "github.com/changeover-dev/changeover/reconciler/kube/api"
	crdFile     = "changeover.dev_migrationplans.yaml"
)

func TestTheDefinitionIsThatOfTheTypes(t *testing.T) {
	want := definition(t)
	got := schemas.Definition
	if *update {
		if err := os.WriteFile(crdFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		got = want
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not that of the types: run go generate ./schemas", crdFile)
	}
}

// definition generates the CustomResourceDefinition with the parser of
// controller-gen. The command alone will not do: it refuses plan.Bake, and it
// reads no UnmarshalJSON, so that a duration would be a number.
func definition(t *testing.T) []byte {
	t.Helper()
	roots, err := loader.LoadRoots(apiPackage)
	if err != nil {
		t.Fatal(err)
	}
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		t.Fatal(err)
	}
	p := &crd.Parser{
		Collector:           &markers.Collector{Registry: registry},
		Checker:             &loader.TypeChecker{NodeFilters: []loader.NodeFilter{crd.Generator{}.CheckFilter()}},
		AllowDangerousTypes: true, // plan.Percent is a float
	}
	crd.AddKnownTypes(p)
	p.PackageOverrides[planPackage] = forms(t)
	p.NeedPackage(roots[0])
	kind := schema.GroupKind{Group: "changeover.dev", Kind: plan.Kind}
	p.NeedCRDFor(kind, nil)
	if loader.PrintErrors(roots, packages.TypeError) { // types of other packages are not checked
		t.Fatal("the types cannot be read")
	}
	d := p.CustomResourceDefinitions[kind]
	crd.FixTopLevelMetadata(d)
	root := d.Spec.Versions[0].Schema.OpenAPIV3Schema
	spec := root.Properties["spec"]
	tighten(&spec, reflect.TypeFor[plan.Spec]())
	// Rules over texts without a bound would cost too much.
	bound(spec.Properties["position"].Properties, "phase")
	phase := spec.Properties["phases"].Items.Schema
	bound(phase.Properties, "name")
	// Rules cannot count in lists of lists, which have no bound.
	phase.Properties["routes"].Items.Schema.OneOf = []apiextensions.JSONSchemaProps{{Required: []string{"to"}}, {Required: []string{"respond"}}}
	root.Properties["spec"] = spec
	return written(t, d)
}

// forms are the schemas of the plan's types that have a form of their own in
// files, and of those that are one of some words.
func forms(t *testing.T) crd.PackageOverride {
	words := readDocs(t).words
	return func(p *crd.Parser, pkg *loader.Package) {
		set := func(name string, s apiextensions.JSONSchemaProps) {
			p.Schemata[crd.TypeIdent{Package: pkg, Name: name}] = s
		}
		set("Duration", apiextensions.JSONSchemaProps{Type: "string", MinLength: new(int64(2)), Pattern: durationPattern})
		set("Percent", apiextensions.JSONSchemaProps{Type: "number", Minimum: new(0.0), Maximum: new(100.0)})
		set("Timestamp", apiextensions.JSONSchemaProps{Type: "string", Pattern: timePattern})
		// A number or the word position.
		set("Share", apiextensions.JSONSchemaProps{XPreserveUnknownFields: new(true)})
		set("Date", apiextensions.JSONSchemaProps{Type: "string", Pattern: datePattern})
		// One duration or a map: a structural schema cannot say that.
		set("Bake", apiextensions.JSONSchemaProps{XPreserveUnknownFields: new(true)})
		set("NotBefore", apiextensions.JSONSchemaProps{XPreserveUnknownFields: new(true)})
		for _, name := range []string{"OnBreach", "Depth", "Dest", "Promotion", "Absent", "SQLDriver"} {
			s := apiextensions.JSONSchemaProps{Type: "string"}
			for _, w := range words[name] {
				b, err := json.Marshal(w)
				if err != nil {
					t.Fatal(err)
				}
				s.Enum = append(s.Enum, apiextensions.JSON{Raw: b})
			}
			if len(s.Enum) == 0 {
				t.Fatalf("no words of plan.%s were found", name)
			}
			set(name, s)
		}
		p.AddPackage(pkg)
	}
}

// tighten refuses empty texts and lists, which no plan has, and asks for the
// fields that the decoder asks for: the parser does not know omitzero.
func tighten(s *apiextensions.JSONSchemaProps, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case s.Type == "string" && s.MinLength == nil && s.Enum == nil:
		s.MinLength = new(int64(1))
	case s.Type == "array":
		s.MinItems = new(int64(1))
		tighten(s.Items.Schema, t.Elem())
	case s.AdditionalProperties != nil:
		tighten(s.AdditionalProperties.Schema, t.Elem())
	case s.Type == "object":
		s.Required = nil
		for f := range t.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if options == "" {
				s.Required = append(s.Required, name)
			}
			p := s.Properties[name]
			tighten(&p, f.Type)
			s.Properties[name] = p
		}
	}
}

// bound gives the name of a phase its greatest length.
func bound(properties map[string]apiextensions.JSONSchemaProps, name string) {
	s := properties[name]
	s.MaxLength = new(int64(63))
	properties[name] = s
}

// written is a definition without what only an API server fills in.
func written(t *testing.T, d apiextensions.CustomResourceDefinition) []byte {
	t.Helper()
	d.APIVersion, d.Kind = apiextensions.SchemeGroupVersion.String(), "CustomResourceDefinition"
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		t.Fatal(err)
	}
	delete(object, "status")
	delete(object["metadata"].(map[string]any), "creationTimestamp")
	out, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), ": null\n") {
		t.Error("the definition has a field without a value")
	}
	return out
}
