package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// Repository is a watched branch with its local store. It may be used by
// several goroutines.
type Repository struct {
	o      Options
	remote *remote
	store  *store
	index  *index

	polling chan struct{} // holds one token: one exchange that changes the store
	pushing chan struct{} // holds one token: our own pushes do not race
	// publishing holds one token: other branches than the watched one, so that
	// a revert never waits for them.
	publishing chan struct{}

	mu       sync.Mutex
	headNow  plumbing.Hash
	clonedAt time.Time // when a fetch last fell back to a whole clone
	tips     map[plumbing.ReferenceName]tip
	taken    plumbing.Hash // the newest head that was verified, where commits must be signed
	own      []string      // fingerprints of the keys that signed our commits since we run

	taking   chan struct{} // holds one token: the verification of one head
	trusted  *signature.Files
	verdicts *lru[verdictID, signature.Result]

	ancestry *lru[[2]plumbing.Hash, bool]
	// consents are the approvals that were read, by folder and head.
	consents *lru[consentID, consent]
	// origins are the commits that made approvals' files what they are.
	origins *lru[originID, plumbing.Hash]

	beforePush func() // a test's way to lose a race
}

var _ reconciler.Source = (*Repository)(nil)

// cloneAgain is how long a failing fetch does not fall back to a whole clone
// again.
const cloneAgain = 10 * time.Minute

// Open opens the store and reads the branch. With a store it works while the
// remote is gone: the first Poll then says so. Without one the whole history
// is fetched first, and an unreachable remote is an error.
func Open(ctx context.Context, o Options) (*Repository, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	rem, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	return open(ctx, o, rem)
}

