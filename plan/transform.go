package plan

import (
	"fmt"
	"slices"
)

// Transform makes objects of one kind into objects of others: each source becomes
// the targets whose `when` holds. Expressions are CEL over `object`, the source.
type Transform struct {
	// Name of the transform, in the whole plan.
	Name string          `json:"name"`
	From TransformSource `json:"from"`
	// BatchSize is how many sources are worked between two notes of how far it
	// is. 100 where the file does not say.
	BatchSize int `json:"batchSize,omitempty"`
	// Parallelism is how many sources of a batch are worked at once. 8 where
	// the file does not say.
	Parallelism int `json:"parallelism,omitempty"`
	// To are the objects that a source becomes.
	To []TransformTarget `json:"to"`
	// Verify expressions are read over `object` and `targets`, the live
	// objects by the names in To, when all are written. All must hold.
	Verify []string `json:"verify,omitempty"`
	// Sample is the percentage of the sources whose targets are read back and
	// compared. 100 where the file does not say.
	Sample *Percent `json:"sample,omitempty"`
}

// TransformSource are the objects that are read.
type TransformSource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace of sources and targets; without one those of all namespaces
	// are read.
	Namespace string `json:"namespace,omitempty"`
	// Selector of labels, as kubectl's -l takes it: app=so,tier in (a,b).
	Selector string `json:"selector,omitempty"`
}

// TransformTarget is one object that a source becomes.
type TransformTarget struct {
	Name string `json:"name"`
	// When is a CEL condition; without one every source has the target.
	When string `json:"when,omitempty"`
	// Object is a CEL map with the literal texts apiVersion and kind.
	Object string `json:"object"`
	// OwnerReference has the target deleted by Kubernetes with its source.
	OwnerReference bool `json:"ownerReference,omitempty"`
}

// The defaults and bounds of a transform.
const (
	DefaultBatchSize   = 100
	DefaultParallelism = 8
	maxBatchSize       = 1000
	maxParallelism     = 64
	maxTargets         = 32
)

// Transform finds a transform of the phase by its name; nil where it has none.
func (p *Phase) Transform(name string) *Transform {
	if i := slices.IndexFunc(p.Transforms, func(t Transform) bool { return t.Name == name }); i >= 0 {
		return &p.Transforms[i]
	}
	return nil
}

func transformDefaults(t *Transform) {
	if t.BatchSize == 0 {
		t.BatchSize = DefaultBatchSize
	}
	if t.Parallelism == 0 {
		t.Parallelism = DefaultParallelism
	}
	if t.Sample == nil {
		t.Sample = new(Percent(100))
	}
}

// transforms checks what can be told without reading an expression. first has
// the line of each name in the plan.
func (v *validator) transforms(phase string, ph *Phase, first map[string]int) {
	for i := range ph.Transforms {
		t := &ph.Transforms[i]
		path := fmt.Sprintf("%s.transforms[%d]", phase, i)
		v.label(path+".name", "the name of a transform", t.Name)
		line, _ := v.d.Locate(path+".name", 0)
		if other, ok := first[t.Name]; ok && t.Name != "" {
			v.at(path+".name", "duplicate-name", fmt.Sprintf("transform %q is already at line %d", t.Name, other), "each transform has a name of its own in the plan: objects are labelled with it")
		} else {
			first[t.Name] = line
		}
		v.transformSource(path+".from", &t.From)
		v.between(path+".batchSize", t.BatchSize, maxBatchSize)
		v.between(path+".parallelism", t.Parallelism, maxParallelism)
		v.targets(path+".to", t.To)
	}
	if at := phase + ".rollback.removeTransformed"; ph.Rollback.RemoveTransformed && len(ph.Transforms) == 0 && v.whole(phase+".transforms") {
		v.at(at, "transform", "the phase transforms nothing that a rollback could remove", "remove removeTransformed, or give the phase transforms")
	}
}

func (v *validator) between(path string, n, most int) {
	if v.has(path) && (n < 1 || n > most) {
		v.at(path, "transform", fmt.Sprintf("%d is not between 1 and %d", n, most), "")
	}
}

func (v *validator) transformSource(path string, s *TransformSource) {
	v.apiVersion(path+".apiVersion", "transform", s.APIVersion)
	switch {
	case s.Kind == "":
	case !apiKind.MatchString(s.Kind):
		v.at(path+".kind", "transform", fmt.Sprintf("%s is not a kind", shorten(s.Kind)), "write it as in manifests: NetworkIntent")
	}
	if v.has(path + ".namespace") {
		v.label(path+".namespace", "a namespace", s.Namespace)
	}
}

func (v *validator) targets(path string, to []TransformTarget) {
	if v.whole(path) && (len(to) == 0 || len(to) > maxTargets) {
		v.at(path, "transform", fmt.Sprintf("there are %d objects that a source becomes", len(to)), fmt.Sprintf("give from 1 to %d", maxTargets))
	}
	for i, t := range to {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case t.Name == "" && !v.whole(at+".name"):
		case !identifier.MatchString(t.Name) || slices.Contains(celWords, t.Name):
			v.at(at+".name", "name", fmt.Sprintf("%s cannot be the name of a target", shorten(t.Name)),
				"use letters, digits and _, at most 63, not beginning with a digit, and no word of CEL: expressions read it as targets.NAME")
		case slices.ContainsFunc(to[:i], func(o TransformTarget) bool { return o.Name == t.Name }):
			v.at(at+".name", "duplicate-name", fmt.Sprintf("target %q is already in the list", t.Name), "each target of a transform has a name of its own")
		}
	}
}
