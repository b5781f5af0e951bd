package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

type rollbackFlags struct {
	changeFlags
	namespace, stateDir *string
	to, reason          string
	gitOnly             bool
}

func (a *app) rollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback PLAN --reason TEXT",
		Short: "Take traffic back now, and Git with it",
		Long: `Roll a plan back to what its newest raise replaced, or to an earlier stop.

The daemon is asked first, on the admin socket in its state directory: it moves traffic at once, even while Git is
down, and reverts the raise in Git. Where no daemon runs there, a commit that lowers the position is pushed to the
watched branch, for the daemon that watches it. No gate and no limit stands in the way of either. The output says
which of the two happened.`,
		Example: "  changeover rollback shop --reason 'checkout errors'\n  changeover rollback shop --to setup --reason 'checkout errors' --git",
		Args:    onePlan(false),
	}
	var r rollbackFlags
	r.namespace = addNamespace(cmd)
	r.stateDir = a.addStateDir(cmd)
	r.add(cmd)
	r.forge.add(cmd, a.getenv)
	cmd.Flags().StringVar(&r.to, "to", "", "stop as PHASE or PHASE@PERCENT (default: what the newest raise replaced)")
	cmd.Flags().StringVar(&r.reason, "reason", "", "why, in one line; goes into the commit (required)")
	cmd.Flags().BoolVar(&r.gitOnly, "git", false, "do not ask a daemon: commit the lower position")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		ref, err := parsePlan(args[0], *r.namespace)
		if err != nil {
			return err
		}
		if r.reason, err = readReason(r.reason, true); err != nil {
			return err
		}
		if r.to != "" {
			if _, err := plan.ParsePosition(r.to); err != nil {
				return usageError("--to: %w", err)
			}
		}
		if r.gitOnly {
			return a.rollbackByCommit(ctx, ref, &r)
		}
		client, err := dialAdmin(ctx, *r.stateDir)
		switch {
		case errors.Is(err, errNoDaemon):
			a.note("No daemon is running on %s: committing the lower position instead.", *r.stateDir)
			return a.rollbackByCommit(ctx, ref, &r)
		case err != nil:
			return fmt.Errorf("%w; or give --git to commit the lower position instead", err)
		}
		return a.rollbackByDaemon(ctx, client, ref, &r)
	})
	return cmd
}

// rollbackByDaemon asks the daemon. Where that fails nothing is committed
// behind its back: it may have begun.
func (a *app) rollbackByDaemon(ctx context.Context, client *adminClient, ref planRef, r *rollbackFlags) error {
	all, err := client.Statuses(ctx)
	if err != nil {
		return err
	}
	s, err := pick(all, ref)
	if err != nil {
		return fmt.Errorf("%w; give another --state-dir, or --git to commit to the branch", err)
	}
	if r.dryRun {
		target := r.to
		if target == "" {
			target = "what the newest raise replaced"
		}
		a.printf("Dry run: the daemon would be asked on %s to roll back %s from %s to %s, because: %s\n", client.socket, s.Key, s.Effective, target, r.reason)
		return nil
	}
	after, err := client.Rollback(ctx, s.Key, r.to, r.reason)
	var refused *adminError
	switch {
	case errors.As(err, &refused) && refused.code != http.StatusGatewayTimeout:
		return finding("the daemon refused: %w. `changeover rollback %s --git` commits a lower position instead", err, s.Key)
	case err != nil:
		return fmt.Errorf("%w; it may have begun: see `changeover status %s`", err, s.Key)
	}
	a.printf("The daemon on %s took the request: %s goes back from %s%s.\n", client.socket, s.Key, s.Effective, target(s, after))
	a.printf("Traffic moves first; the revert in Git follows by itself: `changeover status %s`.\n", s.Key)
	return nil
}

// target is where the plan goes, as far as the daemon's answer tells.
func target(before, after reconciler.Status) string {
	switch {
	case after.Move != nil:
		return fmt.Sprintf(" to %s (%s)", after.Move.To, after.State)
	case after.Effective != before.Effective:
		return fmt.Sprintf(" to %s (%s)", after.Effective, after.State)
	}
	return ""
}

// rollbackByCommit lowers the declared position on the watched branch.
func (a *app) rollbackByCommit(ctx context.Context, ref planRef, r *rollbackFlags) error {
	h, err := a.readHead(ctx, &r.changeFlags, ref)
	if err != nil {
		return err
	}
	p, err := h.lower(ctx, a, r)
	if err == nil {
		err = a.propose(ctx, h, &r.changeFlags, p)
	}
	return errors.Join(err, h.repo.Close())
}

// lower is the commit that lowers the position.
func (h *atHead) lower(ctx context.Context, a *app, r *rollbackFlags) (proposal, error) {
	if err := h.valid(a); err != nil {
		return proposal{}, err
	}
	p := h.plan()
	declared := p.Spec.Position
	var to plan.Position
	if r.to != "" {
		stop, err := stopOf(p, r.to)
		if err != nil {
			return proposal{}, err
		}
		to = stop
	} else {
		changes, err := h.repo.Changes(ctx, h.key, "", h.head)
		if err != nil {
			return proposal{}, fmt.Errorf("read the history of %q: %w", h.key, err)
		}
		raise, ok := newestRaise(changes, declared)
		if !ok {
			return proposal{}, finding("roll back %q: no commit on the branch raised it to %s; say where to with --to, one of: %s", h.key, declared, stopList(p.Itinerary()))
		}
		to = raise.From
	}
	if it := p.Itinerary(); it.Index(to) < 0 || it.Index(to) >= it.Index(declared) {
		return proposal{}, finding("roll back %q to %s: Git declares %s, which is not after that", h.key, to, declared)
	}
	out, err := h.moveTo(to, "Roll back", r.reason)
	out.aside = fmt.Sprintf("changeover/rollback-%s-%s", h.key.Name, to)
	out.after = h.whatNext(fmt.Sprintf("A daemon that watches the branch moves traffic to %s when it reads the commit", to))
	return out, err
}
