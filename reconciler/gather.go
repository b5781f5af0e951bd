package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// load reads the record once; where there is none it is rebuilt from Git and
// the data plane when these are read.
func (w *worker) load(ctx context.Context) error {
	if w.loaded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	rec, _, err := w.r.o.Recorder.Load(ctx, w.key)
	if err != nil {
		return fmt.Errorf("load the record: %w", err)
	}
	w.rec, w.stored, w.loaded = rec, rec, true
	return nil
}

// gather reads everything that a decision reads.
func (w *worker) gather(ctx context.Context) (decide.Input, error) {
	in := decide.Input{Now: w.r.o.Now(), Limits: w.r.o.Limits}
	b := w.r.branchNow()
	in.Git.ReadAt = b.readAt
	if err := w.readHead(ctx, b, &in); err != nil {
		return in, err
	}
	if w.rec.Applied == nil && w.rec.Move == nil && !in.Head.IsZero() {
		if err := w.rebuild(ctx, in.Head, b.head); err != nil {
			return in, err
		}
	}
	if a := w.rec.Applied; a != nil {
		var err error
		if in.Applied, err = w.version(ctx, a.Revision); err != nil {
			return in, err
		}
	}
	if g := w.rec.Good; g != nil {
		v, err := w.version(ctx, g.Revision)
		switch {
		case err == nil:
			in.Good = v
		case !noVersion(err):
			return in, err
		}
	}
	if in.Head.IsZero() {
		in.Head = in.Applied
	}
	w.keepEntities(ctx, &in)
	w.unread = w.readApprovals(ctx, b.head, &in)
	in.Record = w.rec
	w.observe(ctx, in)
	in.Observed = w.observed
	in.Observed.Split = w.splitReport().Mismatch()
	if err := w.require(ctx, &in); err != nil {
		return in, err
	}
	if d := decide.Decide(in); d.Verb.Backward() {
		// Going back hangs on no gate, so it waits for no answer.
		return in, nil
	}
	return in, w.evaluate(ctx, &in, b.gone)
}

// readHead finds the version that governs, after taking in the commits since
// the record last saw the branch.
func (w *worker) readHead(ctx context.Context, b branch, in *decide.Input) error {
	hp, listed := b.plans[w.key]
	if b.head != "" && b.head != w.rec.Seen {
		it := hp.itinerary()
		if it == nil && w.rec.Valid != "" {
			v, err := w.version(ctx, w.rec.Valid)
			if err != nil {
				return err
			}
			it = v.Plan.Itinerary()
		}
		if err := w.seeChanges(ctx, b.head, it, in.Now); err != nil {
			return err
		}
	}
	switch {
	case listed && hp.valid():
		in.Head = hp.version
		var err error
		if in.Head.Revision, err = w.name(ctx, hp.version); err != nil {
			return err
		}
		if w.rec.Valid != in.Head.Revision {
			rec := w.rec.Clone()
			rec.Valid = in.Head.Revision
			w.save(ctx, rec)
		}
		return nil
	case listed:
		in.Git.Invalid = firstError(hp.problems)
	case b.head != "":
		in.Git.Gone = true
	}
	if err := w.findValid(ctx); err != nil || w.rec.Valid == "" {
		return err
	}
	var err error
	if in.Head, err = w.version(ctx, w.rec.Valid); err != nil {
		return err
	}
	if problems, ok := b.unnamed[in.Head.Path]; ok && in.Git.Gone {
		// The file is there but so broken that it names no plan.
		in.Git.Gone, in.Git.Invalid = false, firstError(problems)
	}
	return nil
}

