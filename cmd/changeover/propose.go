package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git"
)

// proposal is one commit for the remote.
type proposal struct {
	from     plan.Position  // what the plan declares
	to       *plan.Position // the new position; nil: no file changes
	text     []byte         // of the plan's file with the new position
	files    []git.NewFile  // below the watched folder
	subject  string
	why      string
	trailers [][2]string
	branch   string // new branch for it; empty: the watched branch
	// aside is the branch for it where the watched branch refuses it; refused
	// says what to do then where there is none.
	aside, refused string
	after          string // what happens next
}

func (p proposal) edit(key plan.Key, branch string) git.Edit {
	e := git.Edit{Key: key, SetPosition: p.to, Message: p.subject, Trailers: p.trailers, Branch: branch, Files: p.files}
	if p.to != nil {
		e.From = &p.from
	}
	if p.why != "" {
		e.Message += "\n\n" + p.why
	}
	return e
}

// propose shows the commit, and pushes it unless this is a dry run.
func (a *app) propose(ctx context.Context, h *atHead, c *changeFlags, p proposal) error {
	branch := p.branch
	if branch == "" {
		branch = c.branch
	}
	pulls, err := a.puller(c)
	if err != nil {
		return err
	}
	a.showProposal(h, c, p)
	if c.dryRun {
		more := ""
		if c.pr {
			more = ", and a pull request is opened"
		}
		a.printf("\nDry run: nothing was pushed. Without --dry-run this goes to branch %s%s.\n", branch, more)
		return nil
	}
	done, err := h.repo.Commit(ctx, p.edit(h.key, p.branch))
	var remote *reconciler.RemoteError
	refused := errors.As(err, &remote) && remote.Kind == reconciler.RemoteRefused
	if refused && p.branch == "" && p.aside != "" {
		return a.proposeAside(ctx, h, p, pulls, remote)
	}
	if refused && c.pr {
		// An earlier try may have ended between the push and the pull request.
		if there, err := h.repo.Proposed(ctx, h.key, *p.to); err == nil && there {
			a.printf("\nBranch %s is on the remote already and declares %s: nothing was pushed.\n", branch, p.to)
			return a.openPull(ctx, pulls, branch, p)
		}
	}
	switch {
	case refused && p.refused != "":
		return fmt.Errorf("push to branch %s: %w; %s", branch, err, p.refused)
	case err != nil:
		return fmt.Errorf("push to branch %s: %w", branch, err)
	case done.Outcome == reconciler.PushedNothing:
		a.printf("\nNothing to do: the branch changed meanwhile and declares %s already.\n", p.to)
		return nil
	}
	a.printf("\nPushed %s to branch %s of %s. This folder's files and branches were not touched.\n", commitList(done.Commits), branch, c.repo)
	if c.pr {
		return a.openPull(ctx, pulls, branch, p)
	}
	if p.branch != "" {
		a.printf("Open a pull request from %s to %s and merge it.\n", branch, c.branch)
	}
	a.printf("%s\n", printable(p.after))
	return nil
}

// openPull opens the pull request that was asked for.
func (a *app) openPull(ctx context.Context, pulls *puller, branch string, p proposal) error {
	pull, err := pulls.open(ctx, branch, p)
	if err != nil {
		return err
	}
	a.printf("Pull request: %s\n%s\n", printable(pull.URL), printable(p.after))
	return nil
}

// proposeAside is for a branch that only pull requests may change. It opens one
// where a forge is given.
func (a *app) proposeAside(ctx context.Context, h *atHead, p proposal, pulls *puller, cause error) error {
	done, err := h.repo.Commit(ctx, p.edit(h.key, p.aside))
	if err != nil {
		return fmt.Errorf("push to the watched branch: %w; push to branch %s: %w", cause, p.aside, err)
	}
	a.printf("\nThe watched branch refused the commit (%s).\n", printable(cause.Error()))
	a.printf("Pushed %s to branch %s. This folder's files and branches were not touched.\n", commitList(done.Commits), done.Branch)
	if pulls == nil {
		return finding("nothing moves before that is merged: open a pull request from %s", done.Branch)
	}
	pull, err := pulls.open(ctx, done.Branch, p)
	if err != nil {
		return err
	}
	a.printf("Pull request: %s\n", printable(pull.URL))
	return finding("nothing moves before that is merged: %s", printable(pull.URL))
}

func commitList(commits []plan.Revision) string {
	var names []string
	for _, c := range commits {
		names = append(names, c.Short())
	}
	return strings.Join(names, ", ")
}

// showProposal prints the message and the change as git show would.
func (a *app) showProposal(h *atHead, c *changeFlags, p proposal) {
	a.printf("On top of %s, branch %s of %s:\n\n", h.head.Short(), c.branch, c.repo)
	a.printf("    %s\n", p.subject)
	if p.why != "" {
		a.printf("\n    %s\n", p.why)
	}
	a.printf("\n    Changeover-Plan: %s\n", h.key)
	for _, t := range p.trailers {
		a.printf("    %s: %s\n", t[0], t[1])
	}
	if p.to != nil {
		a.printf("\n")
		a.showDiff(h.file.Version.Path, string(h.file.Document.Source), string(p.text))
	}
	for _, f := range p.files {
		a.printf("\n--- /dev/null\n+++ b/%s\n", printable(path.Join(c.path, f.Path)))
		for line := range strings.Lines(string(f.Data)) {
			a.printf("%s\n", a.paint(green, "+"+printable(strings.TrimSuffix(line, "\n"))))
		}
	}
}

// showDiff prints a unified diff of one hunk: the position is one place.
func (a *app) showDiff(path, old, new string) {
	x, y := strings.Split(strings.TrimSuffix(old, "\n"), "\n"), strings.Split(strings.TrimSuffix(new, "\n"), "\n")
	start := 0
	for start < min(len(x), len(y)) && x[start] == y[start] {
		start++
	}
	end := 0
	for end < min(len(x), len(y))-start && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	const context = 3
	from, tail := max(0, start-context), max(0, end-context)
	path = printable(path)
	a.printf("--- a/%s\n+++ b/%s\n@@ -%d,%d +%d,%d @@\n", path, path, from+1, len(x)-tail-from, from+1, len(y)-tail-from)
	show := func(sign, colour string, lines []string) {
		for _, l := range lines {
			a.printf("%s\n", a.paint(colour, sign+printable(strings.TrimSuffix(l, "\r"))))
		}
	}
	show(" ", plain, x[from:start])
	show("-", red, x[start:len(x)-end])
	show("+", green, y[start:len(y)-end])
	show(" ", plain, x[len(x)-end:len(x)-tail])
}
