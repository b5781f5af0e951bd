package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// Outcome of trying one object.
type Outcome string

// Accepted: the API server would take it. Refused: it would not. NotTried: that
// cannot be found out before an object is there that is made on the way.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	NotTried Outcome = "not tried"
)

// Trial is what came of trying to apply or to delete one object.
type Trial struct {
	ID      render.ID
	Outcome Outcome
	Why     string // empty where it is accepted
}

// Leaving is what would become of an object that is not wanted any more.
type Leaving struct {
	ID render.ID
	// Live: it is there now. Of one that is not, nothing else is known.
	Live bool
	// Stays says why it would not be deleted; empty where it would. Foreign: it
	// is because it does not bear the plan's name.
	Stays   string
	Foreign bool
	// Refused says why the API server would not delete it.
	Refused string
}

// Rehearsal tries what the stops of one plan would do to a cluster, one after
// the other, by dry runs on the server's side. Nothing is written. It is to be
// used by one goroutine.
//
// Every object is tried against what is live now. What an earlier stop would
// have made is remembered only to tell what cannot be tried because of it.
type Rehearsal struct {
	c       *Cluster
	scopes  map[render.Kind]bool
	defines map[render.Kind]render.ID   // the definitions made on the way
	made    map[render.ID]plan.Position // by which stop, first
	changed map[render.Kind]bool        // kinds whose live definition changes on the way
}

// NewRehearsal makes a Rehearsal. It makes no call. The client must be one for
// dry runs.
func NewRehearsal(o Options) (*Rehearsal, error) {
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	if len(o.Client.DryRun()) == 0 {
		return nil, errors.New("rehearse: the client would write; it must be one for dry runs")
	}
	return &Rehearsal{
		c: c, scopes: map[render.Kind]bool{}, defines: map[render.Kind]render.ID{}, made: map[render.ID]plan.Position{}, changed: map[render.Kind]bool{},
	}, nil
}

// learn notes the definitions among objects.
func (r *Rehearsal) learn(objects []render.Object) {
	for _, o := range objects {
		for kind, namespaced := range definedScopes([]render.Object{o}) {
			r.scopes[kind], r.defines[kind] = namespaced, o.ID()
		}
	}
}

// Unmet is reconciler.Cluster's.
func (r *Rehearsal) Unmet(ctx context.Context, p *plan.Plan) ([]string, error) {
	return r.c.Unmet(ctx, p)
}

