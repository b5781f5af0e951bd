package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Bounds of lists that every decision goes through.
const (
	maxWindows     = 50
	maxConnections = 50
	maxSigners     = 200
)

// travel checks what says when, and with whose consent, the plan moves.
func (v *validator) travel() {
	s := v.p.Spec
	v.oneOf("spec.promotion", string(s.Promotion), string(PromotionManual), string(PromotionAuto))
	v.connections()
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		v.role(name, s.Roles[name])
	}
	v.bounded("spec.windows", "windows", len(s.Windows), maxWindows)
	for i, w := range s.Windows {
		v.window(fmt.Sprintf("spec.windows[%d]", i), w)
	}
	v.notifications()
}

func (v *validator) bounded(path, what string, n, most int) {
	if n > most {
		v.key(path, "list-too-long", fmt.Sprintf("the plan has %d %s; at most %d are allowed", n, what, most), "")
	}
}

// connections checks the names of other plans; Connect checks what they mean.
func (v *validator) connections() {
	s := v.p.Spec
	v.bounded("spec.dependsOn", "dependencies", len(s.DependsOn), maxConnections)
	v.bounded("spec.conflictsWith", "conflicts", len(s.ConflictsWith), maxConnections)
	seen := map[Key]string{}
	for i, d := range s.DependsOn {
		path := fmt.Sprintf("spec.dependsOn[%d]", i)
		v.planName(path+".plan", d.Plan, seen)
		if d.Phase != PhaseComplete {
			v.label(path+".phase", "the name of a phase", d.Phase)
		}
	}
	seen = map[Key]string{}
	for i, name := range s.ConflictsWith {
		v.planName(fmt.Sprintf("spec.conflictsWith[%d]", i), name, seen)
	}
}

func (v *validator) planName(path, name string, seen map[Key]string) {
	if !v.whole(path) {
		return
	}
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		v.label(path, "a namespace", namespace)
		v.label(path, "the name of a plan", rest)
	} else {
		v.label(path, "the name of a plan", name)
	}
	key := v.p.Other(name)
	switch {
	case key == v.p.Key():
		v.at(path, "self-reference", "the plan names itself", "name another plan")
	case seen[key] != "":
		line, _ := v.d.Locate(seen[key], 0)
		v.at(path, "duplicate-name", fmt.Sprintf("plan %q is already at line %d", key, line), "name each plan once")
	default:
		seen[key] = path
	}
}

func (v *validator) role(name string, r Role) {
	path := join("spec.roles", name)
	if !label.MatchString(name) {
		v.key(path, "name", fmt.Sprintf("%s cannot be the name of a role", shorten(name)), labelForm)
	}
	v.bounded(path+".signers", "signers of one role", len(r.Signers), maxSigners)
	for i, s := range r.Signers {
		at := fmt.Sprintf("%s.signers[%d]", path, i)
		if !address.MatchString(s) {
			v.at(at, "signer", fmt.Sprintf("%s is not an e-mail address", shorten(s)), "give the address with which the person commits, such as ann@example.com")
		} else if slices.ContainsFunc(r.Signers[:i], func(o string) bool { return strings.EqualFold(o, s) }) {
			v.at(at, "duplicate-name", fmt.Sprintf("signer %q is already in this role", s), "name each person once")
		}
	}
}

func (v *validator) window(path string, w Window) {
	if !v.whole(path) {
		return
	}
	if (w.Allow == "") == (w.Deny == "") {
		v.at(path, "window", "a window has exactly one of allow and deny", `write {allow: "Mon-Fri 09:00-16:00"} or {deny: 2026-12-20/2027-01-04}`)
		return
	}
	if _, err := location(w.Timezone); err != nil {
		v.at(path+".timezone", "window", err.Error(), "write a name such as Europe/Berlin, or leave it out for UTC")
		return
	}
	if _, err := w.parse(); err != nil {
		field := ".allow"
		if w.Deny != "" {
			field = ".deny"
		}
		v.at(path+field, "window", err.Error(), "write days with times (Mon-Fri 09:00-16:00, or Sat,Sun) or a range of dates (2026-12-20/2027-01-04)")
	}
}

// notBefore checks that a map names only stops of the phase.
func (v *validator) notBefore(path string, ph *Phase) {
	if ph.NotBefore.ByPercent == nil || !v.whole(path+".percents") {
		return
	}
	path += ".notBefore"
	if len(ph.Percents) == 0 {
		v.at(path, "notBefore", "notBefore is a map, but the phase has no percents", "give one time: notBefore: 2026-12-01T09:00:00Z")
		return
	}
	for p := range ph.NotBefore.ByPercent {
		if !slices.Contains(ph.Percents, p) {
			v.key(join(path, p.String()), "notBefore", fmt.Sprintf("%s is no stop of the phase", p), "its stops are "+listPercents(ph.Percents))
		}
	}
}

// approvals checks that roles exist and can give as many approvals as are
// asked for. A checklist needs a role, as only its signers may tick an item.
func (v *validator) approvals(path string, ph *Phase) {
	roles := slices.Sorted(maps.Keys(v.p.Spec.Roles))
	for i, a := range ph.Approvals {
		at := fmt.Sprintf("%s.approvals[%d]", path, i)
		if !v.whole(at) || !v.whole("spec.roles") {
			continue
		}
		role, ok := v.p.Spec.Roles[a.Role]
		switch {
		case !ok:
			hint := "declare it: roles: {" + a.Role + ": {signers: [ann@example.com]}}"
			if meant := nearest(a.Role, roles); meant != "" {
				hint = fmt.Sprintf("did you mean %q?", meant)
			}
			v.at(at+".role", "unknown-role", fmt.Sprintf("the plan has no role %s", shorten(a.Role)), hint)
		case a.Count != nil && *a.Count < 1:
			v.at(at+".count", "approvals", "count must be at least 1", "leave it out for 1")
		case a.Needed() > len(role.Signers):
			v.at(at, "approvals", fmt.Sprintf("%d approvals are needed, but role %q has %d signers", a.Needed(), a.Role, len(role.Signers)),
				"each person counts once: name more signers, or ask for fewer")
		case slices.ContainsFunc(ph.Approvals[:i], func(o ApprovalRule) bool { return o.Role == a.Role }):
			v.at(at+".role", "duplicate-name", fmt.Sprintf("role %q is already asked for", a.Role), "give one count for each role")
		}
	}
	if len(ph.Checklist) > 0 && len(v.p.Spec.Roles) == 0 && v.whole("spec.roles") {
		v.at(path+".checklist", "checklist", "the plan has no roles, so nobody can tick an item", "declare who may: roles: {operations: {signers: [ann@example.com]}}")
	}
	for i, item := range ph.Checklist {
		if slices.Contains(ph.Checklist[:i], item) {
			v.at(fmt.Sprintf("%s.checklist[%d]", path, i), "duplicate-name", "the item is already in this list", "remove one of the two")
		}
	}
}
