package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/reconciler/forge"
)

// forgeFlags say where pull requests are, and with what they are reached.
type forgeFlags struct {
	tokenFile, kind, url, project, user string
	plainHTTP                           bool
}

func (f *forgeFlags) add(cmd *cobra.Command, getenv func(string) string) {
	flags := cmd.Flags()
	flags.StringVar(&f.tokenFile, "forge-token-file", getenv("CHANGEOVER_FORGE_TOKEN_FILE"), "file with a token for the API of GitHub, GitLab or Gitea; read anew at each call ($CHANGEOVER_FORGE_TOKEN_FILE)")
	flags.StringVar(&f.kind, "forge", "", "github, gitlab or gitea, which is Forgejo too (default: what the repository's URL tells)")
	flags.StringVar(&f.url, "forge-url", "", "https://HOST of the forge, or the URL of its API (default: the repository's host)")
	flags.StringVar(&f.project, "forge-project", "", "OWNER/NAME of the repository on the forge (default: as in its URL)")
	flags.StringVar(&f.user, "forge-user", "", "whose comments are the token's own (default: the forge is asked)")
	flags.BoolVar(&f.plainHTTP, "forge-plain-http", false, "let the token go over plain http to other machines")
}

// given reports whether a forge may be asked at all.
func (f *forgeFlags) given() bool { return f.tokenFile != "" }

// place is where the API of the repository is; its errors are of the flags.
func (f *forgeFlags) place(repo string) (forge.Place, error) {
	p, err := forge.Detect(repo, forge.Kind(f.kind), f.url, f.project)
	if err != nil {
		return p, usageError("%w", err)
	}
	return p, nil
}

// client makes one; nothing is asked yet.
func (f *forgeFlags) client(repo string, now func() time.Time, log *slog.Logger, observe func(call, code string)) (*forge.Client, error) {
	p, err := f.place(repo)
	if err != nil {
		return nil, err
	}
	c, err := forge.New(forge.Options{
		Place: p, TokenFile: f.tokenFile, User: f.user, PlainHTTP: f.plainHTTP,
		Now: now, Sleep: sleep, Rand: rand.Float64, Log: log, Observe: observe,
	})
	if err != nil {
		return nil, usageError("%w", err)
	}
	return c, nil
}

// sleep ends early with the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
