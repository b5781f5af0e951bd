package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
)

// catFile reads the objects of somebody's clone by `git cat-file --batch-command`.
// Git itself knows where they are: in packs, in another clone, or, of a partial
// clone, at the remote still. It may be used by several goroutines.
type catFile struct {
	mu      sync.Mutex
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  *tail
	failed  error // the process is of no use any more
	commits *lru[plumbing.Hash, *commit]
	trees   *lru[plumbing.Hash, []entry]
}

var _ objects = (*catFile)(nil)

// startCatFile starts the process; the context ends it.
func startCatFile(ctx context.Context, git func(context.Context, ...string) *exec.Cmd) (*catFile, error) {
	c := &catFile{
		cmd: git(ctx, "cat-file", "--batch-command"), stderr: &tail{},
		commits: newLRU[plumbing.Hash, *commit](cachedCommits, nil),
		trees:   newLRU[plumbing.Hash](cachedTreeEntries, func(t []entry) int { return len(t) + 1 }),
	}
	c.cmd.Stderr = c.stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	c.in, c.out = in, bufio.NewReaderSize(out, 64<<10)
	return c, nil
}

func (c *catFile) close() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// ask sends one command and reads the line that answers it.
func (c *catFile) ask(what string, h plumbing.Hash) (kind string, size int64, err error) {
	if c.failed != nil {
		return "", 0, c.failed
	}
	if _, err := fmt.Fprintf(c.in, "%s %s\n", what, h); err != nil {
		return "", 0, c.broke(err)
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return "", 0, c.broke(err)
	}
	words := strings.Fields(line)
	if len(words) == 2 && words[1] == "missing" {
		return "", 0, fmt.Errorf("read %s: %w", h, errMissing)
	}
	if len(words) == 3 {
		if size, err = strconv.ParseInt(words[2], 10, 64); err == nil {
			return words[1], size, nil
		}
	}
	return "", 0, c.broke(fmt.Errorf("git cat-file answered %q", strings.TrimSpace(line)))
}

// broke is the error of a process that is out of step or gone.
func (c *catFile) broke(err error) error {
	if text := c.stderr.String(); text != "" {
		err = errors.New(oneLine(text))
	}
	c.failed = fmt.Errorf("read the clone: %w", err)
	return c.failed
}

// object returns an object's bytes, at most max of them.
func (c *catFile) object(kind string, h plumbing.Hash, max int64) (b []byte, whole bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, size, err := c.ask("contents", h)
	if err != nil {
		return nil, false, err
	}
	b = make([]byte, min(size, max))
	if _, err = io.ReadFull(c.out, b); err == nil {
		_, err = io.CopyN(io.Discard, c.out, size-int64(len(b))+1) // and the line's end
	}
	if err != nil {
		return nil, false, c.broke(err)
	}
	if got != kind {
		return nil, false, fmt.Errorf("read %s %s: it is a %s", kind, h, got)
	}
	return b, int64(len(b)) == size, nil
}

func (c *catFile) commit(h plumbing.Hash) (*commit, error) {
	if k, ok := c.commits.get(h); ok {
		return k, nil
	}
	raw, whole, err := c.object("commit", h, maxCommit)
	if err == nil && !whole {
		err = fmt.Errorf("read commit %s: it has more than %d bytes", h, maxCommit)
	}
	if err != nil {
		return nil, err
	}
	k, err := decodeCommit(h, raw)
	if err == nil {
		c.commits.put(h, k)
	}
	return k, err
}

func (c *catFile) tree(h plumbing.Hash) ([]entry, error) {
	if t, ok := c.trees.get(h); ok {
		return t, nil
	}
	raw, whole, err := c.object("tree", h, maxTree)
	if err == nil && !whole {
		err = fmt.Errorf("read tree %s: it has more than %d bytes", h, maxTree)
	}
	if err != nil {
		return nil, err
	}
	t, err := decodeTree(raw)
	if err == nil {
		c.trees.put(h, t)
	}
	return t, err
}

func (c *catFile) blob(h plumbing.Hash, max int64) ([]byte, bool, error) {
	return c.object("blob", h, max)
}

func (c *catFile) size(h plumbing.Hash) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, size, err := c.ask("info", h)
	return size, err
}

// tail keeps the last of what a process complains about.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if most := 4096; len(t.b) > most {
		t.b = append(t.b[:0:0], t.b[len(t.b)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
