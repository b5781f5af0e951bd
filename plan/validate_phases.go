package plan

import (
	"fmt"
	"slices"
	"strings"
)

// phasePath is the path of a phase.
func phasePath(i int) string { return fmt.Sprintf("spec.phases[%d]", i) }

func (v *validator) phases() {
	first, transforms := map[string]int{}, map[string]int{}
	for i := range v.p.Spec.Phases {
		ph := &v.p.Spec.Phases[i]
		path := phasePath(i)
		v.label(path+".name", "the name of a phase", ph.Name)
		if slices.Contains(reservedPhases, ph.Name) {
			v.at(path+".name", "name", fmt.Sprintf("phase name %q is reserved", ph.Name), "choose another name")
		}
		if j, ok := first[ph.Name]; ok && ph.Name != "" {
			line, _ := v.d.Locate(phasePath(j)+".name", 0)
			v.at(path+".name", "duplicate-name", fmt.Sprintf("phase %q is already at line %d", ph.Name, line), "each phase has a name of its own")
		} else {
			first[ph.Name] = i
		}
		v.percents(path, ph)
		v.bake(path, ph)
		v.notBefore(path, ph)
		v.approvals(path, ph)
		v.rollback(path, ph)
		for _, e := range Effects {
			v.gates(path+"."+e.GatesPath(), e, ph.GatesOf(e))
		}
		v.routes(path, ph)
		v.transforms(path, ph, transforms)
		v.phaseEntities(path, ph)
		v.phaseFlags(path, ph)
		if ph.Cluster != nil {
			v.cluster(path, ph.Cluster)
		}
		v.backup(path, ph)
	}
}

func (v *validator) percents(path string, ph *Phase) {
	for i, p := range ph.Percents {
		at := fmt.Sprintf("%s.percents[%d]", path, i)
		switch {
		case !v.whole(at):
		case p <= 0:
			v.at(at, "percents", "a stop of a phase is above 0 %", "a phase of its own with `to: legacy` is the stop at 0 %")
		case i > 0 && p <= ph.Percents[i-1] && v.whole(fmt.Sprintf("%s.percents[%d]", path, i-1)):
			v.at(at, "percents", fmt.Sprintf("%s does not rise above %s, the stop before it", p, ph.Percents[i-1]), "order the percents from low to high, each once")
		}
	}
}

// bake checks that a map names only stops of the phase.
func (v *validator) bake(path string, ph *Phase) {
	if ph.Bake.ByPercent == nil || !v.whole(path+".percents") {
		return
	}
	if len(ph.Percents) == 0 {
		v.at(path+".bake", "bake", "bake is a map, but the phase has no percents", "give one duration: bake: 1h")
		return
	}
	for p := range ph.Bake.ByPercent {
		if !slices.Contains(ph.Percents, p) {
			v.key(join(path+".bake", p.String()), "bake", fmt.Sprintf("%s is no stop of the phase", p), "its stops are "+listPercents(ph.Percents))
		}
	}
}

func (v *validator) rollback(path string, ph *Phase) {
	r := ph.Rollback
	path += ".rollback"
	v.oneOf(path+".onBreach", string(r.OnBreach), string(Revert), string(Freeze))
	v.oneOf(path+".depth", string(r.Depth), string(DepthPromotion), string(DepthPhase), string(DepthPlan))
	if v.has(path+".verifyFor") && len(r.Verify) == 0 && v.whole(path+".verify") {
		v.at(path+".verifyFor", "verify", "verifyFor is given without verify gates", "give verify gates, or remove it")
	}
	longest := ph.Bake.All
	for _, d := range ph.Bake.ByPercent {
		longest = max(longest, d)
	}
	if v.has(path+".window") && r.Window == 0 {
		v.at(path+".window", "window", "the window is 0", "leave it out: without it the window is the whole stay")
	} else if r.Window > 0 && r.Window < longest {
		v.at(path+".window", "window", fmt.Sprintf("the window %s is shorter than the bake %s: a breach at its end would not roll back", r.Window, longest),
			"make it at least as long, or leave it out for the whole stay")
	}
}

// oneOf checks a closed set of words.
func (v *validator) oneOf(path, got string, words ...string) {
	if slices.Contains(words, got) {
		return
	}
	hint := "write one of " + strings.Join(words, ", ")
	if meant := nearest(got, words); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	v.at(path, "unknown-value", fmt.Sprintf("%s is not known here", shorten(got)), hint)
}

func (v *validator) gates(path string, e Effect, gates []Gate) {
	first := map[string]int{}
	for i, g := range gates {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.label(at+".name", "the name of a gate", g.Name)
		v.gateUrgency(at, e, g.Severity)
		if j, ok := first[g.Name]; ok && g.Name != "" {
			line, _ := v.d.Locate(fmt.Sprintf("%s[%d].name", path, j), 0)
			v.at(at+".name", "duplicate-name", fmt.Sprintf("%s gate %q is already at line %d", e, g.Name, line), "each gate of one effect has a name of its own in its phase")
		} else {
			first[g.Name] = i
		}
	}
}

// position checks that the declared position is a stop.
func (v *validator) position() {
	const path = "spec.position"
	pos := v.p.Spec.Position
	if !v.whole(path) || !v.itinerary() {
		return
	}
	ph := v.p.Phase(pos.Phase)
	if ph == nil {
		var names []string
		for _, ph := range v.p.Spec.Phases {
			names = append(names, ph.Name)
		}
		hint := "the phases are " + strings.Join(names, ", ")
		if meant := nearest(pos.Phase, names); meant != "" {
			hint = fmt.Sprintf("did you mean %q?", meant)
		}
		v.at(path+".phase", "position", fmt.Sprintf("the plan has no phase %s", shorten(pos.Phase)), hint)
		return
	}
	given := v.has(path + ".percent")
	switch {
	case slices.Contains(ph.Percents, pos.Percent), len(ph.Percents) == 0 && pos.Percent == 0:
	case len(ph.Percents) == 0:
		v.at(path+".percent", "position", fmt.Sprintf("phase %q has no percents, so %s is no stop of it", ph.Name, pos.Percent), "remove percent here, or give the phase percents")
	case !given:
		v.at(path, "position", fmt.Sprintf("phase %q needs a percent; its stops are %s", ph.Name, listPercents(ph.Percents)),
			fmt.Sprintf("write {phase: %s, percent: %s}", ph.Name, ph.Percents[0]))
	default:
		v.at(path+".percent", "position", fmt.Sprintf("%s is no stop of phase %q", pos.Percent, ph.Name), "its stops are "+listPercents(ph.Percents))
	}
}

// itinerary reports whether all stops could be read and are told apart.
func (v *validator) itinerary() bool {
	names := map[string]bool{}
	for i, ph := range v.p.Spec.Phases {
		if names[ph.Name] {
			return false
		}
		names[ph.Name] = true
		if !v.whole(phasePath(i)+".name") || !v.whole(phasePath(i)+".percents") {
			return false
		}
	}
	return len(v.p.Spec.Phases) > 0
}

// listPercents prints percentages for people.
func listPercents(ps []Percent) string {
	s := make([]string, len(ps))
	for i, p := range ps {
		s[i] = p.String()
	}
	return strings.Join(s, ", ")
}
