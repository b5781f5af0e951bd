package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// gitFlags say which repository is worked on, and how it is reached.
type gitFlags struct {
	repo, branch, path, author string
	proxy, caFile              string
	auth                       git.Auth
	signing                    signature.SigningKey
}

// add registers those of commands that make commits.
func (g *gitFlags) add(cmd *cobra.Command, author string) {
	g.addReading(cmd)
	f := cmd.Flags()
	f.StringVar(&g.author, "author", author, `author of commits, as "Name <address>"`)
	f.StringVar(&g.signing.File, "git-signing-key", "", "file with a private key that signs the commits: OpenSSH or armored OpenPGP")
	f.StringVar(&g.signing.PassphraseFile, "git-signing-passphrase-file", "", "file with that key's passphrase, where it has one")
}

// addReading registers those of all commands that read a repository.
func (g *gitFlags) addReading(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&g.branch, "branch", "main", "the watched branch")
	f.StringVar(&g.path, "path", ".", "the watched folder in the repository")
	f.StringVar(&g.auth.Username, "git-username", "", "user for https and ssh (default: the URL's, else git)")
	f.StringVar(&g.auth.TokenFile, "git-token-file", "", "file with a token for https")
	f.BoolVar(&g.auth.Bearer, "git-bearer", false, "send the token as bearer token, not as password")
	f.StringVar(&g.proxy, "git-proxy", "", "URL of the HTTP proxy for https (default: $HTTPS_PROXY, $NO_PROXY)")
	f.StringVar(&g.caFile, "git-ca-file", "", "file with certificates that are trusted for https, beside the system's")
	f.StringVar(&g.auth.KeyFile, "git-ssh-key", "", "file with a private key for ssh")
	f.StringVar(&g.auth.KnownHostsFile, "git-known-hosts", "", "file with the keys of the ssh hosts that are trusted")
}

func (g *gitFlags) options() (git.Options, error) {
	o := git.Options{URL: g.repo, Branch: g.branch, Path: g.path, Signing: g.signing, Auth: g.auth, Proxy: g.proxy, CAFile: g.caFile}
	if err := g.checkSecrets(); err != nil {
		return o, err
	}
	if g.signing.PassphraseFile != "" && g.signing.File == "" {
		return o, usageError("--git-signing-passphrase-file is of no use without --git-signing-key FILE")
	}
	if g.author != "" {
		author, err := git.ParseAuthor(g.author)
		if err != nil {
			return o, usageError("--author: %w", err)
		}
		o.Author = author
	}
	return o, nil
}

// checkSecrets refuses a URL that may hold a token, as forges take one for the
// user too: the URL stands in logs and errors. It is not repeated here.
func (g *gitFlags) checkSecrets() error {
	lower := strings.ToLower(g.repo)
	if !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") {
		return nil
	}
	u, err := url.Parse(g.repo)
	switch {
	case err != nil:
		return usageError("the repository's URL cannot be read: want https://HOST/PATH")
	case u.RawQuery != "" || u.Fragment != "":
		return usageError("the repository's URL has a query or fragment, which Git does not use: leave it out, and give a token by --git-token-file")
	case u.User != nil && g.auth.TokenFile == "":
		return usageError("the repository's URL has a user, but there is no --git-token-file: if it is a token, put it into a file and name that")
	}
	return nil
}

// changeFlags are those of the commands that make one commit.
type changeFlags struct {
	gitFlags
	forge  forgeFlags // of the commands that may push to another branch
	pr     bool       // a pull request is asked for
	dryRun bool
	// reads are the files that plans read beside their own, where that matters.
	reads func(fs.FS, *plan.Document) ([]string, []plan.Problem)
}

func (c *changeFlags) add(cmd *cobra.Command) {
	c.gitFlags.add(cmd, "")
	cmd.Flags().Lookup("author").Usage = `author of the commit, as "Name <address>" (default: as git commit would)`
	cmd.Flags().StringVar(&c.repo, "repo", "", "URL or path of the repository (default: the remote `origin` of this folder's repository)")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "print the commit and push nothing")
}

// open reads the remote's branch as it is now. The history is kept in memory:
// nothing of it stays on this machine.
func (c *changeFlags) open(ctx context.Context, a *app) (*git.Repository, error) {
	if c.repo == "" {
		repo, err := originHere(ctx)
		if err != nil {
			return nil, err
		}
		c.repo = repo
	}
	if c.author == "" {
		author, err := authorHere(ctx)
		if err != nil {
			return nil, err
		}
		c.author = author
	}
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	o.Now, o.Reads = a.now, c.reads
	c.defaultSSH(&o, a.getenv)
	return git.Open(ctx, o)
}

// defaultSSH takes a person's usual key and known hosts for ssh, where none
// are given.
func (c *changeFlags) defaultSSH(o *git.Options, getenv func(string) string) {
	home := getenv("HOME")
	if home == "" || !strings.Contains(o.URL, "@") && !strings.HasPrefix(o.URL, "ssh:") {
		return
	}
	exists := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	if file := filepath.Join(home, ".ssh", "known_hosts"); o.Auth.KnownHostsFile == "" && exists(file) {
		o.Auth.KnownHostsFile = file
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if file := filepath.Join(home, ".ssh", name); o.Auth.KeyFile == "" && exists(file) {
			o.Auth.KeyFile = file
		}
	}
}

// originHere is the remote that this folder's repository calls origin; the
// repository itself where it is bare.
func originHere(ctx context.Context) (string, error) {
	bare, err := gitSays(ctx, "rev-parse", "--is-bare-repository")
	if err != nil {
		return "", usageError("find the repository: this folder is in none (%w); go into a clone of it or give --repo URL", err)
	}
	if bare == "true" {
		return gitSays(ctx, "rev-parse", "--absolute-git-dir")
	}
	origin, err := gitSays(ctx, "remote", "get-url", "origin")
	if err != nil {
		return "", usageError("find the repository: this folder's has no remote `origin`; give --repo URL")
	}
	if strings.Contains(origin, ":") || filepath.IsAbs(origin) {
		return origin, nil
	}
	// A relative path counts from the top of the worktree.
	top, err := gitSays(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.Join(top, origin), nil
}

// authorHere is whom git commit would name here.
func authorHere(ctx context.Context) (string, error) {
	ident, err := gitSays(ctx, "var", "GIT_AUTHOR_IDENT")
	end := strings.LastIndex(ident, ">")
	if err != nil || end < 0 {
		return "", usageError("find the author: git does not know who you are; set user.name and user.email with git config, or give --author \"Name <address>\"")
	}
	return ident[:end+1], nil
}

// gitSays runs the git binary in this folder and returns its output.
func gitSays(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the git binary is not installed")
	}
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return "", errors.New(strings.TrimPrefix(first, "fatal: "))
	}
	return strings.TrimSpace(out.String()), nil
}
