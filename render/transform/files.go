package transform

import (
	"context"
	"fmt"

	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/plan"
)

// Files is one compiled transform over files. It is immutable and safe for
// concurrent use.
type Files struct {
	when, name, object *expr
	verify             []*expr
}

// File is what expressions read of a file: its name without the ending, and its
// path as the user gave it.
type File struct{ Name, Path string }

// CompileFiles compiles a transform over files. The problems have their places in
// the document; where there are any, there is no transform.
func CompileFiles(doc *plan.Document, spec plan.FileTransformSpec) (*Files, []plan.Problem) {
	fields := scope{"file": {"name", "path"}}
	env, err := newEnv(fields)
	if err != nil {
		return nil, []plan.Problem{doc.Problem("spec", 0, "transform-environment", fmt.Sprintf("check the transform: %v", err), "")}
	}
	b := &builder{env: env, scope: fields}
	out := &Files{object: b.compile("object", spec.Object, mapping)}
	if spec.When != "" {
		out.when = b.compile("when", spec.When, condition)
	}
	if spec.Name != "" {
		out.name = b.compile("name", spec.Name, text)
	}
	if len(spec.Verify) > 0 {
		v := &builder{scope: scope{"file": fields["file"], "target": nil}}
		if v.env, err = newEnv(v.scope); err != nil {
			return nil, []plan.Problem{doc.Problem("spec.verify", 0, "transform-environment", fmt.Sprintf("check the transform: %v", err), "")}
		}
		for i, src := range spec.Verify {
			out.verify = append(out.verify, v.compile(fmt.Sprintf("verify[%d]", i), src, condition))
		}
		b.faults = append(b.faults, v.faults...)
	}
	if problems := placed(doc, "spec.", b.faults); len(problems) > 0 {
		plan.Sort(problems)
		return nil, problems
	}
	return out, nil
}

// Map makes the document that a file becomes; nil where `when` does not hold. Name
// is that of the file that is written, without its ending. Errors are *Failure.
func (t *Files) Map(ctx context.Context, source any, f File) (name string, made map[string]any, err error) {
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	vars := vars{"object": source, "file": map[string]string{"name": f.Name, "path": f.Path}}
	if t.when != nil {
		if ok, err := t.when.holds(ctx, vars); err != nil || !ok {
			return "", nil, err
		}
	}
	name = f.Name
	if t.name != nil {
		v, err := t.name.eval(ctx, vars)
		if err != nil {
			return "", nil, err
		}
		s, ok := v.(types.String)
		if !ok || !pathSafe.MatchString(string(s)) {
			return "", nil, &Failure{Field: "name", Why: "the result cannot be the name of a file: use letters, digits, -, _ and ."}
		}
		name = string(s)
	}
	if made, err = t.object.object(ctx, vars); err != nil {
		return "", nil, err
	}
	vars["target"] = made
	for _, e := range t.verify {
		ok, err := e.holds(ctx, vars)
		if err != nil {
			return "", nil, err
		}
		if !ok {
			return "", nil, &Failure{Field: e.path, Why: "it does not hold: " + e.src}
		}
	}
	return name, made, nil
}
