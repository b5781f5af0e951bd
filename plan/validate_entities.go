package plan

import (
	"fmt"
	"slices"
	"strings"
)

// entities checks where requests name entities, and how modern creates them.
func (v *validator) entities() {
	const path = "spec.entities"
	e := v.p.Spec.Entities
	if e == nil {
		return
	}
	if !e.Routed() {
		v.labelled(path, e)
		return
	}
	if v.has(path + ".owner") {
		v.oneOf(path+".owner", string(e.Owner), string(OwnerLabel))
	}
	v.capable(path, owners, "remove entities and `to: owner`")
	if !v.has("spec.gateway") {
		v.at(path, "entities", "the plan has entities, but no gateway that could send their requests to their owners", "name one: gateway: {bridge: {}}")
	}
	match := path + ".match"
	switch {
	case !v.whole(match):
	case !v.has(match):
		v.missing(match, `say where a request has the id: match: {path: "/deployments/{id}"}`)
	case e.Match.Path != "" && len(e.Match.Paths) > 0:
		v.at(match, "entities", "the match has both `path` and `paths`", "give exactly one of them")
	case e.Match.Path == "" && len(e.Match.Paths) == 0 && len(e.Match.Bodies) == 0:
		v.at(match, "entities", "the match has no path", `say where a request has the id: path: "/deployments/{id}"`)
	}
	if e.Match.Path != "" {
		v.entityPath(match+".path", e.Match.Path)
	}
	for i, s := range e.Match.Paths {
		at := fmt.Sprintf("%s.paths[%d]", match, i)
		v.entityPath(at, s)
		if slices.Contains(e.Match.Paths[:i], s) {
			v.at(at, "entities", fmt.Sprintf("path %s is already in the list", shorten(s)), "remove one of the two")
		}
	}
	for i := range e.Match.Bodies {
		v.entityBody(fmt.Sprintf("%s.bodies[%d]", match, i), &e.Match, i)
	}
	v.born(path, e)
	v.probe(path+".probe", e)
	v.inventory(path, e)
}

// entityBody checks requests that name an entity in their body. A path that has an
// id is not looked into further, so that one would never be read.
func (v *validator) entityBody(path string, m *EntityMatch, i int) {
	b := m.Bodies[i]
	v.urlPath(path+".path", b.Path)
	for k, s := range b.Methods {
		switch at := fmt.Sprintf("%s.methods[%d]", path, k); {
		case !method.MatchString(s):
			v.at(at, "match", fmt.Sprintf("%s is not a method", shorten(s)), "methods are upper-case words such as POST")
		case isSafe(s):
			v.at(at, "entities", fmt.Sprintf("%s has no body", s), "give methods of requests that have one, such as POST")
		}
	}
	if _, err := ParseIDPath(b.ID); err != nil && v.has(path+".id") {
		v.at(path+".id", "entities", fmt.Sprintf("%s is no place in a body", shorten(b.ID)), "write body and the names of the fields that lead to the id: body.deploymentId")
	}
	for _, s := range m.All() {
		if p, err := ParseEntityPath(s); err == nil && p.ID(b.Path) != "" {
			v.at(path+".path", "entities", fmt.Sprintf("path %s has an id itself, by %s", shorten(b.Path), shorten(s)), "remove it from bodies: the body is not read")
		}
	}
	for _, o := range m.Bodies[:i] {
		if o.Path == b.Path && slices.ContainsFunc(b.Methods, func(s string) bool { return slices.Contains(o.Methods, s) }) {
			v.at(path+".path", "entities", fmt.Sprintf("path %s is already in the list, with one of the methods", shorten(b.Path)), "remove one of the two")
		}
	}
}

