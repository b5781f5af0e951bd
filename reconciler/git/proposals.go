package git

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Bounds of what is taken in of commits that anybody may propose.
const (
	maxProposed        = 32 << 20 // bytes on their way
	maxProposedSize    = 64 << 20 // bytes as they are in memory
	maxProposedObjects = 100_000
	maxBetween         = 100_000 // commits that are looked at for a common one
)

// Proposals are commits that were proposed for the branch and are not on it.
// They are kept apart, in memory and bounded, on top of the branch's store:
// whatever is wrong with them does not touch that. It is for one goroutine.
type Proposals struct {
	of   *Repository
	view *Repository
	size int64 // of what was taken in
}

// Proposals makes an empty one.
func (r *Repository) Proposals() *Proposals {
	p := &Proposals{of: r}
	p.clear()
	return p
}

// clear forgets what was fetched.
func (p *Proposals) clear() {
	p.size = 0
	p.view = &Repository{
		o: p.of.o, remote: p.of.remote, store: newStore(memory.NewStorage()), index: newIndex(p.of.o.Path, p.of.o.Reads),
		ancestry: newLRU[[2]plumbing.Hash, bool](100, nil),
	}
	p.view.store.below = p.of.store
}

// Fetch gets a commit with what the branch does not have, from the first of
// these refs that is at it, and returns the newest commit that it shares with
// the branch's head. An error means that it is not there, or not any more, is
// too large, or that the remote could not be read.
func (p *Proposals) Fetch(ctx context.Context, refs []string, want plan.Revision) (shared plan.Revision, err error) {
	if !plumbing.IsHash(string(want)) {
		return "", fmt.Errorf("fetch a proposal: %q is not the name of a commit", want)
	}
	h := plumbing.NewHash(string(want))
	if p.size > maxProposedSize {
		p.clear()
	}
	if !p.view.store.has(h) {
		if err := p.fetch(ctx, refs, h); err != nil {
			return "", err
		}
	}
	base, err := p.view.mergeBase(ctx, p.of.head(), h)
	return revision(base), err
}

func (p *Proposals) fetch(ctx context.Context, refs []string, want plumbing.Hash) error {
	var pack bytes.Buffer
	receive := func(r io.Reader) error {
		n, err := io.Copy(&pack, io.LimitReader(r, maxProposed+1))
		if err == nil && n > maxProposed {
			err = fmt.Errorf("the proposal has more than %d MiB", maxProposed>>20)
		}
		return err
	}
	why := errors.New("no ref names it")
	for _, ref := range refs {
		pack.Reset()
		head, err := p.of.remote.fetch(ctx, wanted{
			ref: plumbing.ReferenceName(ref), haves: p.of.haves, receive: receive,
			known: func(h plumbing.Hash) bool { return h != want || p.view.store.has(h) },
		})
		var absent *noBranchError
		switch {
		case errors.As(err, &absent):
			continue
		case err != nil:
			return err
		case head != want:
			why = fmt.Errorf("%s is at %s meanwhile", ref, short(head))
			continue
		}
		return p.receive(pack.Bytes())
	}
	return fmt.Errorf("fetch the proposal %s: %w", short(want), why)
}

// receive takes a pack in, once it is known how large it gets.
func (p *Proposals) receive(pack []byte) error {
	if len(pack) == 0 {
		return nil
	}
	n, err := inflated(pack)
	if err == nil {
		p.size += n
		err = p.view.store.receive(bytes.NewReader(pack))
	}
	if err != nil {
		return fmt.Errorf("fetch the proposal: %w", err)
	}
	return nil
}

