package backup

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// parallel is how many objects are written at once.
const parallel = 8

// Stage of a restore.
type Stage string

// The stages: every object is tried on the server, without an effect; then each
// is written; then all are read and compared.
const (
	StageTry    Stage = "try"
	StageWrite  Stage = "write"
	StageVerify Stage = "verify"
)

// Restoration asks for a restore.
type Restoration struct {
	Client   *client.Client
	Store    *Store
	Manifest Manifest
	// Identities open the Secrets.
	Identities []age.Identity
	// DryRun ends after the first stage.
	DryRun bool
	// Force takes fields of other managers, and removes what the backup does
	// not have.
	Force bool
	// Partial writes what can be written, where some objects cannot.
	Partial bool
	Show    func(Stage, Count) // nil: nobody watches
}

// Restore brings the objects of a backup back. All are tried first, and nothing
// is written where one fails, unless Partial asks for it. What is live as in the
// backup is left alone, so that a restore that ended early goes on where it was.
// What became of the objects is in the report; the error is that of an API
// server or a store that does not answer.
func Restore(ctx context.Context, o Restoration) (*Report, error) {
	if o.Show == nil {
		o.Show = func(Stage, Count) {}
	}
	r := &restorer{o: o, failed: map[ID]Item{}, written: map[ID]bool{}, owners: map[owner]string{}}
	tried, err := r.try(ctx)
	if err != nil || o.DryRun {
		return tried, err
	}
	if !tried.OK() && !o.Partial {
		n := tried.Counts[WouldDo]
		delete(tried.Counts, WouldDo)
		if tried.Counts[NotTried] += n; tried.Counts[NotTried] == 0 {
			delete(tried.Counts, NotTried)
		}
		return tried, nil
	}
	if tried.Counts[WouldDo]+tried.Counts[NotTried] > 0 {
		if err := r.write(ctx); err != nil {
			return nil, err
		}
	}
	return r.verify(ctx)
}

type restorer struct {
	o Restoration

	mu      sync.Mutex
	failed  map[ID]Item
	written map[ID]bool // whose sums were seen, status included
	owners  map[owner]string
	late    map[ID]bool // whose owners have yet to be made
	down    error       // the API server does not answer

	live        liveSums
	namespaces  map[string]bool           // that the backup has
	definitions map[schema.GroupKind]bool // that the backup defines
}

// each does something for all objects of the backup, a few at once, rank by
// rank: what others hang on is done before they are begun. After each rank it
// calls next.
func (r *restorer) each(ctx context.Context, stage Stage, report *Report, next func(rank int) error, do func(context.Context, found) Item) error {
	count := Count{Total: r.o.Manifest.Objects}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	end := func(i Item) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if report != nil {
			report.add(i)
		}
		if i.Result.bad() {
			r.failed[i.ID] = i
			count.Failed++
		} else {
			count.Done++
		}
		r.o.Show(stage, count)
	}
	rank := 0
	faults, err := r.o.Store.walk(ctx, &r.o.Manifest, r.o.Identities, func(f found) error {
		if now := f.rank(); now > rank {
			if err := g.Wait(); err != nil {
				return err
			}
			if err := next(rank); err != nil {
				return err
			}
			rank = now
			g, gctx = errgroup.WithContext(ctx)
			g.SetLimit(parallel)
		}
		if i, ok := unusable(f); ok {
			end(i)
			return nil
		}
		into := gctx
		g.Go(func() error {
			i := do(into, f)
			if err := cmp.Or(r.unreachable(), into.Err()); err != nil {
				return err
			}
			end(i)
			return nil
		})
		return gctx.Err()
	})
	if waited := g.Wait(); err == nil {
		err = waited
	}
	if report != nil {
		report.Faults = faults
		report.sort()
	}
	return err
}

// unreachable is why nothing more can be asked of the API server.
func (r *restorer) unreachable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down
}

// unusable is what becomes of an object that the backup does not have, or does
// not show.
func unusable(f found) (Item, bool) {
	switch {
	case f.damage != "":
		return Item{ID: f.ID, Result: Damaged, Message: f.damage}, true
	case f.object == nil:
		return Item{ID: f.ID, Result: Failed, Message: "it is encrypted, and no identity was given that opens it"}, true
	}
	return Item{}, false
}

// sums of an object as it would be live.
func (f *found) live() sums {
	if !f.Sealed {
		return f.sums()
	}
	_, s, err := encode(f.object)
	if err != nil {
		return sums{}
	}
	return s
}

// try finds out what can be restored, without an effect.
func (r *restorer) try(ctx context.Context) (*Report, error) {
	report := newReport(r.o.Manifest.Objects)
	r.namespaces, r.definitions = map[string]bool{}, map[schema.GroupKind]bool{}
	if err := r.live.read(ctx, r.o.Client, r.o.Manifest.Kinds); err != nil {
		return nil, err
	}
	err := r.each(ctx, StageTry, report, func(int) error { return nil }, func(ctx context.Context, f found) Item {
		if f.rank() < 2 {
			r.mu.Lock()
			r.note(f)
			r.mu.Unlock()
		}
		if r.live.same(f) {
			return Item{ID: f.ID, Result: Unchanged}
		}
		return r.tryOne(ctx, f)
	})
	return report, err
}

// note remembers what the backup will have made once other objects are tried.
func (r *restorer) note(f found) {
	if f.isNamespace() {
		r.namespaces[f.Name] = true
		return
	}
	spec, _ := f.object["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	r.definitions[schema.GroupKind{Group: group, Kind: kind}] = true
}

// write restores all that can be.
func (r *restorer) write(ctx context.Context) error {
	r.failed = map[ID]Item{}
	for {
		late := r.late
		r.late = map[ID]bool{}
		err := r.each(ctx, StageWrite, nil, func(rank int) error { return r.established(ctx, rank) }, func(ctx context.Context, f found) Item {
			if late != nil && !late[f.ID] {
				return Item{ID: f.ID, Result: Unchanged}
			}
			if r.live.same(f) {
				return Item{ID: f.ID, Result: Unchanged}
			}
			return r.writeOne(ctx, f)
		})
		if err != nil {
			return err
		}
		if len(r.late) == 0 || late != nil && len(r.late) == len(late) {
			return nil
		}
		r.forget(r.late)
	}
}

// forget has those be tried again whose owners may be there now.
func (r *restorer) forget(late map[ID]bool) {
	for id := range late {
		delete(r.failed, id)
	}
}

// verify reads all objects and compares them with the backup.
func (r *restorer) verify(ctx context.Context) (*Report, error) {
	report := newReport(r.o.Manifest.Objects)
	if err := r.live.read(ctx, r.o.Client, r.o.Manifest.Kinds); err != nil {
		return nil, err
	}
	before := r.failed
	r.failed = map[ID]Item{}
	err := r.each(ctx, StageVerify, report, func(int) error { return nil }, func(ctx context.Context, f found) Item {
		r.mu.Lock()
		i, failed := before[f.ID]
		wrote := r.written[f.ID]
		r.mu.Unlock()
		switch {
		case failed:
			return i
		case r.live.same(f) && wrote:
			return Item{ID: f.ID, Result: Done}
		case r.live.same(f):
			return Item{ID: f.ID, Result: Unchanged}
		}
		return r.verifyOne(ctx, f, wrote)
	})
	if err != nil {
		return nil, fmt.Errorf("verify what was restored: %w", err)
	}
	return report, nil
}
