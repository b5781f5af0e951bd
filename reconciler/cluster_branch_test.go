package reconciler_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/fakes"
)

// memoryBranch is a watched branch with the plan shop in memory, for stories
// that are played very often. The commits of a branch stand in a line.
type memoryBranch struct {
	mu      sync.Mutex
	commits []memoryCommit
	fail    error // of the remote
}

type memoryCommit struct {
	text    string
	version plan.Version
	doc     *plan.Document
	change  decide.Change
}

var _ reconciler.Source = (*memoryBranch)(nil)

// commit adds a version of the plan's file.
func (b *memoryBranch) commit(text string, rollbackOf plan.Revision) plan.Revision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.add(text, rollbackOf)
}

func (b *memoryBranch) add(text string, rollbackOf plan.Revision) plan.Revision {
	doc, problems := plan.Decode("shop.yaml", []byte(text))
	if plan.HasErrors(problems) {
		panic(problems[0].Render())
	}
	rev := plan.Revision(fmt.Sprintf("%08x%032x", len(b.commits)+1, 0))
	c := memoryCommit{text: text, doc: doc, version: plan.Version{
		Plan: doc.Plan, Revision: rev, Path: "shop.yaml", Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan),
	}}
	c.change = decide.Change{Commit: rev, To: doc.Plan.Spec.Position, RollbackOf: rollbackOf}
	if n := len(b.commits); n > 0 {
		old := b.commits[n-1]
		d := plan.Compare(old.version.Plan, doc.Plan)
		c.change.Parent, c.change.From = old.version.Revision, old.version.Plan.Spec.Position
		c.change.Content, c.change.Live = d.Content, d.Live
		c.change.Raise, c.change.Lower = d.Direction == plan.Forward, d.Direction == plan.Backward
	}
	b.commits = append(b.commits, c)
	return rev
}

// declare commits a position, where it is another one.
func (b *memoryBranch) declare(pos plan.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	head := b.commits[len(b.commits)-1]
	if head.version.Plan.Spec.Position != pos {
		b.add(b.moved(head.text, pos), "")
	}
}

func (b *memoryBranch) moved(text string, pos plan.Position) string {
	out, err := plan.SetPosition([]byte(text), pos)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// head is the newest text of the plan's file.
func (b *memoryBranch) head() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commits[len(b.commits)-1].text
}

// reverts are the commits that the daemon made.
func (b *memoryBranch) reverts() (out []plan.Revision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.commits {
		if c.change.RollbackOf != "" {
			out = append(out, c.change.RollbackOf)
		}
	}
	return out
}

func (b *memoryBranch) unreachable(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
}

func (b *memoryBranch) index(rev plan.Revision) int {
	return slices.IndexFunc(b.commits, func(c memoryCommit) bool { return c.version.Revision == rev })
}

// Poll implements reconciler.Source.
func (b *memoryBranch) Poll(context.Context) (plan.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commits[len(b.commits)-1].version.Revision, b.fail
}

// Plans implements reconciler.Source.
func (b *memoryBranch) Plans(_ context.Context, rev plan.Revision) ([]reconciler.PlanFile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.commits[b.index(rev)]
	return []reconciler.PlanFile{{Version: c.version, Document: c.doc}}, nil
}

// Version implements reconciler.Source.
func (b *memoryBranch) Version(_ context.Context, _ plan.Key, rev plan.Revision) (plan.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(rev)
	if i < 0 {
		return plan.Version{}, reconciler.ErrNoPlan
	}
	return b.commits[i].version, nil
}

// Changes implements reconciler.Source.
func (b *memoryBranch) Changes(_ context.Context, _ plan.Key, since, until plan.Revision) ([]decide.Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []decide.Change
	for _, c := range b.commits[b.index(since)+1 : b.index(until)+1] {
		out = append(out, c.change)
	}
	return out, nil
}

// Contains implements reconciler.Source.
func (b *memoryBranch) Contains(_ context.Context, head, old plan.Revision) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(old)
	return i >= 0 && i <= b.index(head), nil
}

// Files implements reconciler.Source: there are none beside the plan's.
func (b *memoryBranch) Files(context.Context, plan.Revision) (fs.FS, error) {
	return nil, fs.ErrNotExist
}

// Propose implements reconciler.Source: nobody merges here.
func (b *memoryBranch) Propose(context.Context, plan.Key, plan.Position, string) (string, error) {
	return "aside", nil
}

// Approvals implements reconciler.Source: there are none.
func (b *memoryBranch) Approvals(context.Context, plan.Key, plan.Revision) ([]decide.Approval, []plan.Problem, error) {
	return nil, nil, nil
}

// Push implements reconciler.Source, for the only plan that there is.
func (b *memoryBranch) Push(_ context.Context, us []reconciler.Undo) ([]reconciler.Pushed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	return []reconciler.Pushed{b.undo(us[0])}, nil
}

func (b *memoryBranch) undo(u reconciler.Undo) reconciler.Pushed {
	head := b.commits[len(b.commits)-1]
	out := reconciler.Pushed{Outcome: reconciler.PushedNothing, Head: head.version.Revision}
	text, at := head.text, head.version.Plan.Spec.Position
	type revert struct {
		text string
		of   plan.Revision
	}
	var made []revert
	for _, rev := range u.Commits {
		if slices.ContainsFunc(b.commits, func(c memoryCommit) bool { return c.change.RollbackOf == rev }) {
			continue
		}
		c, before := b.commits[b.index(rev)], b.commits[b.index(rev)-1]
		if c.change.Raise || c.change.Lower {
			at = before.version.Plan.Spec.Position
		}
		if c.change.Content {
			text = before.text
		}
		text = b.moved(text, at)
		made = append(made, revert{text, rev})
	}
	if len(made) == 0 {
		return out
	}
	if at != u.Target {
		return reconciler.Pushed{Err: &reconciler.MismatchError{Want: u.Target, Got: at}}
	}
	for _, m := range made {
		out.Head = b.add(m.text, m.of)
		out.Commits = append(out.Commits, out.Head)
	}
	out.Outcome = reconciler.PushedHead
	return out
}

// newMemoryRig is a clusterRig whose branch is in memory.
func newMemoryRig(t testing.TB, src string) *clusterRig {
	t.Helper()
	j := &journal{}
	g := &clusterRig{
		rig: &rig{t: t, state: t.TempDir(), traffic: &fakes.Traffic{}, sampler: &fakes.Sampler{}, log: &lockedBuffer{}, branch: &memoryBranch{}},
		c:   newFakeCluster(j), j: j, pages: &pages{},
	}
	g.c.begins = g.begins
	g.wrap = g.wire
	g.sampler.Set("errors", 0)
	g.sampler.Set("late", 0)
	g.branch.commit(src, "")
	return g
}

// work evaluates the plan some times, a while of the test's clock apart.
func (g *clusterRig) work(n int, apart time.Duration) reconciler.Status {
	g.t.Helper()
	var st reconciler.Status
	for range n {
		st = g.step(1)
		g.pass(apart)
	}
	return st
}
