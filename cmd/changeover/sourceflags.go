package main

import (
	"cmp"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/reconciler/git"
)

// sourceFlags say which branch is watched, how it is reached and who may move
// it: all that differs from one repository to the next.
type sourceFlags struct {
	gitFlags
	forge       forgeFlags
	rendered    renderedFlags
	verify      string
	trustedKeys []string

	name   string // empty: it is the only one
	dir    string // for its records and the copy of its repository
	gitDir string // for the copy alone; empty: below dir
}

func (f *sourceFlags) add(cmd *cobra.Command, getenv func(string) string) {
	f.gitFlags.add(cmd, daemonAuthor)
	f.rendered.add(cmd)
	f.forge.add(cmd, getenv)
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", "", "URL or path of the Git repository (required, unless --sources names several)")
	flags.StringVar(&f.verify, "verify", string(git.VerifyOff), "which commits must be signed: off, head (every new head), or promotions (what changes a plan)")
	flags.StringArrayVar(&f.trustedKeys, "git-trusted-keys", nil, "file with keys that may sign: armored OpenPGP public keys, or Git's allowed signers (repeatable; read anew when it changes)")
}

var errNoRepo = usageError("--repo is required: the URL or path of the Git repository that holds the plans, or --sources for several")

func (f *sourceFlags) check() error {
	if f.repo == "" {
		return errNoRepo
	}
	if _, err := f.options(); err != nil {
		return err
	}
	for _, err := range []error{f.checkVerify(), f.rendered.check(f.branch), f.forge.check(f.repo)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// shownRepo is the repository as it may stand in a log.
func (f *sourceFlags) shownRepo() string {
	if u, err := url.Parse(f.repo); err == nil {
		return u.Redacted()
	}
	return f.repo
}

// checkVerify finds flags that would leave commits unverified which somebody
// thinks are not.
func (f *sourceFlags) checkVerify() error {
	switch git.Verify(f.verify) {
	case git.VerifyOff:
		if len(f.trustedKeys) > 0 {
			return usageError("--git-trusted-keys is of no use while --verify is off: give --verify head or --verify promotions")
		}
	case git.VerifyHead, git.VerifyPromotions:
		if len(f.trustedKeys) == 0 {
			return usageError("--verify %s needs --git-trusted-keys FILE: the keys that may sign", f.verify)
		}
	default:
		return usageError("--verify %q is not known: want off, head or promotions", f.verify)
	}
	return nil
}

// sourceOptions are those of the watched branch.
func (f *sourceFlags) sourceOptions(now func() time.Time) (git.Options, error) {
	o, err := f.options()
	o.Verify, o.TrustedKeys = git.Verify(f.verify), f.trustedKeys
	o.Dir = cmp.Or(f.gitDir, filepath.Join(f.dir, "git"))
	o.Now = now
	return o, err
}
