package repo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

const person, mail = "Dana", "dana@example.com"

// Branch is the one that is watched.
const Branch = "main"

// Repo is a bare repository with a person's clone.
type Repo struct {
	Bare  string // the repository that is watched
	clone string
}

// Commit is one that was pushed.
type Commit struct {
	Revision plan.Revision
	Subject  string
	// Diff holds the lines that changed, each with its sign.
	Diff []string
}

// Init makes an empty bare repository and a clone of it below dir.
func Init(ctx context.Context, dir string) (*Repo, error) {
	r := &Repo{Bare: filepath.Join(dir, "orders.git"), clone: filepath.Join(dir, "dana")}
	if _, err := git(ctx, "init", "--quiet", "--bare", "--initial-branch", Branch, r.Bare); err != nil {
		return nil, err
	}
	if _, err := git(ctx, "init", "--quiet", "--initial-branch", Branch, r.clone); err != nil {
		return nil, err
	}
	if _, err := r.dana(ctx, "remote", "add", "origin", r.Bare); err != nil {
		return nil, err
	}
	return r, nil
}

// Commit takes over what others pushed, writes a file in Dana's clone, commits
// it and pushes.
func (r *Repo) Commit(ctx context.Context, subject, path string, content []byte) (Commit, error) {
	if err := r.pull(ctx); err != nil {
		return Commit{}, err
	}
	file := filepath.Join(r.clone, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return Commit{}, fmt.Errorf("write %q: %w", path, err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return Commit{}, fmt.Errorf("write %q: %w", path, err)
	}
	for _, args := range [][]string{
		{"add", "--", path},
		{"commit", "--quiet", "-m", subject},
		{"push", "--quiet", "origin", "HEAD:refs/heads/" + Branch},
	} {
		if _, err := r.dana(ctx, args...); err != nil {
			return Commit{}, err
		}
	}
	rev, err := r.dana(ctx, "rev-parse", "HEAD")
	if err != nil {
		return Commit{}, err
	}
	patch, err := r.dana(ctx, "show", "--format=", "--unified=0", "HEAD", "--", path)
	return Commit{Revision: plan.Revision(rev), Subject: subject, Diff: changed(patch)}, err
}

// Read returns a file as it stands on the branch.
func (r *Repo) Read(ctx context.Context, path string) ([]byte, error) {
	return run(ctx, "--git-dir", r.Bare, "show", Branch+":"+path)
}

// Head is the branch's newest commit.
func (r *Repo) Head(ctx context.Context) (plan.Revision, error) {
	out, err := r.host(ctx, "rev-parse", Branch)
	return plan.Revision(out), err
}

// Log is the history, one line a commit, newest first, with authors.
func (r *Repo) Log(ctx context.Context) ([]string, error) {
	out, err := r.host(ctx, "log", "--format=%h  %<(11,trunc)%an %s", Branch)
	return strings.Split(out, "\n"), err
}

// Message is the whole message of a commit, and its author's name.
func (r *Repo) Message(ctx context.Context, rev plan.Revision) (author, message string, err error) {
	out, err := r.host(ctx, "show", "--no-patch", "--format=%an%n%B", string(rev))
	author, message, _ = strings.Cut(out, "\n")
	return author, strings.TrimSpace(message), err
}

// Trailer is the value of a trailer of a commit; empty where it has none.
func (r *Repo) Trailer(ctx context.Context, rev plan.Revision, key string) (string, error) {
	return r.host(ctx, "show", "--no-patch", "--format=%(trailers:key="+key+",valueonly,separator=%x2C)", string(rev))
}

// Diff returns the lines that a commit changed, each with its sign.
func (r *Repo) Diff(ctx context.Context, rev plan.Revision) ([]string, error) {
	patch, err := r.host(ctx, "show", "--format=", "--unified=0", string(rev))
	return changed(patch), err
}

// Fsck checks every object strictly; the output of a clean repository is
// empty.
func (r *Repo) Fsck(ctx context.Context) (string, error) {
	return r.host(ctx, "fsck", "--strict", "--full", "--no-progress")
}

func (r *Repo) pull(ctx context.Context) error {
	out, err := r.dana(ctx, "ls-remote", "--heads", "origin", Branch)
	if err != nil || out == "" {
		return err
	}
	_, err = r.dana(ctx, "pull", "--quiet", "--ff-only", "origin", Branch)
	return err
}

func (r *Repo) dana(ctx context.Context, args ...string) (string, error) {
	return git(ctx, append([]string{"-C", r.clone}, args...)...)
}

func (r *Repo) host(ctx context.Context, args ...string) (string, error) {
	return git(ctx, append([]string{"--git-dir", r.Bare}, args...)...)
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := run(ctx, args...)
	return strings.TrimSpace(string(out)), err
}

// run runs the git binary with nothing of the user's own configuration.
func run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=" + person, "GIT_AUTHOR_EMAIL=" + mail, "GIT_COMMITTER_NAME=" + person, "GIT_COMMITTER_EMAIL=" + mail,
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("run git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(append(stderr.Bytes(), out...)))
	}
	return out, nil
}

// changed keeps the added and removed lines of a patch.
func changed(patch string) []string {
	var lines []string
	for line := range strings.Lines(patch) {
		line = strings.TrimRight(line, "\n")
		header := strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, "--- ")
		if !header && (strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-")) {
			lines = append(lines, line)
		}
	}
	return lines
}
