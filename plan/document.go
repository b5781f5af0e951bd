package plan

import (
	"strings"

	"go.yaml.in/yaml/v4"
	syaml "sigs.k8s.io/yaml"
)

// Document is one plan file as it was read.
type Document struct {
	File   string
	Source []byte
	// Plan is never nil: what could be read, with defaults. It is whole only
	// where Decode gave no error.
	Plan *Plan

	lines []string
}

// Decode reads a plan file. See Document.
func Decode(file string, src []byte) (*Document, []Problem) {
	d := &Document{File: file, Source: src, Plan: &Plan{}, lines: strings.Split(string(src), "\n")}
	if err := syaml.UnmarshalStrict(src, d.Plan); err != nil {
		return d, []Problem{d.Problem("", 0, "syntax", err.Error(), "")}
	}
	setDefaults(d.Plan)
	return d, nil
}

func setDefaults(p *Plan) {
	if p.Metadata.Namespace == "" {
		p.Metadata.Namespace = DefaultNamespace
	}
	for name, s := range p.Spec.Signals {
		if s.MaxAge == 0 {
			s.MaxAge = DefaultMaxAge
			p.Spec.Signals[name] = s
		}
	}
	for i := range p.Spec.Phases {
		r := &p.Spec.Phases[i].Rollback
		if r.OnBreach == "" {
			r.OnBreach = Revert
		}
		if r.Depth == "" {
			r.Depth = DepthPromotion
		}
	}
}

// The defaults of a plan. The others are Revert and DepthPromotion.
const (
	DefaultNamespace = "default"
	DefaultMaxAge    = Duration(5 * 60 * 1e9)
)

// Locate returns the place of a field's value.
func (d *Document) Locate(path string, offset int) (line, column int) { return 1, 1 }

// Problem makes a problem at a field's value.
func (d *Document) Problem(path string, offset int, code, message, hint string) Problem {
	line, column := d.Locate(path, offset)
	return Problem{File: d.File, Line: line, Column: column, Severity: SeverityError, Code: code, Message: message, Hint: hint, Source: d.lines[line-1]}
}

// IsPlan reports whether a file claims to be a MigrationPlan.
func IsPlan(src []byte) bool {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	if err := yaml.Unmarshal(src, &head); err != nil {
		return false
	}
	return head.Kind == Kind && strings.HasPrefix(head.APIVersion, "changeover.dev/")
}
