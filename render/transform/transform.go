package transform

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/changeover-dev/changeover/plan"
)

// GVK names a kind of objects.
type GVK struct{ APIVersion, Kind string }

// Transform is one compiled transform of a plan. It is immutable and safe for
// concurrent use.
type Transform struct {
	// Plan is the transform as the plan has it.
	Plan    plan.Transform
	targets []target
	verify  []*expr
}

// target is one object that a source becomes.
type target struct {
	name         string
	gvk          GVK
	when, object *expr // when is nil where every source has it
	owned        bool
}

// Kinds that sources become, each once, in the order of the transform.
func (t *Transform) Kinds() (out []GVK) {
	seen := map[GVK]bool{}
	for _, target := range t.targets {
		if !seen[target.gvk] {
			seen[target.gvk] = true
			out = append(out, target.gvk)
		}
	}
	return out
}

// Compile compiles a transform. The error names all that is wrong with it; Check
// gives the same as problems with their places in a file.
func Compile(t plan.Transform) (*Transform, error) {
	out, faults, err := build(t)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("compile transform %q: %s", t.Name, joined(faults))
	}
	return out, nil
}

func joined(faults []fault) string {
	var texts []string
	for _, f := range faults {
		texts = append(texts, f.path+": "+f.message)
	}
	return strings.Join(texts, "; ")
}

// Check compiles every transform of a document and returns all that is wrong, each
// at the character where it is, sorted. What plan.Decode reports itself is not
// reported again.
func Check(doc *plan.Document) []plan.Problem {
	var problems []plan.Problem
	for i := range doc.Plan.Spec.Phases {
		for j, t := range doc.Plan.Spec.Phases[i].Transforms {
			at := fmt.Sprintf("spec.phases[%d].transforms[%d]", i, j)
			_, faults, err := build(t)
			if err != nil {
				return []plan.Problem{doc.Problem(at, 0, "transform-environment", fmt.Sprintf("check transforms: %v", err), "")}
			}
			problems = append(problems, placed(doc, at+".", faults)...)
		}
	}
	plan.Sort(problems)
	return problems
}

func placed(doc *plan.Document, prefix string, faults []fault) (out []plan.Problem) {
	for _, f := range faults {
		out = append(out, doc.Problem(prefix+f.path, f.offset, f.code, f.message, f.hint))
	}
	return out
}

func build(t plan.Transform) (*Transform, []fault, error) {
	out := &Transform{Plan: t}
	fields := scope{"plan": {"name", "namespace"}}
	env, err := newEnv(fields)
	if err != nil {
		return nil, nil, err
	}
	b := &builder{env: env, scope: fields}
	if _, err := labels.Parse(t.From.Selector); err != nil {
		b.faults = append(b.faults, fault{path: "from.selector", code: "transform-selector", message: "this is no selector of labels",
			hint: "write it as for kubectl -l: app=so,tier in (a,b),!old"})
	}
	for i, to := range t.To {
		path := fmt.Sprintf("to[%d]", i)
		x := target{name: to.Name, owned: to.OwnerReference}
		if to.When != "" {
			x.when = b.compile(path+".when", to.When, condition)
		}
		if x.object = b.compile(path+".object", to.Object, mapping); x.object == nil {
			continue
		}
		x.gvk = GVK{APIVersion: x.object.literal("apiVersion"), Kind: x.object.literal("kind")}
		if x.gvk.APIVersion == "" || x.gvk.Kind == "" {
			b.faults = append(b.faults, fault{path: x.object.path, code: "transform-kind", message: "the map does not say of which kind the object is",
				hint: `begin it with texts: {"apiVersion": "GROUP/VERSION", "kind": "KIND", "metadata": {"name": ...}, ...}`})
		}
		out.targets = append(out.targets, x)
	}
	if out.verify, err = b.verify(t.Verify, t.To); err != nil {
		return nil, nil, err
	}
	return out, b.faults, nil
}

// verify compiles what is read when all is written.
func (b *builder) verify(exprs []string, to []plan.TransformTarget) (out []*expr, err error) {
	if len(exprs) == 0 {
		return nil, nil
	}
	fields := scope{"targets": nil}
	for name, of := range b.scope {
		fields[name] = of
	}
	for _, t := range to {
		fields["targets"] = append(fields["targets"], t.Name)
	}
	v := &builder{scope: fields}
	if v.env, err = newEnv(fields); err != nil {
		return nil, err
	}
	for i, src := range exprs {
		if e := v.compile(fmt.Sprintf("verify[%d]", i), src, condition); e != nil {
			out = append(out, e)
		}
	}
	b.faults = append(b.faults, v.faults...)
	return out, nil
}
