package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/git"
)

func (a *app) approveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve PLAN",
		Short: "Commit your approval of a stop, or of items of its checklist",
		Long: `Commit a file below approvals/PLAN/ which says that a stop may be entered, by the raise that declares the plan's
position now. Each stop of a raise needs approvals of its own, and a raise that was rolled back needs new ones. An
approval counts where the author of the commit is a signer of the role and did not make the raise. It is made on what
the remote's branch holds now; this folder's files and branches are not touched.

With --all-items one commit ticks every item of the stop's checklist that is not ticked yet. It does not approve the
stop itself.`,
		Example: `  changeover approve shop --role operations
  changeover approve shop --stop gradual@50 --role operations --item "Dashboards reviewed"
  changeover approve shop --all-items --dry-run`,
		Args: onePlan(false),
	}
	namespace := addNamespace(cmd)
	var c changeFlags
	c.add(cmd)
	c.forge.add(cmd, a.getenv)
	var f approveFlags
	stop := cmd.Flags().String("stop", "", "the stop, as PHASE or PHASE@PERCENT (default: the declared position)")
	cmd.Flags().StringVar(&f.role, "role", "", "the role for which you approve (default: the only one of the plan)")
	cmd.Flags().StringVar(&f.item, "item", "", "the item of the stop's checklist that is done; without it the stop is approved")
	cmd.Flags().BoolVar(&f.allItems, "all-items", false, "every item of the stop's checklist that is not ticked yet is done")
	cmd.MarkFlagsMutuallyExclusive("item", "all-items")
	cmd.Flags().StringVar(&f.note, "note", "", "a note for people")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		if *stop != "" {
			if f.stop, err = plan.ParsePosition(*stop); err != nil {
				return usageError("--stop: %w", err)
			}
		}
		h, err := a.readHead(ctx, &c, ref)
		if err != nil {
			return err
		}
		p, err := h.approve(ctx, a, f, c.author)
		switch {
		case err != nil:
		case len(p.files) == 0:
			a.printf("Nothing to do: every item of the checklist of %s is ticked already.\n", cmp.Or(f.stop, h.plan().Spec.Position))
		default:
			err = a.propose(ctx, h, &c, p)
		}
		return errors.Join(err, h.repo.Close())
	})
	return cmd
}

// approveFlags say what is approved.
type approveFlags struct {
	stop             plan.Position
	role, item, note string
	allItems         bool
}

// approve is the commit that approves, without files where all is ticked
// already. What could not count is refused.
func (h *atHead) approve(ctx context.Context, a *app, f approveFlags, author string) (proposal, error) {
	if err := h.valid(a); err != nil {
		return proposal{}, err
	}
	p := h.plan()
	if f.stop.IsZero() {
		f.stop = p.Spec.Position
	}
	ph := p.Phase(f.stop.Phase)
	if p.Itinerary().Index(f.stop) < 0 {
		return proposal{}, usageError("--stop: %q is no stop of %q: its stops are %s", f.stop, h.key, stopList(p.Itinerary()))
	}
	roles := slices.Sorted(maps.Keys(p.Spec.Roles))
	if f.role == "" && len(roles) == 1 {
		f.role = roles[0]
	}
	role, ok := p.Spec.Roles[f.role]
	if !ok {
		return proposal{}, usageError("--role: %q is no role of %q: its roles are %s", f.role, h.key, strings.Join(roles, ", "))
	}
	if f.item != "" && !slices.Contains(ph.Checklist, f.item) {
		return proposal{}, usageError("--item: the checklist of %s has no item %q: its items are %q", f.stop, f.item, ph.Checklist)
	}
	if f.allItems && len(ph.Checklist) == 0 {
		return proposal{}, usageError("--all-items: %s has no checklist", f.stop)
	}
	who, err := mail.ParseAddress(author)
	if err != nil {
		return proposal{}, usageError("read the author %q: want \"Name <address>\"", author)
	}
	if !slices.ContainsFunc(role.Signers, func(s string) bool { return strings.EqualFold(s, who.Address) }) {
		return proposal{}, finding("%s is no signer of the role %s of %q: an approval by you would not count", who.Address, f.role, h.key)
	}
	changes, err := h.repo.Changes(ctx, h.key, "", h.head)
	if err != nil {
		return proposal{}, fmt.Errorf("read the history of %q: %w", h.key, err)
	}
	raise, ok := decide.RaiseAt(p.Itinerary(), changes)
	switch {
	case !ok:
		return proposal{}, finding("no commit on the branch raised the position of %q: there is nothing to approve", h.key)
	case strings.EqualFold(raise.Author, who.Address):
		return proposal{}, finding("%s made the raise %s (%s): somebody else must approve it", who.Address, raise.Commit.Short(), raise.Subject)
	}
	items := []string{f.item}
	if f.allItems {
		if items, err = h.openItems(ctx, f.stop, changes); err != nil || len(items) == 0 {
			return proposal{}, err
		}
	}
	return h.approval(f, items, who, raise)
}

