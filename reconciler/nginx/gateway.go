package nginx

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	render "github.com/changeover-dev/changeover/render/nginx"
)

// ErrNotRunning says that the new config is written and tested, but that no
// nginx runs that could serve it. It starts with the new config; Apply again
// then.
var ErrNotRunning = errors.New("nginx is not running: the new config is written and tested, start nginx")

// Options say where an nginx is.
type Options struct {
	// Dir is a folder whose changeover/*.upstreams.conf and
	// changeover/*.maps.conf the http block includes, and
	// changeover/*.locations.conf the server block.
	Dir string
	// Conf is the main config file, for the test and the reload.
	Conf string
	// Bin is the program; `nginx` where empty.
	Bin string
	// URL is where that server block listens on this machine, such as
	// http://127.0.0.1:80.
	URL string
	// Host is the Host header to ask the version with, where the server block
	// is chosen by name; URL's own where empty.
	Host string
	// PIDFile holds the master's process id, for the reload. Where empty,
	// `nginx -s reload` finds it by the config.
	PIDFile string
	// Wait bounds how long a reload may take to be seen; 10s where zero.
	Wait time.Duration
	// Keep is the number of versions kept; 5 where zero.
	Keep int
}

// Gateway is one nginx. It implements reconciler.Traffic. All methods may be
// called from several goroutines and processes: those that write take turns by
// a lock on the include folder.
type Gateway struct {
	o        Options
	versions versions
	nginx    process
	version  prober
}

var _ reconciler.Traffic = (*Gateway)(nil)

