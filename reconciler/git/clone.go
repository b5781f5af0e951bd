package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Clone is somebody's clone, read by the git binary. Nothing in it is changed.
// Only the plans, the folders that lead to them and what they read are looked
// at. It may be used by several goroutines.
type Clone struct {
	dir     string // the top of its working tree
	index   *index
	objects *catFile
	env     []string
	scratch string // for the objects of the working tree

	mu      sync.Mutex
	working plumbing.Hash // the working tree as it was first read
}

// OpenClone opens the clone in which a folder lies, for plans below that folder.
// Reads is as in Options. Git's own processes get the environment, as os.Environ
// gives it. The context ends what the clone does, until Close.
func OpenClone(ctx context.Context, folder string, reads func(fs.FS, *plan.Document) ([]string, []plan.Problem), environ []string) (*Clone, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	c := &Clone{dir: abs}
	top, err := c.git(ctx, "rev-parse", "--show-toplevel", "--show-prefix")
	if err != nil {
		return nil, fmt.Errorf("open the clone at %q: %w", folder, err)
	}
	root, prefix, _ := strings.Cut(top, "\n")
	c.dir = root
	c.index = newIndex(strings.Trim(path.Clean("/"+prefix), "/"), reads)
	// Objects of the working tree go into a folder beside, which is made
	// before the process that reads them begins.
	if c.scratch, err = os.MkdirTemp("", "changeover-tree-"); err != nil {
		return nil, fmt.Errorf("make a folder for the working tree's objects: %w", err)
	}
	objects, err := c.git(ctx, "rev-parse", "--path-format=absolute", "--git-path", "objects")
	if err == nil {
		others := objects
		for _, e := range environ {
			if more, ok := strings.CutPrefix(e, "GIT_ALTERNATE_OBJECT_DIRECTORIES="); ok && more != "" {
				others += string(os.PathListSeparator) + more
			}
		}
		c.env = append(slices.Clone(environ), "GIT_OBJECT_DIRECTORY="+filepath.Join(c.scratch, "objects"), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+others)
		err = os.Mkdir(filepath.Join(c.scratch, "objects"), 0o700)
	}
	if err == nil {
		c.objects, err = startCatFile(ctx, c.command)
	}
	if err != nil {
		_ = os.RemoveAll(c.scratch)
		return nil, err
	}
	return c, nil
}

// Close ends the git process and removes what was written for the working tree.
func (c *Clone) Close() error {
	c.objects.close()
	return os.RemoveAll(c.scratch)
}

func (c *Clone) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// git runs git and returns what it prints, without the last line's end.
func (c *Clone) git(ctx context.Context, args ...string) (string, error) {
	return output(c.command(ctx, args...))
}

func output(cmd *exec.Cmd) (string, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("the git program is not installed")
	case err != nil && complaint.Len() > 0:
		return "", errors.New(strings.TrimPrefix(oneLine(complaint.String()), "fatal: "))
	}
	return strings.TrimSuffix(out.String(), "\n"), err
}

// Revision finds a commit by any name that git knows. Where the clone does not
// have it the error says how to get it.
func (c *Clone) Revision(ctx context.Context, name string) (plan.Revision, error) {
	if strings.HasPrefix(name, "-") || name == "" {
		return "", fmt.Errorf("find revision %q: that is no name of a revision", name)
	}
	out, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil || !plumbing.IsHash(out) {
		return "", fmt.Errorf("find revision %q: %w", name, c.missing(ctx, name))
	}
	return plan.Revision(out), nil
}

// missing says why a revision cannot be found.
func (c *Clone) missing(ctx context.Context, name string) error {
	if shallow, _ := c.git(ctx, "rev-parse", "--is-shallow-repository"); shallow == "true" {
		return fmt.Errorf("it is not in this clone, which is shallow: fetch it first (git fetch origin %s; in CI, check out with its history: fetch-depth: 0, GIT_DEPTH: 0)", bare(name))
	}
	return fmt.Errorf("it is not in this clone: fetch it first (git fetch origin %s), or check the name", bare(name))
}

// bare is the name of a branch as its remote knows it.
func bare(name string) string { return strings.TrimPrefix(name, "origin/") }

// MergeBase is the best common ancestor of two commits, as `git merge-base`
// finds it.
func (c *Clone) MergeBase(ctx context.Context, a, b plan.Revision) (plan.Revision, error) {
	out, err := c.git(ctx, "merge-base", string(a), string(b))
	if err != nil || !plumbing.IsHash(out) {
		err := errors.New("they have no common ancestor")
		if shallow, _ := c.git(ctx, "rev-parse", "--is-shallow-repository"); shallow == "true" {
			err = errors.New("none is in this clone, which is shallow: fetch the history first (git fetch --unshallow; in CI, fetch-depth: 0, GIT_DEPTH: 0)")
		}
		return "", fmt.Errorf("find the common ancestor of %s and %s: %w", a.Short(), b.Short(), err)
	}
	return plan.Revision(out), nil
}

// workingTree is what `git add --all` would commit: tracked files and new ones
// that are not ignored. Index and objects of the clone are left alone.
func (c *Clone) workingTree(ctx context.Context) (plumbing.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.working.IsZero() {
		return c.working, nil
	}
	index := filepath.Join(c.scratch, "index")
	if at, err := c.git(ctx, "rev-parse", "--path-format=absolute", "--git-path", "index"); err == nil {
		// With the clone's own index only files that changed are read.
		if err := copyIndex(index, at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return plumbing.ZeroHash, fmt.Errorf("read the index: %w", err)
		}
	}
	with := func(args ...string) (string, error) {
		cmd := c.command(ctx, args...)
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+index)
		return output(cmd)
	}
	if _, err := with("add", "--all"); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read the working tree: %w", err)
	}
	out, err := with("write-tree")
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read the working tree: %w", err)
	}
	c.working = plumbing.NewHash(out)
	return c.working, nil
}

// copyIndex copies a clone's index with its time: of files that changed in the
// second in which the index was written, git tells by that whether to read them.
func copyIndex(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	was, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Chtimes(to, was.ModTime(), was.ModTime())
}

// root is the tree of a commit, or the working tree where rev is empty.
func (c *Clone) root(ctx context.Context, rev plan.Revision) (*tree, error) {
	t := &tree{o: c.objects}
	var err error
	if rev == "" {
		t.root, err = c.workingTree(ctx)
		return t, err
	}
	k, err := c.objects.commit(plumbing.NewHash(string(rev)))
	if err != nil {
		return nil, fmt.Errorf("read revision %s: %w", rev.Short(), err)
	}
	t.root, t.at = k.tree, k.at
	return t, nil
}

// Plans are those below the watched folder, as Repository.Plans returns them. An
// empty revision is the working tree.
func (c *Clone) Plans(ctx context.Context, rev plan.Revision) ([]reconciler.PlanFile, error) {
	t, err := c.root(ctx, rev)
	if err != nil {
		return nil, err
	}
	return plansAt(ctx, c.index, t.o, t.root, rev)
}

// Files are all of the repository's, as Repository.Files returns them. An empty
// revision is the working tree.
func (c *Clone) Files(ctx context.Context, rev plan.Revision) (fs.FS, error) {
	t, err := c.root(ctx, rev)
	if err != nil {
		return nil, err
	}
	return t, nil
}
