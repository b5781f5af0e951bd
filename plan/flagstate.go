package plan

import (
	"fmt"
	"slices"
	"time"
)

// FlagOff is why a flag has everybody on legacy.
type FlagOff string

// The reasons. FlagZero: no rule leads to modern, and the percent is 0.
const (
	FlagKilled       FlagOff = "killSwitch"
	FlagExpired      FlagOff = "expired"
	FlagPrerequisite FlagOff = "prerequisite"
	FlagConflict     FlagOff = "conflict"
	FlagZero         FlagOff = "zeroPercent"
)

// Says is the reason in words; by is the flag that turns it off.
func (o FlagOff) Says(by string) string {
	switch o {
	case FlagKilled:
		return "its kill switch is set"
	case FlagExpired:
		return "it has expired"
	case FlagPrerequisite:
		return fmt.Sprintf("nobody has %q, which it needs", by)
	case FlagConflict:
		return fmt.Sprintf("%q comes first, with which it conflicts", by)
	case FlagZero:
		return "it is at 0 % and no rule leads to modern"
	}
	return ""
}

// FlagState is what a flag is at a stop.
type FlagState struct {
	Flag *Flag
	// Percent of the callers on modern whom no rule decides; 0 where it is off.
	Percent Percent
	// Off is why everybody is on legacy; empty: some may be on modern.
	Off FlagOff
	// By is the flag that turns it off: a prerequisite, or one it conflicts with.
	By string
	// Needs are the flags that a caller must have on modern too: prerequisites,
	// and theirs, in the order of the plan. Empty where the flag is off.
	Needs []string
}

// FlagsAt are the flags of the plan at a stop and a time, in the order of the file.
// Of a plan that validation refuses for a circle of flags, those on it are off.
func (p *Plan) FlagsAt(stop Position, now time.Time) []FlagState {
	all := p.Spec.Flags
	if len(all) == 0 {
		return nil
	}
	r := flagResolver{plan: p, stop: stop, now: now, states: make([]FlagState, len(all)), done: make([]bool, len(all)), index: flagIndex(all)}
	for i := range all {
		r.resolve(i)
	}
	return r.states
}

// FlagExpires is when the next flag of the plan expires after a time; zero: none
// does.
func (p *Plan) FlagExpires(now time.Time) (at time.Time) {
	for i := range p.Spec.Flags {
		f := &p.Spec.Flags[i]
		if t := f.ExpiresAt.Time; !f.KillSwitch && t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

func flagIndex(all []Flag) map[string]int {
	index := make(map[string]int, len(all))
	for i := range all {
		if _, ok := index[all[i].Name]; !ok {
			index[all[i].Name] = i
		}
	}
	return index
}

// flagResolver resolves each flag once, after those that it hangs on.
type flagResolver struct {
	plan   *Plan
	stop   Position
	now    time.Time
	states []FlagState
	done   []bool
	index  map[string]int
}

func (r *flagResolver) resolve(i int) FlagState {
	if r.done[i] {
		return r.states[i]
	}
	// On a circle the flag itself is asked for again: it is off then.
	f := &r.plan.Spec.Flags[i]
	r.done[i], r.states[i] = true, FlagState{Flag: f, Off: FlagPrerequisite, By: f.Name}
	r.states[i] = r.state(i, f)
	return r.states[i]
}

func (r *flagResolver) state(i int, f *Flag) FlagState {
	s := FlagState{Flag: f}
	switch {
	case f.KillSwitch:
		s.Off = FlagKilled
		return s
	case !f.ExpiresAt.IsZero() && !r.now.Before(f.ExpiresAt.Time):
		s.Off = FlagExpired
		return s
	}
	needs := map[int]bool{}
	for _, name := range f.Prerequisites {
		j, ok := r.index[name]
		if !ok || r.resolve(j).Off != "" {
			s.Off, s.By = FlagPrerequisite, name
			return s
		}
		needs[j] = true
		for _, n := range r.states[j].Needs {
			needs[r.index[n]] = true
		}
	}
	for _, j := range r.plan.flagRivals(i) {
		if r.resolve(j).Off == "" {
			s.Off, s.By = FlagConflict, r.plan.Spec.Flags[j].Name
			return s
		}
	}
	s.Percent = r.plan.flagPercent(f, r.stop)
	if s.Percent == 0 && !slices.ContainsFunc(f.Targeting, func(t FlagRule) bool { return t.To == Modern }) {
		s.Off = FlagZero
		return s
	}
	for j := range r.plan.Spec.Flags {
		if needs[j] {
			s.Needs = append(s.Needs, r.plan.Spec.Flags[j].Name)
		}
	}
	return s
}

// flagRivals are the flags before a flag with which it conflicts, whichever of the
// two says so.
func (p *Plan) flagRivals(i int) (rivals []int) {
	f := &p.Spec.Flags[i]
	for j := range i {
		o := &p.Spec.Flags[j]
		if slices.Contains(f.ConflictsWith, o.Name) || slices.Contains(o.ConflictsWith, f.Name) {
			rivals = append(rivals, j)
		}
	}
	return rivals
}

// flagPercent is what the stop's phase says of a flag, or the nearest before it
// that says anything, with its own last percent; else the flag itself.
func (p *Plan) flagPercent(f *Flag, stop Position) Percent {
	at := slices.IndexFunc(p.Spec.Phases, func(ph Phase) bool { return ph.Name == stop.Phase })
	for i := at; i >= 0; i-- {
		ph := &p.Spec.Phases[i]
		share, ok := ph.Flags[f.Name]
		switch {
		case !ok:
			continue
		case !share.Position:
			return share.Percent
		case i == at:
			return stop.Percent
		case len(ph.Percents) > 0:
			return ph.Percents[len(ph.Percents)-1]
		}
		return 0
	}
	switch {
	case f.Percent == nil && f.Default == Modern:
		return 100
	case f.Percent == nil:
		return 0
	case f.Percent.Position:
		return p.EntityPercent(stop)
	}
	return f.Percent.Percent
}
