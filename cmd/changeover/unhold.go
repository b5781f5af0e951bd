package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func (a *app) unholdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unhold PLAN COMMIT",
		Short: "Lift the hold on a commit that was rolled back",
		Long: `Commit to the watched branch that a hold is lifted: the change that was rolled back may be applied again, after the
daemon's cooldown. The commit changes no file. It is made on what the remote's branch holds now; this folder's files
and branches are not touched. COMMIT may be abbreviated; ` + "`changeover status PLAN`" + ` shows what is held.`,
		Example: `  changeover unhold shop 1c0ffee2 --reason "the cause is mended: INC-4711"
  changeover unhold shop 1c0ffee2 --dry-run`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError("PLAN and COMMIT are wanted, not %d arguments; `changeover status PLAN` shows what is held", len(args))
			}
			return nil
		},
	}
	namespace := addNamespace(cmd)
	var c changeFlags
	c.add(cmd)
	reason := cmd.Flags().String("reason", "", "why, in one line; goes into the commit")
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
		held, err := h.changeNamed(ctx, args[1])
		if err == nil {
			err = a.propose(ctx, h, &c, proposal{
				subject: fmt.Sprintf("Unhold %s in %s", held.Commit.Short(), h.key.Name), why: why,
				trailers: [][2]string{{"Changeover-Unhold", string(held.Commit)}},
				refused:  trailersRefused,
				after:    h.whatNext(fmt.Sprintf("The daemon may apply %s (%s) again after its cooldown", held.Commit.Short(), held.Subject)),
			})
		}
		return errors.Join(err, h.repo.Close())
	})
	return cmd
}

// changeNamed finds a commit that changed the plan by the beginning of its
// name. Only such a commit can be held.
func (h *atHead) changeNamed(ctx context.Context, name string) (decide.Change, error) {
	name = strings.ToLower(name)
	if len(name) < 4 || len(name) > 40 || strings.Trim(name, "0123456789abcdef") != "" {
		return decide.Change{}, usageError("commit %q: want 4 to 40 hexadecimal digits", name)
	}
	changes, err := h.repo.Changes(ctx, h.key, "", h.head)
	if err != nil {
		return decide.Change{}, fmt.Errorf("read the history of %q: %w", h.key, err)
	}
	var found []decide.Change
	for _, c := range changes {
		if strings.HasPrefix(string(c.Commit), name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return decide.Change{}, finding("commit %q is no commit on the branch that changed %q; `changeover status %s` shows what is held", name, h.key, h.key)
	}
	return decide.Change{}, usageError("commit %q is the beginning of %d commits; give more digits", name, len(found))
}

func (a *app) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume PLAN",
		Short: "Let a halted plan go forward again",
		Long: `Commit to the watched branch that a halt is over. The commit changes no file. It is made on what the remote's branch
holds now; this folder's files and branches are not touched.`,
		Example: `  changeover resume shop --reason "the branch was rewritten on purpose"`,
		Args:    onePlan(false),
	}
	namespace := addNamespace(cmd)
	var c changeFlags
	c.add(cmd)
	reason := cmd.Flags().String("reason", "", "why, in one line; goes into the commit (required)")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		why, err := readReason(*reason, true)
		if err != nil {
			return err
		}
		h, err := a.readHead(ctx, &c, ref)
		if err != nil {
			return err
		}
		err = a.propose(ctx, h, &c, proposal{
			subject: "Resume " + h.key.Name, why: why,
			trailers: [][2]string{{"Changeover-Resume", h.key.String()}},
			refused:  trailersRefused,
			after:    h.whatNext("The daemon ends the halt when it reads the commit"),
		})
		return errors.Join(err, h.repo.Close())
	})
	return cmd
}

// trailersRefused: the daemon reads the branch's first parents, where a merge
// commit stands for what it merges.
const trailersRefused = "the trailers above must stand in a commit on the branch itself: let someone who may push do it, or put them into the message of a pull request's merge commit"

// newestRaise is what stands of the raises: the one that a rollback undoes.
func newestRaise(changes []decide.Change, declared plan.Position) (decide.Change, bool) {
	for i := len(changes) - 1; i >= 0; i-- {
		if c := changes[i]; c.Raise && c.To == declared && !c.From.IsZero() {
			return c, true
		}
	}
	return decide.Change{}, false
}
