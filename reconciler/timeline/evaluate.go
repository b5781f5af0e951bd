package timeline

import (
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// judged is the last evaluation, and what tells whether it still holds.
type judged struct {
	wants []decide.Want
	// at is when; from, the time from which the results hang on the samples
	// and the facts alone; ever is false where they always hang on the time.
	at, from time.Time
	ever     bool
	needs    []gates.Need
	runs     []run
	known    bool // there were samples at the last step
}

// run tells whether all that a need reads was alike at the last step.
type run struct {
	point gates.Point // the newest
	whole bool
}

// quiet reports whether this time says what the step before said: nothing was
// committed or moved, the same gates are asked for, each of their samples is as
// it was with all its points, and no time has come at which the answer changes
// by itself. What is skipped then is most of a long plan.
func (p *Player) quiet(alike bool) bool {
	j, d := &p.judged, &p.last.Decision
	switch {
	case p.o.Anew || p.changed || !alike || !j.ever || j.at.Before(j.from):
		return false
	case d.Verb != decide.Hold && d.Verb != decide.Complete:
		return false
	case !d.RecheckAt.IsZero() && !p.now.Before(d.RecheckAt):
		return false
	}
	in := &p.in
	in.Record, in.Now, in.Git.ReadAt = p.rec, p.now, p.now
	if !j.asks(decide.Wants(*in)) || len(p.program(in.Head).DueNeeds(decide.Leaves(*in))) > 0 {
		return false
	}
	r := p.rec.Settle(*in)
	return r.Applied == p.rec.Applied && r.Good == p.rec.Good && r.Verify == p.rec.Verify
}

// sample reads the samples of this time, and reports whether they are those of
// the step before.
func (p *Player) sample() (alike bool) {
	clear(p.out)
	known := p.o.Sampler != nil && p.o.Sampler.Into(p.out, p.now)
	return p.judged.alike(p.out, known)
}

// evaluate fills in the verdicts of the gates that the decision will read.
func (p *Player) evaluate(in *decide.Input) {
	wants := decide.Wants(*in)
	if !p.judged.asks(wants) {
		p.judged = p.ask(wants)
	}
	snap := gates.Snapshot{Now: p.now, Samples: p.out}
	in.Due = p.program(in.Head).Due(decide.Leaves(*in), snap)
	var all gates.Results
	for _, w := range wants {
		snap.Facts = in.Facts(w)
		snap.Facts.Objects, snap.Facts.Plans, snap.Facts.Bridges = p.o.Objects, p.stands, p.bridges
		snap.Facts.Entities, snap.Facts.Transforms = p.entities, p.transforms
		all = append(all, p.program(w.Version).Eval(w.Version.Revision, []gates.Request{w.Request}, snap)...)
	}
	if p.o.Judge != nil {
		p.o.Judge(all, in.Due)
	}
	p.judged.at = p.now
	in.Verdicts = all
}

// ask begins with other gates.
func (p *Player) ask(wants []decide.Want) judged {
	j := judged{wants: wants, ever: true, known: p.judged.known}
	for _, w := range wants {
		program := p.program(w.Version)
		from, ok := program.Steady(w.Request)
		j.ever = j.ever && ok
		if from.After(j.from) {
			j.from = from
		}
		for _, n := range program.Needs([]gates.Request{w.Request}) {
			if !slices.Contains(j.needs, n) {
				j.needs = append(j.needs, n)
			}
		}
	}
	j.runs = make([]run, len(j.needs))
	j.alike(p.out, j.known)
	return j
}

// asks reports whether the same gates are asked for.
func (j *judged) asks(wants []decide.Want) bool {
	if len(wants) != len(j.wants) {
		return false
	}
	for i := range wants {
		a, b := &wants[i].Request, &j.wants[i].Request
		if wants[i].Version.Revision != j.wants[i].Version.Revision || a.Stop != b.Stop || a.Fresh != b.Fresh ||
			!a.Since.Equal(b.Since) || !slices.Equal(a.Effects, b.Effects) {
			return false
		}
	}
	return true
}

// alike takes in the samples of this step, and reports whether every need reads
// what it read at the step before.
func (j *judged) alike(out map[gates.Need]gates.Sample, known bool) bool {
	all := known == j.known
	j.known = known
	for i, n := range j.needs {
		if known && !j.runs[i].take(out[n]) {
			all = false
		}
	}
	return all
}

// take reports whether the sample, with all its points, has the one value that
// the sample before had at all of its points.
func (r *run) take(s gates.Sample) (same bool) {
	old := *r
	same = old.whole && likeness(old.point, s.Last)
	*r = run{point: s.Last, whole: s.Err == nil}
	if !r.whole {
		return false
	}
	// Points that the sample before had are not looked at again, if it had them.
	seen := same
	if n := len(s.Points); n > 1 {
		step := s.Points[n-1].Time.Sub(s.Points[n-2].Time)
		seen = same && s.Last.Time.Sub(old.point.Time)%step == 0
	}
	for i := len(s.Points) - 1; i >= 0; i-- {
		if seen && !s.Points[i].Time.After(old.point.Time) {
			break
		}
		if !likeness(s.Points[i], s.Last) {
			r.whole = false
			return false
		}
	}
	return same
}

func likeness(a, b gates.Point) bool { return a.Value == b.Value && a.Unknown == b.Unknown }
