package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Bounds of what is published.
const (
	maxPublishedFiles = 10_000    // in one folder
	maxPublished      = 64 << 20  // bytes in one folder
	maxBranch         = 512 << 20 // bytes of a branch's files, packed
)

// tipAge is how long the tip of a branch that is published to counts as known.
const tipAge = 15 * time.Second

// tip is where a branch was when it was last looked at.
type tip struct {
	hash plumbing.Hash // zero where there is no such branch
	at   time.Time
}

// Publish replaces what is in one folder of another branch by these files, in
// one commit, and returns the branch's head. The names of the files are
// relative to the folder; without files the folder goes. A branch that is not
// there is made, without a parent. Where nothing changes there is no commit.
// The push is compare-and-swap: after a lost race it is built anew, for up to
// Options.RaceTimeout. Nothing beside the folder is ever touched.
//
// The watched branch, and names that lead out of the folder, are refused. Other
// errors are *reconciler.RemoteError, or say that the store could not be read.
func (r *Repository) Publish(ctx context.Context, branch, folder string, files map[string][]byte, message string) (plan.Revision, error) {
	ref, err := r.publishedRef(branch, folder)
	if err != nil {
		return "", err
	}
	if err := checkPublished(files); err != nil {
		return "", err
	}
	if strings.TrimSpace(message) == "" {
		return "", errors.New("publish: a message is needed")
	}
	if err := acquire(ctx, r.publishing); err != nil {
		return "", classify("publish", err, "")
	}
	defer func() { <-r.publishing }()
	at, begun := r.o.Now(), time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		old, err := r.fetchTip(ctx, ref)
		if err != nil {
			return "", err
		}
		p, err := r.publication(old, folder, files, message, at)
		if err != nil {
			return "", err
		}
		if p.tip == old {
			return revision(old), nil
		}
		now, err := r.land(ctx, ref, old, p)
		if err == nil {
			r.setTip(ref, now)
			return revision(now), nil
		}
		if !isKind(err, reconciler.RemoteRace) || time.Since(begun) > r.o.RaceTimeout {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}

// Published returns the files in a folder of another branch, by their names in
// it, and the branch's head; none where there is no such folder or branch. The
// branch may have moved up to 15 s ago.
func (r *Repository) Published(ctx context.Context, branch, folder string) (map[string][]byte, plan.Revision, error) {
	ref, err := r.publishedRef(branch, folder)
	if err != nil {
		return nil, "", err
	}
	if err := acquire(ctx, r.publishing); err != nil {
		return nil, "", classify("read branch", err, "")
	}
	defer func() { <-r.publishing }()
	r.mu.Lock()
	known, ok := r.tips[ref]
	r.mu.Unlock()
	age := r.o.Now().Sub(known.at)
	if !ok || age < 0 || age > tipAge || !known.hash.IsZero() && !r.store.has(known.hash) {
		if known.hash, err = r.fetchTip(ctx, ref); err != nil {
			return nil, "", err
		}
	}
	if known.hash.IsZero() {
		return nil, "", nil
	}
	c, err := r.store.commit(known.hash)
	if err != nil {
		return nil, "", err
	}
	files, err := r.filesBelow(c.tree, folder)
	return files, revision(c.hash), err
}

// filesBelow reads the files of a folder; links and submodules are left out.
func (r *Repository) filesBelow(root plumbing.Hash, folder string) (map[string][]byte, error) {
	e, ok, err := lookup(r.store, root, folder)
	if err != nil || !ok || !e.isDir() {
		return nil, err
	}
	out, total := map[string][]byte{}, 0
	var read func(dir plumbing.Hash, prefix string, depth int) error
	read = func(dir plumbing.Hash, prefix string, depth int) error {
		entries, err := r.store.tree(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			switch {
			case e.isDir() && depth < maxDepth:
				err = read(e.hash, prefix+e.name+"/", depth+1)
			case e.isFile():
				var b []byte
				b, _, err = r.store.blob(e.hash, maxPublished)
				out[prefix+e.name] = b
				total += len(b)
			}
			if err == nil && (total > maxPublished || len(out) > maxPublishedFiles) {
				err = fmt.Errorf("read folder %q: it is larger than what is ever published there; remove what does not belong", folder)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return out, read(e.hash, "", 0)
}

// publishedRef refuses a branch or folder that must not be written.
func (r *Repository) publishedRef(branch, folder string) (plumbing.ReferenceName, error) {
	switch {
	case !isBranchName(branch):
		return "", fmt.Errorf("publish: %q is not a branch name", branch)
	case branch == r.o.Branch:
		return "", fmt.Errorf("publish: %q is the branch that the plans are read from; name another", branch)
	case !isPublishedPath(folder):
		return "", fmt.Errorf("publish: %q is not a folder in a repository", folder)
	}
	return plumbing.NewBranchReferenceName(branch), nil
}

// isPublishedPath reports whether a path stays where it is put, in every
// checkout: no parent folders, no .git, nothing that one system reads as a
// separator and another not.
func isPublishedPath(p string) bool {
	if p == "." || !fs.ValidPath(p) || strings.ContainsAny(p, "\\:") || len(p) > 4096 {
		return false
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	for part := range strings.SplitSeq(strings.ToLower(p), "/") {
		if strings.HasPrefix(part, "git~") || strings.TrimRight(part, ". ") == ".git" {
			return false
		}
	}
	return true
}

func checkPublished(files map[string][]byte) error {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !isPublishedPath(name) {
			return fmt.Errorf("publish: %q is not the name of a file in a folder", name)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := files[dir]; ok {
				return fmt.Errorf("publish: %q is a file, and a folder for %q", dir, name)
			}
		}
		total += len(files[name])
	}
	if total > maxPublished || len(files) > maxPublishedFiles {
		return fmt.Errorf("publish: %d files with %d bytes are more than %d and %d", len(files), total, maxPublishedFiles, maxPublished)
	}
	return nil
}

// fetchTip gets a branch's tip with its files, unless they are there already.
// It is zero where there is no such branch.
func (r *Repository) fetchTip(ctx context.Context, ref plumbing.ReferenceName) (plumbing.Hash, error) {
	var pack bytes.Buffer
	none := func() []plumbing.Hash { return nil }
	head, err := r.remote.fetch(ctx, wanted{ref: ref, shallow: true, known: r.store.has, haves: none, receive: func(p io.Reader) error {
		n, err := io.Copy(&pack, io.LimitReader(p, maxBranch+1))
		if err == nil && n > maxBranch {
			err = fmt.Errorf("branch %s holds more than %d MiB", ref.Short(), maxBranch>>20)
		}
		return err
	}})
	var absent *noBranchError
	switch {
	case errors.As(err, &absent):
		head = plumbing.ZeroHash
	case err != nil:
		return plumbing.ZeroHash, err
	case pack.Len() > 0:
		// What was slow is over; only now others have to wait.
		if err := acquire(ctx, r.polling); err != nil {
			return plumbing.ZeroHash, classify("fetch", err, "")
		}
		err := r.store.receive(&pack)
		<-r.polling
		if err != nil {
			return plumbing.ZeroHash, classify("fetch", err, "")
		}
	}
	r.setTip(ref, head)
	return head, nil
}

func (r *Repository) setTip(ref plumbing.ReferenceName, h plumbing.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tips[ref] = tip{h, r.o.Now()}
}

// publication is the commit that has these files in the folder; its tip is the
// old one where nothing would change.
func (r *Repository) publication(old plumbing.Hash, folder string, files map[string][]byte, message string, at time.Time) (*proposal, error) {
	p := &proposal{b: newBuilder(r.store), tip: old}
	root := p.b.put(plumbing.TreeObject, nil)
	if !old.IsZero() {
		c, err := r.store.commit(old)
		if err != nil {
			return nil, err
		}
		root = c.tree
	}
	var e *entry
	if len(files) > 0 {
		e = &entry{mode: filemode.Dir, hash: p.b.putFiles(files)}
	}
	tree, err := p.b.set(root, folder, e)
	if err != nil || tree == root {
		return p, err
	}
	subject, body, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if p.tip, err = r.putCommit(p.b, tree, old, at, compose(oneLine(subject), []string{body}, nil)); err != nil {
		return nil, err
	}
	p.commits = []plan.Revision{revision(p.tip)}
	return p, nil
}

// putFiles makes the tree of files, by their paths.
func (b *builder) putFiles(files map[string][]byte) plumbing.Hash {
	var entries []entry
	below := map[string]map[string][]byte{}
	for name, content := range files {
		dir, rest, deep := strings.Cut(name, "/")
		if !deep {
			entries = append(entries, entry{name, filemode.Regular, b.put(plumbing.BlobObject, content)})
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string][]byte{}
		}
		below[dir][rest] = content
	}
	for dir, files := range below {
		entries = append(entries, entry{dir, filemode.Dir, b.putFiles(files)})
	}
	return b.put(plumbing.TreeObject, encodeTree(entries))
}
