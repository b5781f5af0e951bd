package git

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// approvalsDir holds, below the watched folder, one folder for each plan.
const approvalsDir = "approvals"

// Bounds of what is read of approvals.
const (
	maxApprovals    = 500 // files of one plan
	maxApprovalFile = 64 << 10
	maxMisread      = 20 // files of which is told what is wrong
)

// consentID names what was read: a plan's approvals at a head.
type consentID struct {
	key  plan.Key
	head plumbing.Hash
}

// originID names what a file of approvals is at a commit.
type originID struct {
	file         string
	blob, commit plumbing.Hash
}

// consent is what was read of a plan's approvals.
type consent struct {
	approvals []decide.Approval
	problems  []plan.Problem
}

// Approvals implements reconciler.Source. An approval's author is that of the
// commit that made the file what it is: merges that brought it are looked
// through.
func (r *Repository) Approvals(ctx context.Context, key plan.Key, rev plan.Revision) ([]decide.Approval, []plan.Problem, error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return nil, nil, err
	}
	id := consentID{key, c.hash}
	read, ok := r.consents.get(id)
	if !ok {
		if read, err = r.readApprovals(ctx, key, c); err != nil {
			return nil, nil, fmt.Errorf("read the approvals of %s at %s: %w", key, rev.Short(), err)
		}
		r.consents.put(id, read)
	}
	return read.approvals, read.problems, nil
}

func (r *Repository) readApprovals(ctx context.Context, key plan.Key, head *commit) (out consent, err error) {
	dir := path.Join(r.o.Path, approvalsDir, key.Name)
	e, ok, err := lookup(r.store, head.tree, dir)
	if err != nil || !ok || !e.isDir() {
		return out, err
	}
	entries, err := r.store.tree(e.hash)
	if err != nil {
		return out, err
	}
	files := 0
	for _, e := range entries {
		if !e.isFile() || !strings.HasSuffix(e.name, ".yaml") && !strings.HasSuffix(e.name, ".yml") {
			continue
		}
		if files++; files > maxApprovals {
			return consent{}, fmt.Errorf("%q holds more than %d files: remove those of raises that are over", dir, maxApprovals)
		}
		if err := r.readApproval(ctx, key, head, path.Join(dir, e.name), e.hash, &out); err != nil {
			return consent{}, err
		}
	}
	slices.SortFunc(out.approvals, func(a, b decide.Approval) int { return strings.Compare(a.File, b.File) })
	plan.Sort(out.problems)
	return out, nil
}

// readApproval adds what a file holds, or what is wrong with it.
func (r *Repository) readApproval(ctx context.Context, key plan.Key, head *commit, file string, blob plumbing.Hash, out *consent) error {
	src, whole, err := r.store.blob(blob, maxApprovalFile)
	if err != nil {
		return err
	}
	a, problems := plan.DecodeApproval(file, src)
	if !whole {
		problems = []plan.Problem{{
			File: file, Severity: plan.SeverityError, Code: "too-large",
			Message: fmt.Sprintf("the file is larger than %d KiB", maxApprovalFile>>10), Hint: "write one approval, and no more than a few lines",
		}}
	}
	of := plan.ParseKey(a.Spec.Plan, key.Namespace)
	if of.Name == key.Name && of.Namespace != key.Namespace {
		return nil // it is of the plan of that name in another namespace, or meant to be
	}
	if of.Name != key.Name && !plan.HasErrors(problems) {
		problems = []plan.Problem{{
			File: file, Severity: plan.SeverityError, Code: "approval-plan",
			Message: fmt.Sprintf("the approval is of plan %q, and stands in the folder of %q", of.Name, key.Name),
			Hint:    fmt.Sprintf("move it to %s, or mend spec.plan", path.Join(r.o.Path, approvalsDir, of.Name)),
		}}
	}
	if i := slices.IndexFunc(problems, func(p plan.Problem) bool { return p.Severity == plan.SeverityError }); i >= 0 {
		if len(out.problems) < maxMisread {
			p := problems[i]
			p.Severity, p.Message = plan.SeverityWarning, "the approval does not count: "+p.Message
			out.problems = append(out.problems, p)
		}
		return nil
	}
	stop, err := plan.ParsePosition(a.Spec.Stop)
	if err != nil {
		return fmt.Errorf("read %q: %w", file, err) // it decoded
	}
	by, err := r.broughtBy(ctx, head, file, blob)
	if err != nil {
		return err
	}
	out.approvals = append(out.approvals, decide.Approval{
		File: file, Commit: revision(by.hash), Author: by.email, At: by.at.UTC(), Stop: stop, Raise: plan.Revision(a.Spec.Raise),
		Role: a.Spec.Role, Item: a.Spec.Item, By: a.Spec.By, Note: a.Spec.Note,
	})
	return nil
}

// broughtBy is the commit that made a file what it is: from head back, a parent
// that has the same file is followed, whichever it is, so that a merge is not
// taken for the work of who merged. The way ends where an earlier one began, so
// that a new head costs only the commits that came with it.
func (r *Repository) broughtBy(ctx context.Context, head *commit, file string, blob plumbing.Hash) (*commit, error) {
	c := head
	for {
		if h, ok := r.origins.get(originID{file, blob, c.hash}); ok {
			r.origins.put(originID{file, blob, head.hash}, h)
			return r.store.commit(h)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var from *commit
		for _, h := range c.parents {
			p, err := r.store.commit(h)
			if err != nil {
				return nil, err
			}
			e, ok, err := lookup(r.store, p.tree, file)
			if err != nil {
				return nil, err
			}
			if ok && e.isFile() && e.hash == blob {
				from = p
				break
			}
		}
		if from == nil {
			r.origins.put(originID{file, blob, head.hash}, c.hash)
			return c, nil
		}
		c = from
	}
}
