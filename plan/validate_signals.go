package plan

import (
	"fmt"
	"maps"
	"slices"
)

func (v *validator) signal(name string, s Signal) {
	path := join("spec.signals", name)
	v.variable(path, "a signal", name, "signal.NAME")
	if s.Samples != nil && s.Samples.Min < 0.001 {
		v.at(path+".samples.min", "samples", "min must be above 0, at least 0.001", "say how many samples prove something; 400 clean ones prove less than 1 %")
	}
	v.series(path, s)
}

// series checks that the range of a signal gives a list of a bounded size.
func (v *validator) series(path string, s Signal) {
	const code = "series"
	hasRange, hasStep := v.has(path+".range"), v.has(path+".step")
	if !hasRange && !hasStep || !v.whole(path+".range") || !v.whole(path+".step") {
		return
	}
	switch {
	case !hasStep:
		v.at(path+".range", code, "range needs a step", "give the time between two values too, as in step: 1m")
	case !hasRange:
		v.at(path+".step", code, "step needs a range", "give how far back the values go too, as in range: 1h")
	case s.Range == 0:
		v.at(path+".range", code, "the range is 0", "leave range and step out for the newest value alone")
	case s.Step == 0:
		v.at(path+".step", code, "the step is 0", "give the time between two values, as in step: 1m")
	case s.Step > s.Range:
		v.at(path+".step", code, fmt.Sprintf("the step %s is longer than the range %s", s.Step, s.Range), "a series has a value at every step of its range")
	case s.Points() > MaxPoints:
		v.at(path+".step", code, fmt.Sprintf("a range of %s with a step of %s has %d values, more than %d", s.Range, s.Step, s.Points(), MaxPoints),
			"make the step longer or the range shorter")
	}
}

func (v *validator) baseline(name string, b Baseline) {
	path := join("spec.baselines", name)
	v.variable(path, "a baseline", name, "baseline.NAME")
	v.knownSignal(path+".signal", b.Signal)
	if !v.whole(path) {
		return
	}
	const code = "baseline"
	at, offset := v.has(path+".at"), v.has(path+".offset")
	switch {
	case at && offset:
		v.at(path+".offset", code, "the baseline has both at and offset", "keep one: at for the value when a stop was left, offset for the value that long ago")
	case at:
		v.baselineStop(path+".at", b)
	case !offset:
		v.at(path, code, "the baseline has neither at nor offset", "give at: PHASE for the value when that stop was left, or offset: 7d for the value that long ago")
	case b.Offset == 0:
		v.at(path+".offset", code, "the offset is 0", "read the signal itself for its value now")
	}
}

// knownSignal checks that a name is that of one of the plan's signals.
func (v *validator) knownSignal(path, name string) {
	if !v.whole(path) || !v.whole("spec.signals") {
		return
	}
	if _, ok := v.p.Spec.Signals[name]; ok {
		return
	}
	names := slices.Sorted(maps.Keys(v.p.Spec.Signals))
	v.at(path, "unknown-signal", fmt.Sprintf("the plan has no signal %s", shorten(name)), meant(name, names, "the plan's signals are "))
}

func (v *validator) observedSplit() {
	const path, code = "spec.observedSplit", "observed-split"
	o := v.p.Spec.ObservedSplit
	if o == nil || !v.whole(path) {
		return
	}
	v.knownSignal(path+".legacy", o.Legacy)
	v.knownSignal(path+".modern", o.Modern)
	splits := slices.ContainsFunc(v.p.Spec.Phases, func(ph Phase) bool {
		return slices.ContainsFunc(ph.Routes, func(r Route) bool { return r.To == ToSplit })
	})
	switch {
	case v.p.Spec.Gateway == nil || !splits:
		v.at(path, code, "no route of the plan splits requests, so there is nothing to observe", "leave observedSplit out, or add a route with to: split")
	case o.Legacy == o.Modern:
		v.at(path+".modern", code, "both sides are counted by one signal", "name a signal for each side")
	}
}

// baselineStop checks that the stop is one that is left forward.
func (v *validator) baselineStop(path string, b Baseline) {
	if !v.itinerary() {
		return
	}
	it := v.p.Itinerary()
	stops := make([]string, len(it))
	for i, stop := range it {
		stops[i] = stop.String()
	}
	const code = "baseline"
	switch i := it.Index(b.Stop()); {
	case i < 0:
		v.at(path, code, fmt.Sprintf("%s is no stop of the plan", shorten(b.At)), meant(b.At, stops, "write PHASE or PHASE@PERCENT; the stops are "))
	case i == len(it)-1:
		v.at(path, code, fmt.Sprintf("%s is the last stop, which is never left: nothing would be remembered", b.Stop()), "name an earlier stop, or use offset")
	}
}