func (v *validator) entityPath(path, s string) {
	if s == "" || s[0] == '/' && !strings.Contains(s, idSegment) {
		v.at(path, "entities", fmt.Sprintf("path %s does not say where the id is", shorten(s)), `write {id} for the segment that is the id: "/deployments/{id}"`)
		return
	}
	n := len(v.problems)
	// Of the same length, so that carets stay right.
	v.urlPath(path, strings.ReplaceAll(s, idSegment, "(id)"))
	if len(v.problems) > n {
		last := &v.problems[len(v.problems)-1]
		last.Message = strings.ReplaceAll(last.Message, "(id)", idSegment)
		return
	}
	if _, err := ParseEntityPath(s); err != nil {
		v.at(path, "entities", fmt.Sprintf("path %s does not say where the id is", shorten(s)), `write {id} once, for a whole segment: "/deployments/{id}"`)
	}
}

// probe checks that modern has nothing but what is its own: else that it has an
// entity would say nothing about the owner.
func (v *validator) probe(path string, e *Entities) {
	if e.Probe == "" {
		return
	}
	const hint = "remove probe: an entity that nobody is known to own is then legacy's"
	v.entityPath(path, e.Probe)
	if e.Sync != nil {
		v.at(path, "entities", "modern has what sync keeps of legacy's entities, so that it has one does not say that it owns it", hint)
	}
	for i, ph := range v.p.Spec.Phases {
		for j, r := range ph.Routes {
			if r.Mirror != nil && r.Mirror.AllowUnsafe != "" {
				line, _ := v.d.Locate(fmt.Sprintf("spec.phases[%d].routes[%d].mirror.allowUnsafe", i, j), 0)
				v.at(path, "entities", fmt.Sprintf("copies of writes (allowUnsafe at line %d) create entities on modern that it does not own", line), hint)
				return
			}
		}
	}
}

func (v *validator) born(path string, e *Entities) {
	b := e.Born
	if b == nil {
		if v.whole(path) && len(e.Match.All())+len(e.Match.Bodies) > 0 {
			v.missing(path+".born", "say how modern is seen to create one: born: {path: /deployments, id: body.id}")
		}
		return
	}
	path += ".born"
	v.urlPath(path+".path", b.Path)
	for i, s := range b.Methods {
		switch at := fmt.Sprintf("%s.methods[%d]", path, i); {
		case !method.MatchString(s):
			v.at(at, "match", fmt.Sprintf("%s is not a method", shorten(s)), "methods are upper-case words such as POST")
		case isSafe(s):
			v.at(at, "entities", fmt.Sprintf("%s creates nothing", s), "give the methods by which modern creates an entity, such as POST")
		}
	}
	if _, err := ParseIDPath(b.ID); err != nil && v.has(path+".id") {
		v.at(path+".id", "entities", fmt.Sprintf("%s is no place in an answer", shorten(b.ID)), "write body and the names of the fields that lead to the id: body.id")
	}
}

// toOwner checks that requests of a route can have an owner.
func (v *validator) toOwner(path string, r *Route) {
	e := v.p.Spec.Entities
	switch {
	case e == nil && v.has("spec.entities"):
		return
	case e != nil && !e.Routed():
		v.at(path+".to", "route", "`to: owner` needs the id of an entity, and no request has that of an object whose owner is a label", "send the requests to a side")
		return
	case e == nil:
		v.capable(path+".to", owners, "send the requests to a side")
		v.at(path+".to", "route", "`to: owner` needs the id of an entity, and the plan does not say where a request has it",
			`add spec.entities: {match: {path: "/deployments/{id}"}}`)
		return
	case r.Match == nil || r.Match.PathRegex != "" || !v.whole(path+".match") || !v.whole("spec.entities.match"):
		return
	}
	for _, s := range e.Match.All() {
		p, err := ParseEntityPath(s)
		if err != nil || r.Match.Path == "" && p.mayMeet(r.Match.PathPrefix) || r.Match.Path != "" && p.ID(r.Match.Path) != "" {
			return
		}
	}
	for _, b := range e.Match.Bodies {
		if r.Match.Path == b.Path || r.Match.Path == "" && strings.HasPrefix(b.Path, r.Match.PathPrefix) {
			return
		}
	}
	v.at(path+".to", "route", "no request of this route names an entity, so none has an owner",
		"match a path of spec.entities, such as pathPrefix: /deployments/, or send the requests to a side")
}