// inflated is the size of a pack's objects in memory, in bytes. What says that
// it is larger than the bound is not read.
func inflated(pack []byte) (total int64, err error) {
	s := packfile.NewScanner(bytes.NewReader(pack))
	_, objects, err := s.Header()
	if err != nil {
		return 0, err
	}
	if objects > maxProposedObjects {
		return 0, fmt.Errorf("the proposal has %d objects, more than %d", objects, maxProposedObjects)
	}
	for range objects {
		h, err := s.NextObjectHeader()
		if err != nil {
			return 0, err
		}
		if total += h.Length; total <= maxProposedSize && h.Type.IsDelta() {
			var start prefix
			if _, _, err := s.NextObject(&start); err != nil {
				return 0, err
			}
			total += start.result()
		}
		if total > maxProposedSize || total < 0 {
			return 0, fmt.Errorf("the proposal gets larger than %d MiB", maxProposedSize>>20)
		}
	}
	return total, nil
}

// prefix keeps the first bytes of a delta, which tell what it gives.
type prefix struct {
	b [20]byte
	n int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.b[p.n:], b)
	return len(b), nil
}

// result is the size of what the delta gives; more than any bound where it does
// not say.
func (p *prefix) result() int64 {
	b, size := p.b[:p.n], int64(0)
	for range 2 { // of the source, then of the result
		size = 0
		for shift := 0; ; shift += 7 {
			if len(b) == 0 || shift > 42 {
				return maxProposedSize + 1
			}
			c := b[0]
			b = b[1:]
			size |= int64(c&0x7f) << shift
			if c < 0x80 {
				break
			}
		}
	}
	return size
}

// Plans lists the plans at a commit of the branch, or one that was fetched.
func (p *Proposals) Plans(ctx context.Context, rev plan.Revision) ([]reconciler.PlanFile, error) {
	return p.view.Plans(ctx, rev)
}

// Files are those of the repository at such a commit.
func (p *Proposals) Files(ctx context.Context, rev plan.Revision) (fs.FS, error) {
	return p.view.Files(ctx, rev)
}

// Tip is where another branch of the remote is; empty where it is not there, or
// merged into the watched one.
func (r *Repository) Tip(ctx context.Context, branch string) (plan.Revision, error) {
	if !isBranchName(branch) {
		return "", fmt.Errorf("read branch: %q is not a branch name", branch)
	}
	tip, err := r.remote.readRef(ctx, plumbing.NewBranchReferenceName(branch))
	if err != nil || tip.IsZero() {
		return "", err
	}
	merged, err := r.contains(ctx, r.base(), tip)
	if err != nil || merged {
		return "", err
	}
	return revision(tip), nil
}

// mergeBase is the newest commit that both have among their ancestors.
func (r *Repository) mergeBase(ctx context.Context, a, b plumbing.Hash) (plumbing.Hash, error) {
	of := map[plumbing.Hash]int{}
	var queue newestFirst
	reach := func(h plumbing.Hash, from int) error {
		if of[h]|from == of[h] {
			return nil
		}
		of[h] |= from
		c, err := r.store.commit(h)
		if err == nil {
			heap.Push(&queue, c)
		}
		return err
	}
	if err := errors.Join(reach(a, 1), reach(b, 2)); err != nil {
		return plumbing.ZeroHash, err
	}
	for queue.Len() > 0 && len(of) < maxBetween && ctx.Err() == nil {
		c := heap.Pop(&queue).(*commit)
		if of[c.hash] == 3 {
			return c.hash, nil
		}
		for _, parent := range c.parents {
			if err := reach(parent, of[c.hash]); err != nil {
				return plumbing.ZeroHash, err
			}
		}
	}
	if ctx.Err() != nil {
		return plumbing.ZeroHash, ctx.Err()
	}
	return plumbing.ZeroHash, fmt.Errorf("commit %s shares no commit with branch %s", short(b), r.o.Branch)
}

// newestFirst is a heap of commits.
type newestFirst []*commit

func (q newestFirst) Len() int           { return len(q) }
func (q newestFirst) Less(i, j int) bool { return q[i].at.After(q[j].at) }
func (q newestFirst) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *newestFirst) Push(c any)        { *q = append(*q, c.(*commit)) }

func (q *newestFirst) Pop() any {
	old := *q
	c := old[len(old)-1]
	*q = old[:len(old)-1]
	return c
}
