package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// atHead is a plan as the remote's branch has it now.
type atHead struct {
	repo *git.Repository
	head plan.Revision
	file reconciler.PlanFile
	key  plan.Key
}

func (h *atHead) plan() *plan.Plan { return h.file.Version.Plan }

// readHead opens the repository and finds the plan at the branch's head.
func (a *app) readHead(ctx context.Context, c *changeFlags, ref planRef) (*atHead, error) {
	repo, err := c.open(ctx, a)
	if err != nil {
		return nil, err
	}
	head := repo.Head()
	files, err := repo.Plans(ctx, head)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the plans at %s: %w", head.Short(), err), repo.Close())
	}
	var known []plan.Key
	for _, f := range files {
		if p := f.Version.Plan; p != nil && p.Metadata.Name != "" {
			known = append(known, p.Key())
		}
	}
	key, err := ref.resolve(known, fmt.Sprintf("on branch %s of %s", c.branch, c.repo))
	if err != nil {
		return nil, errors.Join(err, repo.Close())
	}
	var found []reconciler.PlanFile
	for _, f := range files {
		if f.Version.Plan != nil && f.Version.Plan.Key() == key {
			found = append(found, f)
		}
	}
	if len(found) > 1 {
		return nil, errors.Join(finding("plan %q is declared by %s and %s on branch %s: remove one first", key, found[0].Version.Path, found[1].Version.Path, c.branch), repo.Close())
	}
	return &atHead{repo: repo, head: head, file: found[0], key: key}, nil
}

// valid refuses a plan that does not decode: its itinerary cannot be trusted.
func (h *atHead) valid(a *app) error {
	if !plan.HasErrors(h.file.Problems) {
		return nil
	}
	for _, p := range h.file.Problems {
		a.note("%s", a.renderProblem(p))
	}
	return finding("plan %q at the branch's head does not validate: mend it first", h.key)
}

// readReason is --reason; where it is not required it may be empty.
func readReason(s string, required bool) (string, error) {
	if strings.TrimSpace(s) == "" && !required {
		return "", nil
	}
	s, err := web.CheckReason(s)
	if err != nil {
		return "", usageError("--reason: %w", err)
	}
	return s, nil
}