// New checks the options. It starts nothing and writes nothing.
func New(o Options) (*Gateway, error) {
	if o.Bin == "" {
		o.Bin = "nginx"
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Keep == 0 {
		o.Keep = 5
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("open nginx gateway: URL %q: want one such as http://127.0.0.1:80", o.URL)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("open nginx gateway: %w", err)
	}
	if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open nginx gateway: include folder %q must exist: create it and let nginx.conf include its changeover/*.conf", o.Dir)
	}
	if o.Conf, err = filepath.Abs(o.Conf); err != nil {
		return nil, fmt.Errorf("open nginx gateway: %w", err)
	}
	if _, err := os.Stat(o.Conf); err != nil {
		return nil, fmt.Errorf("open nginx gateway: config file %q must be nginx's main one: %w", o.Conf, err)
	}
	return &Gateway{
		o:        o,
		versions: versions{dir: o.Dir, keep: max(o.Keep, 2)},
		nginx:    process{bin: o.Bin, conf: o.Conf, pidFile: o.PIDFile},
		version:  newProber(u, o.Host),
	}, nil
}

// Apply implements reconciler.Traffic.
func (g *Gateway) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	if err := g.apply(ctx, p, m); err != nil {
		return fmt.Errorf("apply plan %q at %s to nginx: %w", p.Key(), m.Stop, err)
	}
	return nil
}

func (g *Gateway) apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	want, err := render.Render(p, m.Stop)
	if err != nil {
		return err
	}
	m.Key = p.Key()
	unlock, err := g.versions.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := g.versions.current()
	if err != nil {
		return err
	}
	if by := have.taken(p.Key()); by != "" {
		return errors.New(by)
	}
	written := have.config(p.Metadata.Name)
	switch {
	case !written.is(want):
		if _, err := g.replace(have, p, m, want); err != nil {
			return err
		}
		return g.bring(ctx, p, want.Hash, have.name)
	case !sameMark(written.mark, m):
		if have, err = g.replace(have, p, m, want); err != nil {
			return err
		}
	}
	if g.version.sample(ctx, render.VersionPath(p)).all(want.Hash) {
		return g.versions.prove(have.name)
	}
	// Written, but not served: nginx was down, or Changeover died on the way.
	return g.bring(ctx, p, want.Hash, have.name)
}

// replace writes the plan's files beside those of others, and swaps them in. A
// version that differs from a proven one in the mark alone is as good.
func (g *Gateway) replace(have version, p *plan.Plan, m reconciler.Mark, f render.Files) (version, error) {
	next := version{files: have.with(p.Metadata.Name, m, f)}
	same := have.config(p.Metadata.Name).is(f) && g.versions.proven() == have.name
	var err error
	if next.name, err = g.versions.write(next.files); err != nil {
		return version{}, err
	}
	if err := g.versions.point(next.name); err != nil {
		return version{}, err
	}
	if same {
		err = g.versions.prove(next.name)
	}
	g.versions.prune()
	return next, err
}

// bring lets nginx load what is written, and waits until it serves it. On an
// error it goes back to the version that was last seen to be served, which
// may be the one that is written, or else to the old one.
func (g *Gateway) bring(ctx context.Context, p *plan.Plan, hash, old string) error {
	if proven := g.versions.proven(); proven != "" {
		old = proven
	}
	info, err := g.nginx.test(ctx)
	if err != nil {
		return g.putBack(ctx, p, old, false, err)
	}
	words := info.errorLog()
	if err := g.nginx.reload(ctx); err != nil {
		if s := g.version.sample(ctx, render.VersionPath(p)); s.down() {
			return fmt.Errorf("%w (%w)", ErrNotRunning, err)
		}
		return g.putBack(ctx, p, old, false, err)
	}
	if err := g.await(ctx, p, hash, info.workers); err != nil {
		if said := words(); said != "" {
			err = fmt.Errorf("%w; nginx says: %s", err, said)
		}
		return g.putBack(ctx, p, old, true, err)
	}
	now, err := g.versions.current()
	if err != nil {
		return err
	}
	return g.versions.prove(now.name)
}

func (g *Gateway) await(ctx context.Context, p *plan.Plan, hash string, workers int) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Wait)
	defer cancel()
	return g.version.await(ctx, render.VersionPath(p), hash, workers)
}

// putBack undoes a failed change and returns why it failed. It has its own
// deadline, as the caller's may be what failed.
func (g *Gateway) putBack(ctx context.Context, p *plan.Plan, old string, reload bool, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*g.o.Wait)
	defer cancel()
	now, err := g.versions.current()
	if err == nil && now.name == old {
		return fmt.Errorf("%w; the config was left as it is", why)
	}
	if err := g.versions.point(old); err != nil {
		return fmt.Errorf("%w; putting the old config back failed too: %w", why, err)
	}
	if !reload {
		return fmt.Errorf("%w; the old config was put back", why)
	}
	err = g.nginx.reload(ctx)
	if err == nil && old != "" {
		var have version
		if have, err = g.versions.current(); err == nil {
			if c := have.config(p.Metadata.Name); c.hash != "" {
				err = g.await(ctx, p, c.hash, 1)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%w; the old config was put back, but nginx was not seen to serve it: %w", why, err)
	}
	return fmt.Errorf("%w; the old config was put back and loaded", why)
}

// Observe implements reconciler.Traffic. A stop of none asks for the mark
// alone. That nginx is down, or serves something else, is no error but said in
// the state.
func (g *Gateway) Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	have, err := g.versions.current()
	if err != nil {
		return reconciler.TrafficState{}, fmt.Errorf("observe plan %q in nginx: %w", p.Key(), err)
	}
	if by := have.taken(p.Key()); by != "" {
		return reconciler.TrafficState{Message: by}, nil
	}
	written := have.config(p.Metadata.Name)
	state := reconciler.TrafficState{Mark: written.mark}
	var want render.Files
	if !stop.IsZero() {
		if want, err = render.Render(p, stop); err != nil {
			return state, fmt.Errorf("observe plan %q in nginx: %w", p.Key(), err)
		}
	}
	served := g.version.sample(ctx, render.VersionPath(p))
	state.Hash = served.one()
	state.Message = g.differs(written, served, want.Hash, stop)
	state.Serving = state.Message == "" && !stop.IsZero()
	return state, nil
}

// differs says what is not as it should be, worst first; "" where all is.
func (g *Gateway) differs(written config, served answers, want string, stop plan.Position) string {
	switch {
	case written.damage != "":
		return written.damage
	case written.mark == nil:
		return fmt.Sprintf("no config of the plan is written in %s", g.o.Dir)
	case served.one() != written.hash:
		return served.explain(written.hash, g.o)
	case stop.IsZero():
		return ""
	case written.mark.Stop != stop:
		return fmt.Sprintf("nginx is at %s, not at %s", written.mark.Stop, stop)
	case written.hash != want:
		return fmt.Sprintf("the config written for %s is not what the plan says now", stop)
	}
	return ""
}