// openItems are those of the stop's checklist that nobody ticked yet.
func (h *atHead) openItems(ctx context.Context, stop plan.Position, changes []decide.Change) ([]string, error) {
	approvals, _, err := h.repo.Approvals(ctx, h.key, h.head)
	if err != nil {
		return nil, err
	}
	ticked := decide.Ticked(h.file.Version, changes, approvals, stop)
	return slices.DeleteFunc(slices.Clone(h.plan().Phase(stop.Phase).Checklist), func(item string) bool { return ticked[item] }), nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9.]+`)

// approval is the commit, with a file for each item; an empty one is the stop.
func (h *atHead) approval(f approveFlags, items []string, who *mail.Address, raise decide.Change) (proposal, error) {
	p := proposal{after: h.whatNext(fmt.Sprintf("It approves raise %s (%s)", raise.Commit.Short(), raise.Subject))}
	for _, item := range items {
		data, err := yaml.Marshal(plan.Approval{
			APIVersion: plan.APIVersion, Kind: plan.ApprovalKind,
			Spec: plan.ApprovalSpec{
				Plan: h.key.String(), Stop: f.stop.String(), Raise: string(raise.Commit), Role: f.role, Item: item, By: who.Name, Note: f.note,
			},
		})
		if err != nil {
			return proposal{}, fmt.Errorf("write the approval: %w", err)
		}
		name := fileName(f.stop.String(), raise.Commit.Short(), f.role, item, who.Address)
		for n := 2; slices.ContainsFunc(p.files, func(g git.NewFile) bool { return g.Path == h.approvalPath(name) }); n++ {
			name = fileName(f.stop.String(), raise.Commit.Short(), f.role, fmt.Sprint(n), item, who.Address) // items that differ in signs alone
		}
		p.files = append(p.files, git.NewFile{Path: h.approvalPath(name), Data: data})
	}
	what, aside := f.stop.String(), fileName(f.stop.String(), raise.Commit.Short(), f.role, items[0], who.Address)
	switch {
	case len(items) > 1:
		what = fmt.Sprintf("%d items of %s", len(items), f.stop)
		p.why = fmt.Sprintf("Ticked: %q.", items)
		aside = fileName(f.stop.String(), raise.Commit.Short(), f.role, "all-items", who.Address)
	case items[0] != "":
		what = fmt.Sprintf("%q of %s", items[0], f.stop)
	}
	p.subject = fmt.Sprintf("Approve %s: %s, as %s", h.key.Name, what, f.role)
	p.aside = fmt.Sprintf("changeover/approve-%s-%s", h.key.Name, aside[:min(len(aside), 100)])
	return p, nil
}

func (h *atHead) approvalPath(name string) string {
	return "approvals/" + h.key.Name + "/" + name[:min(len(name), 200)] + ".yaml"
}

// fileName is made of parts, of the signs that are safe in paths and branches.
func fileName(parts ...string) string {
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.Join(parts, "-")), "-"), "-.")
}
