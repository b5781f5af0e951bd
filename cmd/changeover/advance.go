package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/git"
)

func (a *app) advanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "advance PLAN",
		Short: "Commit the next stop of a plan's itinerary",
		Long: `Commit a higher position: the next stop after the declared one, or the one given with --to. The commit goes onto a
branch of its own for a pull request, which --pr opens, or with --direct onto the watched branch. It is made on what the
remote's branch holds now; this folder's files and branches are not touched. The daemon moves only when the gates allow
it.`,
		Example: `  changeover advance shop
  changeover advance shop --to gradual@50 --direct
  changeover advance shop --pr --forge-token-file ~/.config/changeover/token`,
		Args: onePlan(false),
	}
	namespace := addNamespace(cmd)
	var c changeFlags
	c.add(cmd)
	c.forge.add(cmd, a.getenv)
	cmd.Flags().BoolVar(&c.pr, "pr", false, "open a pull request from the new branch; needs --forge-token-file")
	to := cmd.Flags().String("to", "", "stop as PHASE or PHASE@PERCENT (default: the next one)")
	reason := cmd.Flags().String("reason", "", "why, in one line; goes into the commit")
	direct := cmd.Flags().Bool("direct", false, "commit to the watched branch itself")
	cmd.MarkFlagsMutuallyExclusive("pr", "direct")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		why, err := readReason(*reason, false)
		if err != nil {
			return err
		}
		h, err := a.readHead(ctx, &c, ref)
		if err != nil {
			return err
		}
		p, err := h.advance(a, *to, why)
		if err != nil {
			return errors.Join(err, h.repo.Close())
		}
		if aside := git.AdvanceBranch(h.key, *p.to); *direct {
			p.refused = "leave --direct out to put the commit on branch " + aside
		} else {
			p.branch = aside
			p.refused = fmt.Sprintf("where its pull request is merged or given up, `git push %s --delete %s` makes room", c.repo, aside)
		}
		err = a.propose(ctx, h, &c, p)
		return errors.Join(err, h.repo.Close())
	})
	return cmd
}

// advance is the commit that raises the position.
func (h *atHead) advance(a *app, to, why string) (proposal, error) {
	if err := h.valid(a); err != nil {
		return proposal{}, err
	}
	it, from := h.plan().Itinerary(), h.plan().Spec.Position
	next, ok := it.Next(from)
	switch {
	case to != "":
		stop, err := stopOf(h.plan(), to)
		if err != nil {
			return proposal{}, err
		}
		if it.Index(stop) <= it.Index(from) {
			return proposal{}, finding("advance %q to %s: it declares %s already, which is not before that; to go back use `changeover rollback`", h.key, stop, from)
		}
		next = stop
	case !ok:
		return proposal{}, finding("advance %q: it declares its last stop, %s, already", h.key, from)
	}
	p, err := h.moveTo(next, "Advance", why)
	if err != nil {
		return p, err
	}
	p.after = h.whatNext(fmt.Sprintf("When it is on the watched branch, the daemon goes to %s as the gates allow", next))
	return p, nil
}

// whatNext is the last line of output.
func (h *atHead) whatNext(text string) string {
	if h.plan().Spec.Suspend {
		return "The plan is suspended: the daemon changes nothing before spec.suspend is false in Git."
	}
	return fmt.Sprintf("%s: `changeover status %s`.", text, h.key)
}

// moveTo is a commit that changes the position and nothing else.
func (h *atHead) moveTo(to plan.Position, verb, why string) (proposal, error) {
	text, err := plan.SetPosition(h.file.Document.Source, to)
	if err != nil {
		return proposal{}, fmt.Errorf("write the position into %s: %w", h.file.Version.Path, err)
	}
	return proposal{from: h.plan().Spec.Position, to: &to, text: text, subject: fmt.Sprintf("%s %s from %s to %s", verb, h.key.Name, h.plan().Spec.Position, to), why: why}, nil
}
