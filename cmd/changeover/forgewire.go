package main

import (
	"context"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/forge"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/pulls"
	"github.com/changeover-dev/changeover/reconciler/review"
)

// check finds what is wrong with the daemon's flags.
func (f *forgeFlags) check(repo string) error {
	switch {
	case f.given():
		_, err := f.client(repo, nil, nil, nil)
		return err
	case f.kind != "" || f.url != "" || f.project != "" || f.user != "":
		return usageError("--forge, --forge-url, --forge-project and --forge-user need --forge-token-file: a forge is not asked without a token")
	}
	return nil
}

// wireForge adds what tells and opens pull requests, where the flags name a
// forge, and returns what runs beside the loop.
func (d *daemon) wireForge(s *source, repo *git.Repository, o *reconciler.Options) ([]func(context.Context) error, error) {
	f := s.flags
	if !f.forge.given() {
		return nil, nil
	}
	place, err := f.forge.place(f.repo)
	if err != nil {
		return nil, err
	}
	observe, err := forge.Observer(s.metrics, place.Kind)
	if err != nil {
		return nil, err
	}
	client, err := f.forge.client(f.repo, d.now, s.log, observe)
	if err != nil {
		return nil, err
	}
	proposals := repo.Proposals()
	watcher := pulls.New(pulls.Options{
		Forge: client, Branch: f.branch, Fetch: proposals.Fetch, Tip: repo.Tip, Interval: d.flags.forgeInterval, Now: d.now, Log: s.log,
		Review: func(ctx context.Context, shared, head plan.Revision) (pulls.Report, error) {
			base, tip := review.Side{Name: f.branch, Revision: shared}, review.Side{Name: head.Short(), Revision: head}
			// Gates are listed and not evaluated: a query of anybody's must not
			// reach the Prometheus, and the comment not change with the time.
			r, err := reviewOf(ctx, proposals, base, tip, reviewOptions(d.now()))
			if err != nil {
				return pulls.Report{}, err
			}
			return reportOf(r), nil
		},
	})
	o.PullRequests = watcher
	s.pulls.Store(watcher)
	s.log.Info("pull requests are told what they would do", "forge", string(place.Kind), "project", place.Project, "api", place.API)
	return []func(context.Context) error{watcher.Run}, nil
}

// reportOf is a review for the forge.
func reportOf(r review.Review) pulls.Report {
	out := pulls.Report{Text: review.Markdown(r)}
	for _, p := range r.Plans {
		out.Plans = append(out.Plans, pulls.Verdict{Key: p.Key, OK: len(p.Illegal) == 0, Text: inOneLine(p)})
	}
	return out
}

// inOneLine says in one line what a change does to a plan.
func inOneLine(p review.Plan) string {
	if n := len(p.Illegal); n > 0 {
		text := "Not allowed: " + p.Illegal[0].Message
		if n > 1 {
			text = fmt.Sprintf("Not allowed, for %d reasons: %s", n, p.Illegal[0].Message)
		}
		return text
	}
	switch p.Kind {
	case review.New:
		return fmt.Sprintf("A new plan, at %s", p.To)
	case review.Raise, review.Lower, review.Elsewhere:
		return fmt.Sprintf("From %s to %s", p.From, p.To)
	case review.Suspend:
		if p.Suspended {
			return fmt.Sprintf("Suspended at %s", p.To)
		}
		return fmt.Sprintf("Resumed at %s", p.To)
	case review.Cascade:
		return "Changes with a plan that it depends on"
	case review.Removed:
		return "The plan is removed"
	default:
	}
	if p.Live {
		return fmt.Sprintf("Live content changes at %s", p.To)
	}
	return fmt.Sprintf("Content changes at %s, none of it live", p.To)
}
