package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// validator checks a plan that was read. It says nothing about fields that were
// refused while reading.
type validator struct {
	d        *Document
	p        *Plan
	bad      []string // paths of refused fields
	problems []Problem
}

// at reports a problem at the start of a field's value.
func (v *validator) at(path, code, message, hint string) { v.within(path, 0, code, message, hint) }

// key reports a problem at the name of a field.
func (v *validator) key(path, code, message, hint string) {
	n := len(v.problems)
	v.at(path, code, message, hint)
	if key := v.d.nodes[path].key; key != nil && len(v.problems) > n {
		v.problems[n] = v.d.problem(key.Line, key.Column, code, message, hint)
	}
}

// within reports a problem at a rune of a field's value.
func (v *validator) within(path string, offset int, code, message, hint string) {
	if len(v.problems) > maxProblems || slices.ContainsFunc(v.bad, func(b string) bool { return below(path, b) }) {
		return
	}
	v.problems = append(v.problems, v.d.Problem(path, offset, code, message, hint))
}

// secret reports a problem of a value that may hold a password: the source line
// is not repeated, and neither may the message do so.
func (v *validator) secret(path, code, message, hint string) {
	n := len(v.problems)
	v.at(path, code, message, hint)
	for i := range v.problems[n:] {
		v.problems[n+i].Source = ""
	}
}

// whole reports whether everything at and below a path was read, so that it can
// be judged as a whole.
func (v *validator) whole(path string) bool {
	return !slices.ContainsFunc(v.bad, func(b string) bool { return below(b, path) || below(path, b) })
}

// below reports whether a path is another one or a part of it.
func below(path, of string) bool {
	rest, ok := strings.CutPrefix(path, of)
	return ok && (of == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// has reports whether the file gives a field.
func (v *validator) has(path string) bool {
	_, ok := v.d.nodes[path]
	return ok
}

func (v *validator) plan() {
	p := v.p
	if p.APIVersion != APIVersion {
		v.at("apiVersion", "api-version", fmt.Sprintf("apiVersion %s is not known", shorten(p.APIVersion)), "this version of Changeover reads "+APIVersion)
	}
	if p.Kind != Kind {
		v.at("kind", "kind", fmt.Sprintf("kind %s is not a plan", shorten(p.Kind)), "write kind: "+Kind)
	}
	v.label("metadata.name", "the name of a plan", p.Metadata.Name)
	v.label("metadata.namespace", "a namespace", p.Metadata.Namespace)
	v.backends()
	v.gateway()
	v.identity()
	v.override()
	for _, name := range slices.Sorted(maps.Keys(p.Spec.Signals)) {
		v.signal(name, p.Spec.Signals[name])
	}
	v.translations()
	v.entities()
	v.flags()
	v.phases()
	v.position()
	for _, name := range slices.Sorted(maps.Keys(p.Spec.Baselines)) {
		v.baseline(name, p.Spec.Baselines[name])
	}
	v.observedSplit()
	v.requires()
	for _, name := range slices.Sorted(maps.Keys(p.Spec.Objects)) {
		v.object(name, p.Spec.Objects[name])
	}
	v.account()
	v.travel()
	v.success()
}

// label checks a DNS-1123 label.
func (v *validator) label(path, what, name string) {
	if !label.MatchString(name) {
		v.at(path, "name", fmt.Sprintf("%s cannot be %s", shorten(name), what), labelForm)
	}
}

// subdomain checks a DNS-1123 subdomain.
func (v *validator) subdomain(path, what, name string) {
	if !isSubdomain(name) {
		v.at(path, "name", fmt.Sprintf("%s cannot be %s", shorten(name), what), subdomainForm)
	}
}

// variable checks a name by which expressions read something: what is it with
// its article, read how they do.
func (v *validator) variable(path, what, name, read string) {
	switch {
	case !identifier.MatchString(name):
		v.key(path, "name", fmt.Sprintf("%s cannot be the name of %s", shorten(name), what),
			"use letters, digits and _, at most 63, not beginning with a digit: expressions read it as "+read)
	case slices.Contains(celWords, name):
		v.key(path, "name", fmt.Sprintf("%q cannot be the name of %s: it is a word of CEL", name, what), "choose another name: expressions read it as "+read)
	}
}

func (v *validator) identity() {
	const path = "spec.identity"
	id := v.p.Spec.Identity
	if id == nil {
		return
	}
	v.capable(path, stick, "remove identity")
	given := 0
	for _, set := range []bool{id.Header != "", id.Cookie != "", id.Query != "", id.ClientIP} {
		if set {
			given++
		}
	}
	if given != 1 && v.whole(path) {
		v.at(path, "identity", fmt.Sprintf("identity has %d of header, cookie, query and clientIP", given), "give exactly one; clientIP is given as clientIP: true")
	}
	v.named(v.at, path+".header", "header", id.Header, token, v.abilities().header)
	v.named(v.at, path+".cookie", "cookie", id.Cookie, token, token)
	v.named(v.at, path+".query", "query parameter", id.Query, queryName, queryName)
	if id.Cohort != "" && !cohort.MatchString(id.Cohort) {
		v.at(path+".cohort", "name", fmt.Sprintf("%s cannot be a cohort", shorten(id.Cohort)), "use letters, digits, -, _ and ., at most 63, with a letter or digit at both ends")
	}
}