// readApprovals reads the approvals on the branch, for a plan that has roles.
// Where they cannot be read there are none, which keeps the plan from going
// forward and from nothing else: an error must not hold up a rollback.
func (w *worker) readApprovals(ctx context.Context, head plan.Revision, in *decide.Input) error {
	w.misread = nil
	if in.Head.IsZero() || len(in.Head.Plan.Spec.Roles) == 0 {
		return nil
	}
	if head == "" {
		in.Unread = "git was not read yet"
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	as, problems, err := w.r.o.Source.Approvals(ctx, w.key, head)
	if err != nil {
		err = fmt.Errorf("read the approvals: %w", err)
		in.Unread = err.Error()
		return err
	}
	in.Approvals, w.misread = as, problems
	return nil
}

// name is the change that made the plan what it is at head: it stays the same
// when others commit on top. A commit may count for its trailer alone, at which
// the plan is not valid.
func (w *worker) name(ctx context.Context, head plan.Version) (plan.Revision, error) {
	for _, c := range slices.Backward(w.rec.Changes) {
		if c.Commit == w.rec.Valid {
			return c.Commit, nil
		}
		_, err := w.version(ctx, c.Commit)
		switch {
		case err == nil:
			return c.Commit, nil
		case !noVersion(err):
			return "", err
		}
	}
	return head.Revision, nil
}

// findValid looks in the history for the newest valid version, where the record
// names none and head has none.
func (w *worker) findValid(ctx context.Context) error {
	if w.rec.Valid != "" {
		return nil
	}
	for _, c := range slices.Backward(w.rec.Changes) {
		v, err := w.version(ctx, c.Commit)
		if err == nil {
			if _, err := w.program(v); err != nil {
				continue
			}
			rec := w.rec.Clone()
			rec.Valid = c.Commit
			w.save(ctx, rec)
			return nil
		}
		if !noVersion(err) {
			return err
		}
	}
	return nil
}

// noVersion reports whether the plan is not there, or not valid, at a revision.
func noVersion(err error) bool { return errors.Is(err, ErrNoPlan) || errors.Is(err, ErrInvalidPlan) }

func (h headPlan) itinerary() plan.Itinerary {
	if h.version.Plan == nil || !h.valid() {
		return nil
	}
	return h.version.Plan.Itinerary()
}

// seeChanges takes in the commits since Seen, or the whole history anew where
// the branch was rewritten.
func (w *worker) seeChanges(ctx context.Context, head plan.Revision, it plan.Itinerary, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, gitDeadline)
	defer cancel()
	since := w.rec.Seen
	if since != "" {
		ok, err := w.r.o.Source.Contains(ctx, head, since)
		if err != nil {
			return fmt.Errorf("look for %s in the branch: %w", since.Short(), err)
		}
		if !ok {
			all, err := w.r.o.Source.Changes(ctx, w.key, "", head)
			if err != nil {
				return fmt.Errorf("read the plan's history: %w", err)
			}
			next := w.rec.Rewritten(it, head, all, now)
			w.save(ctx, next)
			e := Entry{At: now, Verb: decide.Halt, Reason: next.Halt.Reason, Message: next.Halt.Message}
			if a := next.Applied; a != nil {
				e.From, e.To = a.Stop, a.Stop
			}
			w.append(ctx, e, true)
			return nil
		}
	}
	found, err := w.r.o.Source.Changes(ctx, w.key, since, head)
	if err != nil {
		return fmt.Errorf("read the plan's history: %w", err)
	}
	next := w.rec.See(it, head, found, now)
	w.save(ctx, next)
	return nil
}

// rebuild makes the record from Git and the marks in the data plane, where
// there are any: the gateway's, or for a plan that has none the cluster's.
func (w *worker) rebuild(ctx context.Context, head plan.Version, seen plan.Revision) error {
	octx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	mark, err := w.findMark(octx, head)
	if err != nil {
		return fmt.Errorf("look for the plan in the data plane, as there is no record of it: %w", err)
	}
	if mark == nil || mark.Stop.IsZero() {
		return nil
	}
	v, err := w.version(ctx, mark.Revision)
	if err != nil {
		return fmt.Errorf("rebuild the lost record from revision %s, which the data plane names: %w", mark.Revision.Short(), err)
	}
	w.log.Warn("the record was lost: it is rebuilt from git and the data plane", "stop", mark.Stop.String(), "revision", string(v.Revision))
	rec := decide.Rebuild(head.Plan.Itinerary(), v, mark.Stop, mark.Since, mark.Holds, seen, w.rec.Changes)
	rec.Valid = w.rec.Valid
	w.save(ctx, rec)
	return nil
}

func (w *worker) findMark(ctx context.Context, head plan.Version) (*Mark, error) {
	if t := w.traffic(head.Plan); t != nil {
		st, err := t.Observe(ctx, head.Plan, head.Plan.Spec.Position)
		return st.Mark, err
	}
	if w.r.o.Cluster == nil || head.Plan.Spec.Gateway != nil || !usesCluster(head.Plan) {
		return nil, nil
	}
	return w.r.o.Cluster.Mark(ctx, w.key)
}

