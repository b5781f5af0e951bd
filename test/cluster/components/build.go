package components

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Builder builds what the cache lacks.
type Builder struct {
	Cache Cache
	// Root is the root of the repository.
	Root string
	// Out takes the progress, a line at a time.
	Out io.Writer

	goTool string        // go where empty
	every  time.Duration // between two words of progress; 15 s where zero
}

// unfinished is how the folder of a build under way begins. It stands beside
// its goal, such that the last step is a rename within one file system.
const unfinished = ".unfinished-"

// Build builds every component that is missing and says so; where none is, it
// does nothing and says that. A component appears in the cache whole or not at
// all. Of several builds at once one works and the others wait for it.
func (b Builder) Build(ctx context.Context) error {
	if b.nothingMissing() {
		return nil
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	missing := b.missing()
	for i, k := range missing {
		b.say("%s %s (%d of %d)", k.name, k.version, i+1, len(missing))
		start := time.Now()
		path, err := b.one(ctx, k)
		if err != nil {
			return fmt.Errorf("build %s %s: %w", k.name, k.version, err)
		}
		b.say("%s is there after %s: %s", k.name, time.Since(start).Round(100*time.Millisecond), path)
	}
	b.nothingMissing()
	return nil
}

func (b Builder) say(format string, args ...any) {
	fmt.Fprintf(b.Out, "components: "+format+"\n", args...)
}

func (b Builder) missing() (missing []component) {
	for _, k := range all {
		if _, err := b.Cache.find(k); err != nil {
			missing = append(missing, k)
		}
	}
	return missing
}

// nothingMissing says what is there where everything is, and what is to be
// expected where it is not.
func (b Builder) nothingMissing() bool {
	missing := b.missing()
	if len(missing) == 0 {
		where := b.Cache.Dir
		if b.Cache.Assets != "" {
			where = b.Cache.Assets + " (KUBEBUILDER_ASSETS) and " + where
		}
		b.say("all %d are there, in %s", len(all), where)
		return true
	}
	var names []string
	for _, k := range missing {
		names = append(names, k.name)
	}
	b.say("missing: %s", strings.Join(names, " "))
	b.say("building them once into %s: about 12 minutes for all of them on two cores, at low priority", b.Cache.Dir)
	return false
}

// lock waits until no other build works in this cache.
func (b Builder) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(b.Cache.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(b.Cache.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the cache's lock: %w", err)
	}
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %q: %w", f.Name(), err)
		}
		if !told {
			b.say("another build is under way; waiting for it")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another build: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// one makes a component in a folder of its own and moves it to its place.
func (b Builder) one(ctx context.Context, k component) (path string, err error) {
	path = b.Cache.path(k)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Nobody else builds now: what is left is of a build that was interrupted.
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, l := range left {
		if err := os.RemoveAll(l); err != nil {
			return "", err
		}
	}
	work, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, k.name)
	if k.pkg != "" {
		err = b.compile(ctx, k, made)
	} else {
		err = b.copyFiles(ctx, k, made)
	}
	if err != nil {
		return "", err
	}
	// A rename replaces a file but no folder. find has said that what is there
	// is not the component.
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return path, os.Rename(made, path)
}
