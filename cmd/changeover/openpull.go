package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/changeover-dev/changeover/reconciler/forge"
)

// puller opens pull requests for a command, where it may.
type puller struct {
	forge *forge.Client
	base  string
}

// puller is nil where no forge is given. Where a pull request was asked for,
// what is wrong with the flags is an error before anything is pushed; else it is
// noted.
func (a *app) puller(c *changeFlags) (*puller, error) {
	switch {
	case c.pr && !c.forge.given():
		return nil, usageError("--pr needs a token for the forge: give --forge-token-file FILE")
	case !c.forge.given():
		return nil, nil
	}
	log := slog.New(slog.NewTextHandler(a.stderr, nil))
	client, err := c.forge.client(c.repo, a.now, log, nil)
	switch {
	case err == nil:
		return &puller{client, c.branch}, nil
	case c.pr:
		return nil, err
	}
	a.note("No pull request can be opened: %v.", err)
	return nil, nil
}

// open opens the pull request of a branch that was pushed, or finds it.
func (p *puller) open(ctx context.Context, branch string, of proposal) (forge.Pull, error) {
	body := of.after
	if of.why != "" {
		body = of.why + "\n\n" + body
	}
	pull, _, err := p.forge.Open(ctx, forge.NewPull{Branch: branch, Base: p.base, Title: of.subject, Body: body})
	if err != nil {
		return pull, fmt.Errorf("the commit is on branch %s, but its pull request could not be opened: %w; open it by hand", branch, err)
	}
	return pull, nil
}
