package plan

import (
	"fmt"
	"strings"
)

// labelled checks entities whose owner is a label on Kubernetes objects.
func (v *validator) labelled(at string, e *Entities) {
	if (e.Source == nil || e.Source.Kubernetes == nil) && v.whole(at+".source") {
		v.at(at+".owner", "entities", "only objects of a cluster can have their owner as a label", "name them: source: {kubernetes: {apiVersion: GROUP/VERSION, kind: KIND}}")
	}
	for _, f := range []string{"match", "born", "probe", "id", "live", "modern", "sync", "handOver", "handBack", "verify.legacy", "verify.modern", "verify.sample"} {
		if v.has(at + "." + f) {
			v.key(at+"."+f, "entities", fmt.Sprintf("`%s` is for entities behind HTTP, and the owner of these is a label on an object", f), "remove it")
		}
	}
	if n := v.p.Metadata.Name; len(n) > maxLabelled {
		v.at("metadata.name", "name", fmt.Sprintf("the name has %d characters, and names of labels are made of it", len(n)), fmt.Sprintf("use at most %d", maxLabelled))
	}
	if e.Source != nil {
		v.source(at+".source", e.Source)
	}
	v.positive(at, e)
	v.values(at, e)
	for i, r := range e.Rules {
		if when := fmt.Sprintf("%s.rules[%d].when", at, i); strings.TrimSpace(r.When) == "" && v.whole(when) {
			v.at(when, "entities", "the rule has no condition", `write one over object: 'object.metadata.namespace == "canary"'`)
		}
		v.oneOf(fmt.Sprintf("%s.rules[%d].side", at, i), string(r.Side), string(SideLegacy), string(SideModern), string(SideValidation))
	}
	if f := e.Verify; f != nil {
		v.compared(at+".verify", f)
	}
}

// phaseEntities checks what a phase says of entities.
func (v *validator) phaseEntities(path string, ph *Phase) {
	if ph.Entities == nil {
		return
	}
	if path += ".entities"; v.p.Spec.Entities.Routed() || v.p.Spec.Entities == nil {
		if v.whole("spec.entities") {
			v.key(path, "entities", "only entities whose owner is a label are worked by both sides", "remove it, or have spec.entities say owner: label")
		}
		return
	}
	v.oneOf(path+".side", string(ph.Entities.Side), string(SideValidation))
}
