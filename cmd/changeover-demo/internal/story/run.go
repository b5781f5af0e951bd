package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/child"
)

// Options of a run.
type Options struct {
	BinDir string // where changeover and changeover-bridge are
	Dir    string // of all files, new or empty; empty: a temporary one
	Keep   bool   // leave a temporary folder in place
	Stay   bool   // keep everything up after the story, until ctx ends
	Out    io.Writer
	Colour bool
	// Patience multiplies how long each step, and all of it, may take; 0 is 1.
	Patience int
}

// limit is the longest that the story may take, with a patience of 1.
const limit = 90 * time.Second

// Run plays the story and stops everything that it started. It returns nil only
// if every step was observed.
func Run(ctx context.Context, o Options) (err error) {
	if err := findBinaries(o.BinDir); err != nil {
		return err
	}
	dir, err := folder(o.Dir)
	if err != nil {
		return err
	}
	o.Patience = max(1, o.Patience)
	limit := limit * time.Duration(o.Patience)
	s := &story{
		stage:    &stage{dir: dir, binDir: o.BinDir, patience: o.Patience},
		narrator: &narrator{out: o.Out, colour: o.Colour, start: time.Now(), tries: o.Stay},
	}
	defer func() {
		err = errors.Join(err, s.close())
		if o.Dir != "" || o.Keep || o.Stay {
			s.say(setting, "repository and logs are in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	playing, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the story took longer than %s", limit))
	defer cancel()
	if err := s.play(playing); err != nil {
		if ctx.Err() != nil {
			return errors.New("play the story: it was interrupted")
		}
		s.failed(err)
		return errors.New("play the story: not every step was observed")
	}
	fmt.Fprintf(o.Out, "\n%s\n", s.paint("1;32", fmt.Sprintf("Every step was observed, in %.1f s.", time.Since(s.start).Seconds())))
	if o.Stay {
		return s.stay(ctx)
	}
	return nil
}

// stay keeps all up until ctx ends; a process that ends before is an error.
func (s *story) stay(ctx context.Context) error {
	fmt.Fprintf(s.out, `
All of it stays up; Ctrl-C ends it.
  page         http://%s
  gateway      %s (with a header %s)
  Prometheus   %s/api/v1/query?query=up (its HTTP API, no page)
  repository   %s (plan: %s)
  logs         %s
`, s.page, s.orders(), header, s.prom.URL(), s.repo.Bare, planPath, filepath.Join(s.dir, "*.log"))
	s.try(
		fmt.Sprintf("%s advance %s --repo %s --direct   # a new promotion, by a commit of yours", s.binary(), planKey, s.repo.Bare),
		s.command("status")+" -w",
		"curl -s '"+s.prom.URL()+"/api/v1/query?query=orders_requests_total'",
	)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.alive(); err != nil {
				s.failed(err)
				return errors.New("stay up: a process ended")
			}
		}
	}
}

// failed says what was not seen, and what the processes logged last.
func (s *story) failed(err error) {
	fmt.Fprintf(s.out, "\n%s\n%v\n", s.paint("1;31", "NOT OBSERVED"), err)
	for _, p := range []*child.Process{s.bridge, s.daemon} {
		if p != nil {
			fmt.Fprintf(s.out, "\nThe log of %s ends:\n%s\n", p.Name, p.Tail(25))
		}
	}
}

// command is how one asks this daemon about the plan.
func (s *story) command(verb string) string {
	return fmt.Sprintf("%s %s %s --state-dir %s", s.binary(), verb, planKey, s.state())
}

func (s *story) binary() string { return filepath.Join(s.binDir, "changeover") }

// maxSocketPath is what every system takes for the path of a Unix socket.
const maxSocketPath = 100

// folder makes the folder for all files: the named one, which must be new or
// empty, or a temporary one.
func folder(named string) (string, error) {
	if named == "" {
		dir, err := os.MkdirTemp("", "changeover-demo-")
		if err != nil {
			return "", fmt.Errorf("make a temporary folder: %w", err)
		}
		return dir, nil
	}
	dir, err := filepath.Abs(named)
	if err != nil {
		return "", fmt.Errorf("make the folder %q: %w", named, err)
	}
	if len((&stage{dir: dir}).socket()) > maxSocketPath {
		return "", fmt.Errorf("make the folder %q: its path is too long for a socket in it; choose a shorter one", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder %q: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("make the folder %q: %w", dir, err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("make the folder %q: it is not empty; name a new one", dir)
	}
	return dir, nil
}
