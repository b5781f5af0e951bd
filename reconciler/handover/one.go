package handover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// outcome of one entity.
type outcome string

const (
	moved    outcome = "moved"
	inFlight outcome = "inFlight" // work on it is under way
	absent   outcome = "absent"   // its owner does not have it any more
	failed   outcome = "failed"
)

// itemTime is how long one entity may take, its block aside. It is finished also
// where the run ends meanwhile.
const itemTime = 2 * time.Minute

// one hands an entity to a side.
func (r *run) one(ctx context.Context, id string, to plan.Side) (outcome, error) {
	if ctx.Err() != nil {
		return failed, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), itemTime)
	defer cancel()
	out, err := r.exclusive(ctx, id, to)
	if err != nil {
		out = failed
		r.log.Warn("an entity was not handed over: it is tried again", "id", id, "to", string(to), "error", err.Error())
	}
	r.e.o.Metrics.count(r.key, to, out)
	return out, err
}

var errBusy = errors.New("it is written to by another task of this daemon")

func (r *run) exclusive(ctx context.Context, id string, to plan.Side) (outcome, error) {
	unlock, ok := r.e.o.Lock(r.key, id)
	if !ok {
		return failed, errBusy
	}
	defer unlock()
	e, known, err := r.e.o.Store.Get(ctx, r.key, id)
	switch {
	case err != nil:
		return failed, err
	case known && e.Owner == to:
		return moved, nil // it was before a crash
	case !known || e.Origin == ownership.BornModern || e.Origin == ownership.Ended:
		return absent, nil
	}
	if out, err := r.fit(ctx, id, to); out != "" || err != nil {
		return out, err // so that one in flight is not even blocked
	}
	return r.blocked(ctx, e, to)
}

// fit reports whether an entity may be handed over now; "": it may.
func (r *run) fit(ctx context.Context, id string, to plan.Side) (outcome, error) {
	switch state, err := r.sides.State(ctx, id, to); {
	case err != nil:
		return failed, err
	case state == InFlight:
		return inFlight, nil
	case state == Absent:
		return absent, nil
	}
	return "", nil
}

// blocked does what must happen while nobody writes to the entity.
func (r *run) blocked(ctx context.Context, e ownership.Entity, to plan.Side) (out outcome, err error) {
	bridges := r.e.o.Bridges(r.plan)
	if bridges == nil {
		return failed, errors.New("the daemon knows no bridge that could keep writes off: entities are handed over behind changeover-bridge")
	}
	store, token := r.e.o.Store, r.e.o.Token()
	revision, err := store.Block(ctx, r.key, e.ID, token)
	if err != nil {
		return failed, err
	}
	began := r.e.o.Now()
	flipped := false
	defer func() {
		if !flipped {
			err = errors.Join(err, store.Unblock(ctx, r.key, e.ID, token))
		}
		r.e.o.Metrics.blocked(r.key, r.e.o.Now().Sub(began))
	}()
	if err := bridges.Settle(ctx, r.plan, e.ID, revision); err != nil {
		return failed, fmt.Errorf("keep writes off: %w", err)
	}
	if out, err := r.fit(ctx, e.ID, to); out != "" || err != nil {
		return out, err
	}
	if err := r.sides.Give(ctx, e.ID, to); err != nil {
		return failed, err
	}
	next := ownership.Entity{ID: e.ID, Owner: to, Origin: ownership.Migrated, Batch: r.stopAt.String(), At: r.e.o.Now()}
	if to == plan.Legacy {
		next.Origin, next.Batch = ownership.BornLegacy, "" // as it was
	}
	revision, err = store.Flip(ctx, r.key, next, token)
	if err != nil {
		return failed, err
	}
	flipped = true
	if err := bridges.Settle(ctx, r.plan, e.ID, revision); err != nil {
		r.log.Info("a bridge has yet to see the new owner: it refuses writes to the entity until then", "id", e.ID, "error", err.Error())
	}
	return moved, nil
}
