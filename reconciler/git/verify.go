package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// Verify says which commits must be signed by a trusted key for a head of the
// branch to be taken up.
type Verify string

// The modes. VerifyHead: every new head; a signature vouches for all beneath it.
// VerifyPromotions: every commit since the last verified revision that changes
// what a plan is or reads, or says something to a plan by a trailer; others need
// not be signed. The first head that is ever taken must be signed in both.
const (
	VerifyOff        Verify = "off"
	VerifyHead       Verify = "head"
	VerifyPromotions Verify = "promotions"
)

// verifiedRef is the head that was last taken up: a daemon that starts anew goes
// on from there.
const verifiedRef = plumbing.ReferenceName("refs/changeover/verified")

// maxLookThrough bounds how many commits are looked at for one head.
const maxLookThrough = 10_000

// verdictID names a verification: a commit, the keys, and the minute, as keys
// expire.
type verdictID struct {
	commit plumbing.Hash
	keys   string
	minute time.Time
}

func (r *Repository) verifies() bool { return r.o.Verify != VerifyOff }

// base is the head that counts: the newest that was taken up.
func (r *Repository) base() plumbing.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verifies() {
		return r.taken
	}
	return r.headNow
}

// take takes up the head that was last read, if it verifies, and returns the one
// that counts. Where it does not, the error is a *reconciler.UnverifiedError.
func (r *Repository) take(ctx context.Context) (plan.Revision, error) {
	if !r.verifies() {
		return r.Head(), nil
	}
	if err := acquire(ctx, r.taking); err != nil {
		return r.Head(), classify("verify", err, "")
	}
	defer func() { <-r.taking }()
	head, last := r.head(), r.base()
	if head == last {
		return revision(head), nil
	}
	if err := r.verified(ctx, head, last); err != nil {
		var held *reconciler.UnverifiedError
		if errors.As(err, &held) {
			held.Head, held.Held = revision(head), revision(last)
		}
		return revision(last), err
	}
	if err := r.store.setRef(verifiedRef, head); err != nil {
		return revision(last), err
	}
	r.mu.Lock()
	r.taken = head
	r.mu.Unlock()
	return revision(head), nil
}

func (r *Repository) verified(ctx context.Context, head, last plumbing.Hash) error {
	v, err := r.verifier(last)
	if err != nil {
		return &reconciler.UnverifiedError{Commit: revision(head), Reason: err.Error()}
	}
	if r.o.Verify == VerifyPromotions && !last.IsZero() {
		return v.promotions(ctx, head)
	}
	return v.vouched(ctx, head)
}

// verifier verifies one head after the last that was verified, with the keys as
// they are now. It belongs to one goroutine.
type verifier struct {
	r    *Repository
	keys *signature.Keys
	own  []string // the fingerprints of our own keys, of now and before
	last plumbing.Hash
	now  time.Time
}

func (r *Repository) verifier(last plumbing.Hash) (*verifier, error) {
	keys, err := r.trusted.Keys()
	if err != nil {
		return nil, err
	}
	v := &verifier{r: r, keys: keys, last: last, now: r.o.Now()}
	if r.o.Signing.File != "" {
		own, err := r.o.Signing.Key()
		if err != nil {
			return nil, err
		}
		v.own = r.owned(own)
	}
	return v, nil
}

// owned remembers a key of our own, and returns all: what one signed that was
// replaced since may still be a proposal, and the key still be trusted.
func (r *Repository) owned(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.own, key) {
		r.own = append(slices.Clip(r.own), key)
	}
	return r.own
}

// signature is what a commit's own is worth.
func (v *verifier) signature(c *commit) (signature.Result, error) {
	id := verdictID{c.hash, v.keys.Digest(), v.now.Truncate(time.Minute)}
	if res, ok := v.r.verdicts.get(id); ok {
		return res, nil
	}
	raw, whole, err := v.r.store.read(plumbing.CommitObject, c.hash, maxCommit)
	if err != nil {
		return signature.Result{}, err
	}
	res := signature.Result{State: signature.Bad, Detail: "the commit is too large"}
	if whole {
		res = v.keys.Verify(raw, c.at, v.now)
	}
	v.r.verdicts.put(id, res)
	return res, nil
}

// fault says why a commit's signature does not count; empty where it does.
func (v *verifier) fault(c *commit) (string, error) {
	res, err := v.signature(c)
	switch {
	case err != nil:
		return "", err
	case res.State != signature.Good:
		return res.String(), nil
	case slices.Contains(v.own, res.Key) && !isOurs(c):
		// Who may push could put our proposal onto the branch.
		return "it is a proposal that Changeover itself signed, which no person vouched for: merge it by a signed commit", nil
	}
	return "", nil
}

// isOurs reports whether a commit is a revert of the daemon's, as it says of
// itself. That is never to its advantage: such a commit vouches for nothing but
// itself.
func isOurs(c *commit) bool { return parseMessage(c.message).object(trailerRollbackOf) != "" }

// vouched checks that the head is signed. The daemon's reverts are looked
// through: what they were built on must have been signed by others.
func (v *verifier) vouched(ctx context.Context, head plumbing.Hash) error {
	queue, seen := []plumbing.Hash{head}, map[plumbing.Hash]bool{head: true}
	for ; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return classify("verify", err, "")
		}
		c, err := v.r.store.commit(queue[0])
		if err != nil || c.hash == v.last {
			if err != nil {
				return err
			}
			continue
		}
		why, err := v.fault(c)
		switch {
		case err != nil:
			return err
		case why == "" && !isOurs(c):
			continue
		case why == "" && len(c.parents) == 0:
			why = "it is a revert of Changeover's own with nothing beneath it"
		case len(seen) > maxLookThrough:
			why = fmt.Sprintf("no signed commit is among the %d before the head", maxLookThrough)
		}
		if why != "" {
			return &reconciler.UnverifiedError{Commit: revision(c.hash), Reason: why}
		}
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return nil
}
