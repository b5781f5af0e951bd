package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/review"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// diffFlags are those of diff.
type diffFlags struct {
	pastFlags
	base, head string
	mergeBase  bool
}

func (a *app) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff --base REV [PATH]",
		Short: "Show what a change of plans would do, before it is merged",
		Long: `Show, for each plan that differs between two revisions, what the daemon would do about it: where the position goes,
the stops on the way and after it, the gates and all else that keeps it, what a breach would undo, the new findings of
validate, and what gateway and cluster are given, before and after, as a diff. Values of Secrets are hidden. It is run
in a clone and needs neither daemon nor cluster; PATH is the watched folder (default: this one).

Without --head the base is compared with the working tree, as git diff REV does: with HEAD and all that is not committed
yet, new files included but for those that are ignored. With --merge-base the base is the commit at which the head
branched off from it, as in git diff --merge-base: what others merged since is no part of the change.

What is in effect is taken to be what the base declares. A change is not allowed, and the exit code is 1, where the head
does not validate, where it removes the stop that is in effect (from the itinerary, or with the whole plan), where it
names another gateway past the first stop, and where gateway or cluster cannot be rendered.

Gates are listed, and evaluated as of now with --prometheus, each as if the plan stood at the first of its stops.

With -o json the output is {base, head, legal, evaluated, plans, unchanged}; plans is never null, and of each plan key,
kind, file, from, to, way, later, does, illegal, holds, gates, problems, gateway and cluster tell what the text tells.
kind is one of invalid, new, removed, raise, lower, elsewhere, content, suspend and cascade, which is a plan that goes
back as one does that it depends on. -o markdown is for a comment of a pull request, and has at most 60,000 bytes.`,
		Example: `  # What would the work in this folder do?
  changeover diff --base main
  # What would a branch do, with the gates as they are now?
  changeover diff --base origin/main --head my-branch --merge-base plans/ --prometheus http://localhost:9090
  # A comment for a pull request.
  changeover diff --base HEAD^1 --head HEAD -o markdown`,
		Args: onePath,
	}
	f := &diffFlags{}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.base, "base", "", "revision to compare with: a branch, tag or commit (required)")
	flags.StringVar(&f.head, "head", "", "revision with the change (default: the working tree)")
	flags.BoolVar(&f.mergeBase, "merge-base", false, "compare with the commit at which the head branched off from the base")
	out := addOutput(cmd, formatText, formatJSON, formatMarkdown)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		folder := "."
		if len(args) > 0 {
			folder = args[0]
		}
		r, err := a.diff(ctx, f, folder)
		if err != nil {
			return err
		}
		if err := a.printReview(r, out); err != nil {
			return err
		}
		if !r.Legal {
			return errFindings
		}
		return nil
	})
	return cmd
}

func onePath(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError("one PATH is wanted, not %d arguments (%q)", len(args), args)
	}
	return nil
}

func (a *app) diff(ctx context.Context, f *diffFlags, folder string) (review.Review, error) {
	if f.base == "" {
		return review.Review{}, usageError("--base is required: the revision to compare with, such as --base main")
	}
	o := reviewOptions(a.now())
	if f.prometheus != "" {
		if err := f.check(); err != nil {
			return review.Review{}, err
		}
		o.Gates = f.gatesNow(ctx, o.Now)
	}
	switch fi, err := os.Stat(folder); {
	case err != nil:
		return review.Review{}, fmt.Errorf("read %q: %w", folder, plainCause(err))
	case !fi.IsDir():
		return review.Review{}, usageError("PATH %q is no folder: name the folder in which the plans are", folder)
	}
	clone, err := git.OpenClone(ctx, folder, kustomize.Reads, os.Environ())
	if err != nil {
		return review.Review{}, err
	}
	defer func() { _ = clone.Close() }()
	base, head, err := f.revisions(ctx, clone)
	if err != nil {
		return review.Review{}, err
	}
	return reviewOf(ctx, clone, base, head, o)
}

// revisions finds the two sides. That of the working tree is empty.
func (f *diffFlags) revisions(ctx context.Context, clone *git.Clone) (base, head review.Side, err error) {
	base.Name, head.Name = f.base, f.head
	if base.Revision, err = clone.Revision(ctx, f.base); err != nil {
		return base, head, err
	}
	tip := f.head
	if tip == "" {
		tip, head.Name = "HEAD", "the working tree"
	}
	if head.Revision, err = clone.Revision(ctx, tip); err != nil {
		return base, head, err
	}
	if f.mergeBase {
		if base.Revision, err = clone.MergeBase(ctx, base.Revision, head.Revision); err != nil {
			return base, head, err
		}
	}
	if f.head == "" {
		head.Revision = ""
	}
	return base, head, nil
}

// revisions has the plans and files of any revision: a clone, or the daemon's
// store.
type revisions interface {
	Plans(ctx context.Context, rev plan.Revision) ([]reconciler.PlanFile, error)
	Files(ctx context.Context, rev plan.Revision) (fs.FS, error)
}

var _, _ revisions = (*git.Clone)(nil), (*git.Repository)(nil)

// reviewOf reviews the change from one revision to another.
func reviewOf(ctx context.Context, from revisions, base, head review.Side, o review.Options) (review.Review, error) {
	var trees [2]review.Tree
	for i, side := range []review.Side{base, head} {
		files, err := from.Plans(ctx, side.Revision)
		if err != nil {
			return review.Review{}, fmt.Errorf("read the plans of %s: %w", side.Name, err)
		}
		all, err := from.Files(ctx, side.Revision)
		if err != nil {
			return review.Review{}, fmt.Errorf("read the files of %s: %w", side.Name, err)
		}
		trees[i] = review.Tree{Name: side.Name, Revision: side.Revision, Files: all}
		for _, f := range files {
			trees[i].Plans = append(trees[i].Plans, review.File(f))
		}
	}
	return review.Build(trees[0], trees[1], o), nil
}

// reviewOptions are the same for the command and the daemon.
func reviewOptions(now time.Time) review.Options { return review.Options{Now: now, Check: check} }

// gatesNow evaluates gates as if the plan stood at their stops.
func (f *diffFlags) gatesNow(ctx context.Context, now time.Time) func(*plan.Plan, []gates.Request) (gates.Results, error) {
	return func(p *plan.Plan, reqs []gates.Request) (gates.Results, error) {
		c, prg, err := f.client(p)
		if err != nil {
			return nil, err
		}
		var out gates.Results
		samples := c.Sample(ctx, prg.Needs(reqs), now)
		for _, req := range reqs {
			out = append(out, prg.EvalContext(ctx, "", []gates.Request{req}, gates.Snapshot{Now: now, Samples: samples, Facts: backtest.Facts(req.Stop)})...)
		}
		return out, nil
	}
}

func (a *app) printReview(r review.Review, out *outputFlag) error {
	switch out.value {
	case formatJSON:
		return out.write(a.stdout, r)
	case formatMarkdown:
		a.printf("%s", review.Markdown(r))
	default:
		a.printf("%s", printableLines(review.Text(r)))
	}
	return nil
}