// Live is what the inventory lists of a plan, in the order of names, and the
// mark of what was last applied; nil where nothing was.
func (r *Rehearsal) Live(ctx context.Context, key plan.Key) ([]render.ID, *reconciler.Mark, error) {
	inv, _, err := r.c.readInventory(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	return slices.SortedFunc(maps.Keys(inv.ids), compareIDs), inv.mark, nil
}

// Place puts the objects of a stop where they would live: into the plan's
// namespace those that name none and whose kind has namespaces. Definitions of
// the stop are known from then on. The objects of d are not written to.
func (r *Rehearsal) Place(ctx context.Context, d reconciler.Desired) (reconciler.Desired, error) {
	r.learn(d.Objects)
	acc, err := r.c.o.Client.As(d.Mark.Key.Namespace, d.Account)
	if err != nil {
		return d, err
	}
	placed := make([]render.Object, len(d.Objects))
	for i, o := range d.Objects {
		id := o.ID()
		namespaced, known := r.scopes[render.Kind{Group: id.Group, Kind: id.Kind}]
		m, err := mapping(ctx, acc, schema.FromAPIVersionAndKind(o.APIVersion(), o.Kind()))
		switch {
		case err == nil:
			known, namespaced = true, m.Scope.Name() == meta.RESTScopeNameNamespace
		case !errors.Is(err, client.ErrNoKind):
			return d, err
		}
		placed[i] = o
		if known && id.Name != "" {
			out, _ := clone(map[string]any(o)).(map[string]any)
			place(out, namespaced, d.Mark.Key.Namespace)
			placed[i] = out
		}
	}
	d.Objects = placed
	return d, nil
}

// begin is Cluster.begin, with a state that knows nothing: what dry runs answer
// was never live.
func (r *Rehearsal) begin(ctx context.Context, d reconciler.Desired) (*pass, error) {
	acc, err := r.c.o.Client.As(d.Mark.Key.Namespace, d.Account)
	if err != nil {
		return nil, err
	}
	items, err := prepare(ctx, acc, d, r.scopes)
	if err != nil {
		return nil, err
	}
	p := &pass{c: r.c, d: d, acc: acc, s: newState(d.Mark.Key, r.c.o.Now), items: items}
	return p, p.readFinished(ctx)
}

// Try applies the inventory and the objects of a stop by dry runs, in the order
// in which the daemon would, and goes on past those that are refused. The error
// says that the API server cannot be asked.
func (r *Rehearsal) Try(ctx context.Context, d reconciler.Desired) ([]Trial, error) {
	r.learn(d.Objects)
	p, err := r.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, it := range p.items {
		if _, ok := r.made[it.id]; !ok {
			r.made[it.id] = d.Mark.Stop
		}
	}
	first, err := r.Judge(inventoryID(d.Mark.Key), d.Mark.Stop, p.c.extend(ctx, p.s, p.acc, p.items))
	if err != nil {
		return nil, err
	}
	all := []Trial{first}
	for i := 0; i < len(p.items); {
		list := p.at(p.items[i].step)
		i += len(list)
		trials := make([]Trial, len(list))
		places := make([]int, len(list))
		for k := range places {
			places[k] = k
		}
		errs := each(ctx, r.c.o.Log, places, func(ctx context.Context, k int) error { return r.try(ctx, p, list[k], &trials[k]) })
		if err := joined(errs); err != nil {
			return nil, err
		}
		for k, it := range list {
			// A definition counts only from here on: others of its step do not
			// hang on it.
			if trials[k].Outcome == Accepted && it.id.Group == groupCRD && it.id.Kind == kindCRD {
				if err := r.define(ctx, p, it); err != nil {
					return nil, err
				}
			}
		}
		all = append(all, trials...)
	}
	return all, nil
}

// try applies one object. The error says that there was no answer.
func (r *Rehearsal) try(ctx context.Context, p *pass, it *item, t *Trial) error {
	if it.err == nil && it.mapping == nil {
		*t = Trial{it.id, NotTried, r.madeBy("the definition of its kind", r.defines[render.Kind{Group: it.id.Group, Kind: it.id.Kind}], p.d.Mark.Stop)}
		return nil
	}
	err := p.applyOne(ctx, it, false)
	if role, ok := roleOf(it); ok && apierrors.IsNotFound(err) {
		// It answers as if the binding were not there.
		if _, ok := r.made[role]; ok {
			*t = Trial{it.id, NotTried, r.madeBy(title(role), role, p.d.Mark.Stop)}
			return nil
		}
	}
	*t, err = r.Judge(it.id, p.d.Mark.Stop, err)
	return err
}

// Judge tells what an error of applying an object at a stop means. It returns it
// where there was no answer.
func (r *Rehearsal) Judge(id render.ID, now plan.Position, err error) (Trial, error) {
	switch {
	case err == nil:
		return Trial{ID: id, Outcome: Accepted}, nil
	case client.Unreachable(err):
		return Trial{}, fmt.Errorf("%s: %w", title(id), err)
	}
	if missing, ok := r.awaited(err); ok {
		return Trial{id, NotTried, r.madeBy(title(missing), missing, now)}, nil
	}
	if kind := (render.Kind{Group: id.Group, Kind: id.Kind}); r.changed[kind] {
		return Trial{id, NotTried, "the definition of its kind is changed on the way, and as it is live now: " + err.Error()}, nil
	}
	return Trial{id, Refused, err.Error()}, nil
}

// awaited is the namespace that an error misses, where that is made on the way.
func (r *Rehearsal) awaited(err error) (render.ID, bool) {
	var st apierrors.APIStatus
	if !noNamespace(err) || !errors.As(err, &st) {
		return render.ID{}, false
	}
	id := render.ID{Kind: "Namespace", Name: st.Status().Details.Name}
	_, ok := r.made[id]
	return id, ok
}

// roleOf is the role that an object binds, which the API server looks up to see
// whether whoever binds it has its rights.
func roleOf(it *item) (render.ID, bool) {
	ref, ok := it.object["roleRef"].(map[string]any)
	if !ok || it.id.Group != groupRBAC {
		return render.ID{}, false
	}
	id := render.ID{Group: groupRBAC, Namespace: it.id.Namespace}
	id.Kind, _ = ref["kind"].(string)
	id.Name, _ = ref["name"].(string)
	if id.Kind == "ClusterRole" {
		id.Namespace = ""
	}
	return id, true
}

// Makes reports by which stop an object would have been made, of those that
// were tried so far.
func (r *Rehearsal) Makes(id render.ID) (by plan.Position, ok bool) {
	by, ok = r.made[id]
	return by, ok
}

// Defines reports whether a stop that was tried brings the definition of a kind.
func (r *Rehearsal) Defines(kind render.Kind) bool { return r.defines[kind] != render.ID{} }

func (r *Rehearsal) madeBy(what string, id render.ID, now plan.Position) string {
	if by, ok := r.made[id]; ok && by != now {
		return what + " is made at " + by.String()
	}
	return what + " is made at this stop"
}

// define notes a definition that is live and would change.
func (r *Rehearsal) define(ctx context.Context, p *pass, it *item) error {
	live, err := p.read(ctx, it)
	if err != nil || live == nil || differs(it.object, live) == "" {
		return err
	}
	for kind := range definedScopes([]render.Object{it.object}) {
		r.changed[kind] = true
	}
	return nil
}

// Leave tells what would become of objects that a stop does not want any more,
// in the order in which they would go. The error says that the API server cannot
// be asked.
func (r *Rehearsal) Leave(ctx context.Context, d reconciler.Desired, ids []render.ID) ([]Leaving, error) {
	p, err := r.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	others := make(map[render.ID]bool, len(ids))
	for _, id := range ids {
		others[id] = true
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs)
	slices.SortStableFunc(ids, func(a, b render.ID) int { return compareSteps(stepOf(b), stepOf(a)) })
	out := make([]Leaving, len(ids))
	for i, id := range ids {
		l := p.judge(ctx, id, others)
		out[i] = Leaving{ID: id, Live: l.live != nil}
		err := l.err
		switch {
		case err != nil:
		case l.fate == fateDelete && d.Prune:
			err = p.delete(ctx, l)
		default:
			out[i].Stays, out[i].Foreign = l.why, l.fate == fateAdopted
		}
		if client.Unreachable(err) {
			return nil, err
		}
		if err != nil {
			out[i].Refused = err.Error()
		}
	}
	return out, nil
}
