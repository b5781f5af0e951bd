package filetransform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/transform"
)

// Format of what is written.
type Format string

// The formats.
const (
	JSON Format = "json"
	YAML Format = "yaml"
)

// Options of a run.
type Options struct {
	// Patterns of the files that are read, as a shell has them.
	Patterns []string
	// Maps is compiled from With, and With its document.
	Maps *transform.Files
	With *plan.Document
	// Out is the folder that is written to; it is made where it is not there.
	Out    string
	Format Format
	DryRun bool
}

// Made is one file that is written.
type Made struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Content as it is written.
	Content string `json:"content"`
}

// Result of a run.
type Result struct {
	Made []Made `json:"made"`
	// Left are the files for which `when` does not hold.
	Left []string `json:"left,omitempty"`
	// Problems of the files. Where there is one, nothing was written.
	Problems []plan.Problem `json:"problems,omitempty"`
}

// Run reads, maps and writes. An error says why nothing was, or could be.
func Run(ctx context.Context, o Options) (*Result, error) {
	files, err := expand(o.Patterns)
	if err != nil {
		return nil, err
	}
	r, taken := &Result{}, map[string]string{}
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.one(ctx, o, path, taken, files); err != nil {
			return nil, err
		}
	}
	if len(r.Problems) > 0 || o.DryRun {
		return r, nil
	}
	return r, write(o.Out, r.Made)
}

// expand finds the files, each once, sorted.
func expand(patterns []string) ([]string, error) {
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("find files %q: %w", p, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("find files %q: there is none", p)
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (r *Result) one(ctx context.Context, o Options, path string, taken map[string]string, files []string) error {
	report := func(code, message, hint string) {
		r.Problems = append(r.Problems, plan.Problem{File: path, Severity: plan.SeverityError, Code: code, Message: message, Hint: hint})
	}
	v, bad, err := read(path)
	if err != nil {
		return err
	}
	if bad != nil {
		r.Problems = append(r.Problems, *bad)
		return nil
	}
	base := filepath.Base(path)
	name, made, err := o.Maps.Map(ctx, v, transform.File{Name: strings.TrimSuffix(base, filepath.Ext(base)), Path: filepath.ToSlash(path)})
	var f *transform.Failure
	switch {
	case errors.As(err, &f):
		line, column := o.With.Locate("spec."+f.Field, 0)
		report("transform", fmt.Sprintf("spec.%s, at %s:%d:%d: %s", f.Field, o.With.File, line, column, f.Why), "")
		return nil
	case err != nil:
		return err
	case made == nil:
		r.Left = append(r.Left, path)
		return nil
	}
	to := filepath.Join(o.Out, name+"."+string(o.Format))
	if other, ok := taken[to]; ok {
		report("duplicate-name", fmt.Sprintf("it becomes %s, as does %s", to, other), "give the transform a name that hangs on file.name or the document")
		return nil
	}
	taken[to] = path
	if slices.ContainsFunc(files, func(in string) bool { return same(in, to) }) {
		report("overwrite", fmt.Sprintf("it becomes %s, which is one of the files that are read", to), "write to another folder")
		return nil
	}
	content, err := encode(made, o.Format)
	if err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	r.Made = append(r.Made, Made{From: path, To: to, Content: content})
	return nil
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func encode(v map[string]any, f Format) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", err
	}
	if f == YAML {
		b, err = yaml.JSONToYAML(b)
		return string(b), err
	}
	return string(b) + "\n", nil
}

// write writes all files beside their places, and then moves each into its own.
func write(dir string, made []Made) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder %q: %w", dir, err)
	}
	temps := make([]string, 0, len(made))
	defer func() {
		for _, t := range temps {
			_ = os.Remove(t) // moved, or of a run that failed
		}
	}()
	for _, m := range made {
		t, err := writeTemp(dir, m)
		if t != "" {
			temps = append(temps, t)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w; nothing was changed", m.To, err)
		}
	}
	for i, m := range made {
		if err := os.Rename(temps[i], m.To); err != nil {
			return fmt.Errorf("write %s: %w; %d of %d files are written", m.To, err, i, len(made))
		}
	}
	return nil
}

func writeTemp(dir string, m Made) (path string, err error) {
	f, err := os.CreateTemp(dir, ".changeover-*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(m.Content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}
