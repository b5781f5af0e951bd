package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Edit is a commit that a person asks for.
type Edit struct {
	Key plan.Key
	// SetPosition is written into the plan's file; nil leaves every file as
	// it is, and the commit carries its trailers alone.
	SetPosition *plan.Position
	// Files are written below the watched folder, where there are any. None of
	// them may be there yet.
	Files []NewFile
	// From is what the plan must declare at the head that the commit is made
	// on, also after a lost race: what the person saw. Nil: whatever it does.
	From *plan.Position
	// Message is the subject, and after a blank line maybe a body.
	Message string
	// Trailers, as name and value. Changeover-Plan is added.
	Trailers [][2]string
	// Branch that is made for the commit; the watched branch where empty.
	Branch string
}

// NewFile is a file that a commit adds: its path below the watched folder, and
// its content.
type NewFile struct {
	Path string
	Data []byte
}

// Commit makes one commit on the remote's head and pushes it with
// compare-and-swap, as Push does. The outcome is NothingToDo where the plan
// declares the position already and there are no trailers. A branch that
// refuses the push is an error of kind Refused; so is an Edit.Branch that
// exists already. A plan that is not there is a reconciler.ErrNoPlan.
func (r *Repository) Commit(ctx context.Context, e Edit) (reconciler.Pushed, error) {
	if strings.TrimSpace(e.Message) == "" {
		return reconciler.Pushed{}, errors.New("commit: a message is needed")
	}
	if e.SetPosition == nil && len(e.Trailers) == 0 && len(e.Files) == 0 {
		return reconciler.Pushed{}, errors.New("commit: neither a position, a file nor a trailer is given")
	}
	at := r.o.Now()
	build := func(ctx context.Context, head plumbing.Hash) (*proposal, error) { return r.edit(ctx, e, head, at) }
	if e.Branch == "" || e.Branch == r.o.Branch {
		return r.propose(ctx, "", build)
	}
	return r.commitAside(ctx, e.Branch, build)
}

// edit builds the commit on a head; without one where nothing would change.
func (r *Repository) edit(ctx context.Context, e Edit, head plumbing.Hash, at time.Time) (*proposal, error) {
	c, err := r.store.commit(head)
	if err != nil {
		return nil, err
	}
	p := &proposal{b: newBuilder(r.store), tip: head}
	tree, err := r.edited(ctx, p.b, c, e)
	if err != nil || tree == c.tree && len(e.Trailers) == 0 {
		return p, err
	}
	subject, body, _ := strings.Cut(strings.TrimSpace(e.Message), "\n")
	trailers := append([][2]string{{trailerPlan, e.Key.String()}}, e.Trailers...)
	if p.tip, err = r.putCommit(p.b, tree, head, at, compose(oneLine(subject), []string{body}, trailers)); err != nil {
		return nil, err
	}
	p.commits = []plan.Revision{revision(p.tip)}
	return p, nil
}

// edited is the tree with the new position.
func (r *Repository) edited(ctx context.Context, b *builder, c *commit, e Edit) (plumbing.Hash, error) {
	f, err := r.index.find(ctx, b, c.tree, e.Key)
	if err != nil {
		return c.tree, err
	}
	if f == nil {
		return c.tree, r.absent(ctx, e.Key, c)
	}
	if err := f.err(); err != nil {
		return c.tree, fmt.Errorf("read plan %q: %w", e.Key, err)
	}
	if len(e.Files) > 0 {
		return r.withFiles(b, c.tree, e.Files)
	}
	if e.SetPosition == nil || f.position() == *e.SetPosition {
		return c.tree, nil
	}
	if e.From != nil && f.position() != *e.From {
		return c.tree, fmt.Errorf("set position %q: the branch changed meanwhile: plan %q declares %q now, no longer %q; look again",
			e.SetPosition, e.Key, f.position(), e.From)
	}
	data, err := plan.SetPosition(f.doc.Source, *e.SetPosition)
	if err != nil {
		return c.tree, err
	}
	doc, problems := plan.Decode(f.path, data)
	for _, p := range problems {
		if p.Severity != plan.SeverityWarning {
			return c.tree, fmt.Errorf("set position %q: %w: %s", e.SetPosition, reconciler.ErrInvalidPlan, p)
		}
	}
	if got := doc.Plan.Spec.Position; got != *e.SetPosition {
		return c.tree, &reconciler.MismatchError{Want: *e.SetPosition, Got: got}
	}
	return b.set(c.tree, f.path, &entry{mode: f.mode, hash: b.put(plumbing.BlobObject, data)})
}

// withFiles is the tree with the files that the edit adds.
func (r *Repository) withFiles(b *builder, tree plumbing.Hash, files []NewFile) (plumbing.Hash, error) {
	for _, f := range files {
		name := path.Join(r.o.Path, f.Path)
		if !isPublishedPath(f.Path) {
			return tree, fmt.Errorf("write %q: it is not a file in the watched folder", f.Path)
		}
		_, ok, err := lookup(b, tree, name)
		if err != nil || ok {
			return tree, cmp.Or(err, fmt.Errorf("write %q: it is there already", name))
		}
		if tree, err = b.set(tree, name, &entry{mode: filemode.Regular, hash: b.put(plumbing.BlobObject, f.Data)}); err != nil {
			return tree, err
		}
	}
	return tree, nil
}

// commitAside pushes the commit to a new branch.
func (r *Repository) commitAside(ctx context.Context, branch string, build func(context.Context, plumbing.Hash) (*proposal, error)) (reconciler.Pushed, error) {
	if _, err := r.Poll(ctx); err != nil {
		return reconciler.Pushed{}, err
	}
	head := r.base()
	p, err := build(ctx, head)
	if err != nil {
		return reconciler.Pushed{}, err
	}
	out := reconciler.Pushed{Outcome: reconciler.PushedNothing, Head: revision(head)}
	if len(p.commits) == 0 {
		return out, nil
	}
	ref := plumbing.NewBranchReferenceName(branch)
	if _, err := r.land(ctx, ref, plumbing.ZeroHash, p); isKind(err, reconciler.RemoteRace) {
		return out, &reconciler.RemoteError{
			Kind: reconciler.RemoteRefused, Op: "push",
			Text: fmt.Sprintf("branch %q is on the remote already; delete it or name another", branch),
		}
	} else if err != nil {
		return out, err
	}
	out.Outcome, out.Commits, out.Branch = reconciler.PushedBranch, p.commits, branch
	return out, nil
}

// Log returns the newest n changes of a plan at a revision, oldest first.
func (r *Repository) Log(ctx context.Context, key plan.Key, at plan.Revision, n int) ([]decide.Change, error) {
	all, err := r.Changes(ctx, key, "", at)
	if err != nil {
		return nil, err
	}
	return all[max(0, len(all)-n):], nil
}