func open(ctx context.Context, o Options, rem *remote) (*Repository, error) {
	r := &Repository{
		o: o, remote: rem, store: newStore(memory.NewStorage()), index: newIndex(o.Path, o.Reads),
		polling: make(chan struct{}, 1), pushing: make(chan struct{}, 1),
		publishing: make(chan struct{}, 1), tips: map[plumbing.ReferenceName]tip{},
		ancestry: newLRU[[2]plumbing.Hash, bool](10_000, nil),
		consents: newLRU[consentID](10_000, func(c consent) int { return len(c.approvals) + len(c.problems) + 1 }),
		origins:  newLRU[originID, plumbing.Hash](20_000, nil),
		taking:   make(chan struct{}, 1), trusted: signature.NewFiles(o.TrustedKeys...),
		verdicts: newLRU[verdictID, signature.Result](10_000, nil),
	}
	if o.Dir != "" {
		var err error
		if r.o.Dir, err = storePath(o.Dir); err != nil {
			return nil, err
		}
		st, err := openDisk(r.o.Dir, r.marker())
		if err == nil {
			r.store.st = st
		} else if !errors.Is(err, errNoStore) {
			return nil, err
		}
	}
	if head := r.store.ref(r.trackingRef()); !head.IsZero() {
		err := r.whole(ctx, head)
		if err == nil {
			r.setHead(head)
			r.taken = r.store.ref(verifiedRef)
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
	if err := r.clone(ctx); err != nil {
		return nil, fmt.Errorf("open repository %s: there is no local copy yet and the remote cannot be read: %w", o.name(), err)
	}
	return r, nil
}

func (r *Repository) marker() marker { return marker{URL: r.o.name(), Branch: r.o.Branch} }

func (r *Repository) trackingRef() plumbing.ReferenceName {
	return plumbing.NewRemoteReferenceName("origin", r.o.Branch)
}

// Close lets go of the store. The repository must not be used after.
func (r *Repository) Close() error {
	return r.store.replace(func() (storage.Storer, error) { return memory.NewStorage(), nil })
}

// Head is the newest head that was read, and verified where commits are; it
// needs no remote. It is empty where none was verified yet.
func (r *Repository) Head() plan.Revision { return revision(r.base()) }

// head is the newest head that was read, verified or not.
func (r *Repository) head() plumbing.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headNow
}

func (r *Repository) setHead(h plumbing.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headNow = h
}

func revision(h plumbing.Hash) plan.Revision {
	if h.IsZero() {
		return ""
	}
	return plan.Revision(h.String())
}

// commitAt reads the commit of a revision.
func (r *Repository) commitAt(rev plan.Revision) (*commit, error) {
	if !plumbing.IsHash(string(rev)) {
		return nil, fmt.Errorf("read revision %q: want the full name of a commit", rev)
	}
	c, err := r.store.commit(plumbing.NewHash(string(rev)))
	if errors.Is(err, errMissing) {
		return nil, fmt.Errorf("read revision %q: %w", rev, err)
	}
	return c, err
}

// whole checks that the head and the plans at it are in the store. What is
// wrong with the plans themselves does not matter here.
func (r *Repository) whole(ctx context.Context, head plumbing.Hash) error {
	c, err := r.store.commit(head)
	if err == nil {
		var files []file
		files, err = r.index.files(ctx, r.store, c.tree)
		for i := 0; i < len(files) && err == nil && ctx.Err() == nil; i++ {
			_, err = r.index.at(r.store, c.tree, files[i])
		}
	}
	switch {
	case ctx.Err() != nil:
		return classify("fetch", ctx.Err(), "")
	case c == nil || r.store.damaged.Load():
		return fmt.Errorf("fetch: commit %s did not come whole: %w", short(head), err)
	}
	return nil
}

// acquire takes a token, or gives up with the context.
func acquire(ctx context.Context, token chan struct{}) error {
	select {
	case token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Poll implements reconciler.Source. On an error the head that counted before is
// returned with it. A head that does not verify is a
// *reconciler.UnverifiedError.
func (r *Repository) Poll(ctx context.Context) (plan.Revision, error) {
	if err := r.read(ctx); err != nil {
		return r.Head(), err
	}
	return r.take(ctx)
}

// read brings head and store up to the remote.
func (r *Repository) read(ctx context.Context) error {
	if err := acquire(ctx, r.polling); err != nil {
		return classify("read branch", err, "")
	}
	defer func() { <-r.polling }()
	old := r.head()
	if r.store.damaged.Load() && r.mayClone(nil) {
		return r.clone(ctx)
	}
	head, err := r.remote.fetch(ctx, wanted{ref: r.remote.ref, known: r.store.has, haves: r.haves, receive: r.store.receive})
	if err == nil && head == old {
		return nil
	}
	if err == nil {
		err = r.advance(ctx, old, head)
	}
	if err != nil && !head.IsZero() && r.mayClone(err) {
		err = r.clone(ctx)
	}
	if err != nil {
		return err
	}
	// The head is known and whole: a store that stays in many packs is slow,
	// not wrong.
	_ = r.store.compactDisk(r.o.Dir)
	return nil
}

// advance makes a fetched commit the head. One that a force-push dropped is
// kept.
func (r *Repository) advance(ctx context.Context, old, head plumbing.Hash) error {
	if err := r.whole(ctx, head); err != nil {
		return err
	}
	if !old.IsZero() {
		held, err := r.contains(ctx, head, old)
		if err != nil {
			return err
		}
		if !held {
			if err := r.store.setRef(plumbing.ReferenceName(keptPrefix+old.String()), old); err != nil {
				return err
			}
		}
	}
	if err := r.store.setRef(r.trackingRef(), head); err != nil {
		return err
	}
	r.setHead(head)
	return nil
}

// mayClone reports whether a whole clone could help after a failed fetch or for
// a damaged store, and is not tried too often.
func (r *Repository) mayClone(err error) bool {
	if isContext(err) || isKind(err, reconciler.RemoteAuth) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	if !r.clonedAt.IsZero() && now.Sub(r.clonedAt) < cloneAgain {
		return false
	}
	r.clonedAt = now
	return true
}

// clone fetches the whole history into a new store and puts it in place of the
// old one. What only the old one has and a record may name is carried over.
func (r *Repository) clone(ctx context.Context) error {
	fresh := newStore(memory.NewStorage())
	tmp := r.o.Dir + ".new"
	if r.o.Dir != "" {
		st, err := makeDisk(tmp, r.marker())
		if err != nil {
			return err
		}
		fresh.st = st
		defer func() { _ = os.RemoveAll(tmp) }()
	}
	none := func() []plumbing.Hash { return nil }
	head, err := r.remote.fetch(ctx, wanted{ref: r.remote.ref, known: fresh.has, haves: none, receive: fresh.receive})
	if err == nil {
		err = fresh.setRef(r.trackingRef(), head)
	}
	if err != nil {
		return err
	}
	r.carry(ctx, fresh)
	if taken := r.base(); r.verifies() && fresh.has(taken) {
		if err := fresh.setRef(verifiedRef, taken); err != nil {
			return err
		}
	}
	err = r.store.replace(func() (storage.Storer, error) {
		if r.o.Dir == "" {
			return fresh.st, nil
		}
		return diskStorage(r.o.Dir), swapDisk(r.o.Dir, tmp)
	})
	if err != nil {
		return err
	}
	if err := r.whole(ctx, head); err != nil {
		return err
	}
	r.setHead(head)
	return nil
}

// carry copies the history of dropped heads into a new store, as far as it can
// be read.
func (r *Repository) carry(ctx context.Context, fresh *store) {
	heads := append(r.store.kept(), r.head(), r.base())
	for _, h := range heads {
		if h.IsZero() || fresh.has(h) {
			continue
		}
		if copyHistory(ctx, r.store, fresh, h) == nil {
			_ = fresh.setRef(plumbing.ReferenceName(keptPrefix+h.String()), h)
		}
	}
}

// haves are the newest commits of what is in the store, for the remote to send
// only what is newer.
func (r *Repository) haves() []plumbing.Hash {
	const most = 100
	var out []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	queue := append([]plumbing.Hash{r.head()}, r.store.kept()...)
	for len(queue) > 0 && len(out) < most {
		h := queue[0]
		queue = queue[1:]
		c, err := r.store.commit(h)
		if seen[h] || err != nil {
			continue
		}
		seen[h] = true
		out = append(out, h)
		queue = append(queue, c.parents...)
	}
	return out
}

// CheckPush asks whether the credentials may push, as `git push --dry-run`
// does: it opens a push and sends nothing. A rule that protects the branch
// itself shows only when a push is tried; reverts then go to a branch of their
// own.
func (r *Repository) CheckPush(ctx context.Context) error { return r.remote.checkPush(ctx) }