// usesCluster reports whether any phase has cluster config.
func usesCluster(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Spec.Phases, func(ph plan.Phase) bool { return ph.Cluster != nil })
}

// version reads the plan at a revision; it needs the local store only.
func (w *worker) version(ctx context.Context, rev plan.Revision) (plan.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	v, err := w.r.o.Source.Version(ctx, w.key, rev)
	if err != nil {
		return plan.Version{}, fmt.Errorf("read the plan at %s: %w", rev.Short(), err)
	}
	v.Revision = rev
	return v, nil
}

// traffic is the gateway that the plan names; nil where it names none or the
// daemon has none of its kind.
func (w *worker) traffic(p *plan.Plan) Traffic {
	switch g := p.Spec.Gateway; {
	case g == nil:
	case g.GatewayAPI != nil && g.Bridged():
		return w.r.o.BridgedGatewayAPI
	case g.GatewayAPI != nil:
		return w.r.o.GatewayAPI
	case g.Bridged():
		return w.r.o.BridgedNGINX
	case g.NGINX != nil:
		return w.r.o.NGINX
	case g.Bridge != nil:
		return w.r.o.Bridge
	}
	return nil
}

// evaluate samples and evaluates the gates that the decision will read. It
// stops to wait for answers when newHead is closed: what was declared then may
// need none.
func (w *worker) evaluate(ctx context.Context, in *decide.Input, newHead <-chan struct{}) error {
	wants := decide.Wants(*in)
	progs := make([]*gates.Program, len(wants))
	var needs []gates.Need
	var others []string
	for i, want := range wants {
		p, err := w.program(want.Version)
		if err != nil {
			return err
		}
		progs[i] = p
		needs = append(needs, p.Needs([]gates.Request{want.Request})...)
		others = append(others, p.Plans([]gates.Request{want.Request})...)
	}
	leaves := decide.Leaves(*in)
	var due *gates.Program
	if !leaves.IsZero() {
		var err error
		if due, err = w.program(in.Head); err != nil {
			return err
		}
		needs = append(needs, due.DueNeeds(leaves)...)
	}
	ctx, cancel := context.WithTimeout(ctx, sampleDeadline)
	defer cancel()
	go func() {
		select {
		case <-newHead:
			cancel()
		case <-ctx.Done():
		}
	}()
	snap := gates.Snapshot{Now: in.Now}
	if len(needs) > 0 {
		snap.Samples = w.r.o.Sampler.Sample(ctx, needs, in.Now)
	}
	if due != nil {
		in.Due = due.Due(leaves, snap)
	}
	stands := w.others(others) // after the sampling, which takes time
	listed := w.askEntities(in)
	var told *gates.Bridges
	for i, want := range wants {
		snap.Facts = in.Facts(want)
		snap.Facts.Plans = stands
		if progs[i].ReadsBridges([]gates.Request{want.Request}) {
			if told == nil {
				told = w.askBridges(ctx, in)
			}
			snap.Facts.Bridges = *told
		}
		snap.Facts.Entities = listed
		if progs[i].ReadsTransforms([]gates.Request{want.Request}) {
			snap.Facts.Transforms = w.askTransforms(want.Version.Plan)
		}
		snap.Facts.Objects = w.objects(ctx, want.Version.Plan, progs[i].Objects([]gates.Request{want.Request}))
		in.Verdicts = append(in.Verdicts, progs[i].Eval(want.Version.Revision, []gates.Request{want.Request}, snap)...)
	}
	return nil
}

// program compiles a version's gates, once for each content.
func (w *worker) program(v plan.Version) (*gates.Program, error) {
	if p, ok := w.programs[v.Content]; ok {
		return p, nil
	}
	p, err := gates.Compile(v.Plan, gates.Options{Interval: w.r.o.Interval})
	if err != nil {
		return nil, fmt.Errorf("compile the gates at %s: %w", v.Revision.Short(), err)
	}
	if len(w.programs) >= 8 {
		clear(w.programs)
	}
	w.programs[v.Content] = p
	return p, nil
}
