package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// Publisher writes folders of branches of a repository.
type Publisher interface {
	// Publish replaces what is in a folder by these files, in one commit, and
	// makes none where nothing changes.
	Publish(ctx context.Context, branch, folder string, files map[string][]byte, message string) (plan.Revision, error)
	// Published returns the files in a folder; none where it is not there. It
	// may be some seconds old, but for what was published by the same.
	Published(ctx context.Context, branch, folder string) (files map[string][]byte, head plan.Revision, err error)
}

// Options of a Dir: one of Folder and Branch is given.
type Options struct {
	// Folder takes the manifests, and belongs to one process. It is made where
	// it is not there.
	Folder string
	// Branch of the Publisher's repository takes them.
	Branch    string
	Publisher Publisher
	// Live is the cluster that the other engine applies to. It is only read;
	// nil: there is none to look at.
	Live reconciler.Cluster
	// AllowSecrets lets Secrets be written to a folder. Into a branch they
	// never go.
	AllowSecrets bool
}

// Dir implements reconciler.Cluster. It is safe for use by several goroutines;
// for one plan it is to be called by one at a time.
type Dir struct {
	o     Options
	store store
}

// store keeps the folders of plans.
type store interface {
	// read returns the files of a plan; none where there is no folder.
	read(ctx context.Context, key plan.Key) (map[string][]byte, error)
	// write replaces them: all or nothing.
	write(ctx context.Context, key plan.Key, files map[string][]byte, message string) error
	// where names a plan's folder for people.
	where(key plan.Key) string
}

var _ reconciler.Cluster = (*Dir)(nil)

// New makes a Dir. What a crash left half done in the folder is cleared away.
func New(o Options) (*Dir, error) {
	switch {
	case o.Folder == "" && o.Branch == "":
		return nil, errors.New("write manifests: name a folder or a branch for them")
	case o.Folder != "" && o.Branch != "":
		return nil, errors.New("write manifests: they go to a folder or to a branch, not to both")
	case o.Branch != "" && o.Publisher == nil:
		return nil, errors.New("write manifests: there is no repository for the branch")
	case o.Branch != "" && o.AllowSecrets:
		return nil, errors.New("write manifests: Secrets never go to a branch; allow them for a folder only")
	case o.Branch != "":
		return &Dir{o, &branch{o.Publisher, o.Branch}}, nil
	}
	mode := fs.FileMode(0o644)
	if o.AllowSecrets {
		mode = 0o640 // not for everybody
	}
	f, err := openFolder(o.Folder, mode)
	if err != nil {
		return nil, err
	}
	return &Dir{o, f}, nil
}

// pass is one call for one plan.
type pass struct {
	d    reconciler.Desired
	want []render.Object // what is desired, as it is written
	was  *written
}

func (c *Dir) begin(ctx context.Context, d reconciler.Desired) (*pass, error) {
	want, err := prepare(d, c.o.AllowSecrets)
	if err != nil {
		return nil, err
	}
	was, err := c.read(ctx, d.Mark.Key)
	if err != nil {
		return nil, err
	}
	return &pass{d, want, was}, nil
}

func (c *Dir) read(ctx context.Context, key plan.Key) (*written, error) {
	files, err := c.store.read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.store.where(key), err)
	}
	w, err := decode(key, files)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.store.where(key), err)
	}
	return w, nil
}

// write replaces what is in the plan's folder, where that changes anything.
func (c *Dir) write(ctx context.Context, p *pass, objects []render.Object, what string) error {
	key := p.d.Mark.Key
	files, err := encode(key, objects, p.was.meta.Mark)
	if err != nil {
		return fmt.Errorf("write %s: %w", c.store.where(key), err)
	}
	return c.put(ctx, p.d.Mark, p.was, files, what)
}

func (c *Dir) put(ctx context.Context, m reconciler.Mark, was *written, files map[string][]byte, what string) error {
	if maps.EqualFunc(files, was.files, slices.Equal) {
		return nil
	}
	message := fmt.Sprintf("%s: %s\n\nRendered from %s.", m.Key, what, m.Revision)
	if err := c.store.write(ctx, m.Key, files, message); err != nil {
		return fmt.Errorf("write %s: %w", c.store.where(m.Key), err)
	}
	return nil
}

// Expand implements reconciler.Cluster. All is written at once, or nothing.
func (c *Dir) Expand(ctx context.Context, d reconciler.Desired) error {
	p, err := c.begin(ctx, d)
	if err != nil {
		return err
	}
	objects, err := p.expanded()
	if err != nil {
		return fmt.Errorf("write %s: %w", c.store.where(d.Mark.Key), err)
	}
	return c.write(ctx, p, objects, fmt.Sprintf("expand for %s", d.Mark.Stop))
}

// Contract implements reconciler.Cluster. That everything is healthy is looked
// at once more, as with a cluster that is applied to.
func (c *Dir) Contract(ctx context.Context, d reconciler.Desired) error {
	ok, why, err := c.Healthy(ctx, d)
	if err == nil && !ok {
		err = fmt.Errorf("nothing is lowered or deleted before everything is ready: %s", why)
	}
	if err != nil {
		return err
	}
	p, err := c.begin(ctx, d)
	if err != nil {
		return err
	}
	objects, left, err := p.contracted()
	if err != nil {
		return fmt.Errorf("write %s: %w", c.store.where(d.Mark.Key), err)
	}
	if err := c.write(ctx, p, objects, fmt.Sprintf("contract for %s", d.Mark.Stop)); err != nil {
		return err
	}
	return left.tooMany
}

// SetMark implements reconciler.Cluster.
func (c *Dir) SetMark(ctx context.Context, d reconciler.Desired) error {
	was, err := c.read(ctx, d.Mark.Key)
	if err != nil {
		return err
	}
	if len(was.objects) == 0 {
		return fmt.Errorf("mark %s: nothing is written there yet: it is made when the plan is applied", c.store.where(d.Mark.Key))
	}
	m := was.meta
	m.Mark = &d.Mark
	files := maps.Clone(was.files)
	if files[metaFile], err = m.encode(); err != nil {
		return fmt.Errorf("mark %s: %w", c.store.where(d.Mark.Key), err)
	}
	return c.put(ctx, d.Mark, was, files, fmt.Sprintf("mark %s", d.Mark.Stop))
}

// Mark implements reconciler.Cluster.
func (c *Dir) Mark(ctx context.Context, key plan.Key) (*reconciler.Mark, error) {
	was, err := c.read(ctx, key)
	if err != nil || len(was.objects) == 0 {
		return nil, err
	}
	return was.meta.Mark, nil
}

const noLive = "no kubeconfig was given"

// Read implements reconciler.Cluster.
func (c *Dir) Read(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object {
	if c.o.Live != nil {
		return c.o.Live.Read(ctx, p, names)
	}
	out := make(map[string]gates.Object, len(names))
	for _, name := range names {
		out[name] = gates.Object{Err: fmt.Errorf("read object %q: %s: start the daemon with --kubeconfig", name, noLive)}
	}
	return out
}

// Unmet implements reconciler.Cluster. Where there is no cluster to ask, a plan
// that requires something waits.
func (c *Dir) Unmet(ctx context.Context, p *plan.Plan) ([]string, error) {
	switch {
	case c.o.Live != nil:
		return c.o.Live.Unmet(ctx, p)
	case p.Spec.Requires == nil:
		return nil, nil
	}
	return []string{"what the cluster offers cannot be asked, as " + noLive + ": start the daemon with --kubeconfig, or take spec.requires out of the plan"}, nil
}
