package story

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/admin"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/backends"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/child"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/prom"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/repo"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/workload"
	"github.com/changeover-dev/changeover/plan"
)

// stage is everything that takes part in the story.
type stage struct {
	dir    string // of all files
	binDir string
	// patience multiplies how long is waited; 0 is 1.
	patience int
	// Addresses, host:port, of what the two processes serve.
	gateway, bridgeAdmin, page string

	repo           *repo.Repo
	legacy, modern *backends.Backend
	prom           *prom.Server
	bridge, daemon *child.Process
	admin          *admin.Client
	load           *workload.Workload

	closers []func() error // in the order of starting
}

// The workload: 200 requests a second by 400 callers, so that each is heard of
// every two seconds.
const (
	callers = 400
	rate    = 200
)

// findBinaries fails unless the two real programs are in a folder.
func findBinaries(dir string) error {
	for _, name := range []string{"changeover", "changeover-bridge"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("find the program %s: it is not in %q: run `make build` first, or name its folder with --bin-dir", name, dir)
		}
	}
	return nil
}

// build sets up all that the processes need. What was started is in closers
// even when it fails.
func (st *stage) build(ctx context.Context) error {
	for _, addr := range []*string{&st.gateway, &st.bridgeAdmin, &st.page} {
		var err error
		if *addr, err = freeAddress(ctx); err != nil {
			return err
		}
	}
	var err error
	if st.repo, err = repo.Init(ctx, st.dir); err != nil {
		return err
	}
	for side, b := range map[plan.Side]**backends.Backend{plan.Legacy: &st.legacy, plan.Modern: &st.modern} {
		if *b, err = backends.Start(ctx, string(side)); err != nil {
			return err
		}
		st.closers = append(st.closers, (*b).Close)
	}
	st.admin = admin.New(st.socket(), planKey)
	return st.startProm(ctx)
}

func (st *stage) startProm(ctx context.Context) error {
	log, err := os.Create(filepath.Join(st.dir, "prometheus.log"))
	if err != nil {
		return fmt.Errorf("create the log of Prometheus: %w", err)
	}
	st.closers = append(st.closers, log.Close)
	st.prom, err = prom.Start(ctx, prom.Options{
		Dir: filepath.Join(st.dir, "prometheus"), Interval: time.Second,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
		Targets: []prom.Target{
			{Job: "legacy", Addr: st.legacy.Addr()}, {Job: "modern", Addr: st.modern.Addr()},
			{Job: "bridge", Addr: st.bridgeAdmin}, {Job: "changeover", Addr: st.page},
		},
	})
	if err == nil {
		st.closers = append(st.closers, st.prom.Close)
	}
	return err
}

// startProcesses starts the real bridge and the real daemon. The plan must be
// in the repository.
func (st *stage) startProcesses() error {
	config := filepath.Join(st.dir, "bridge.json")
	var err error
	st.bridge, err = st.spawn("changeover-bridge", "--config", config, "--listen", st.gateway, "--admin", st.bridgeAdmin)
	if err != nil {
		return err
	}
	st.daemon, err = st.spawn("changeover", "run",
		"--repo", st.repo.Bare, "--branch", repo.Branch, "--path", filepath.Dir(planPath), "--state-dir", st.state(),
		"--prometheus", st.prom.URL(), "--bridge-config", config, "--bridge-url", "http://"+st.bridgeAdmin, "--listen", st.page,
		"--interval", "1s", "--git-interval", "1s", "--drift-interval", "5s", "--cooldown", "10s", "--log-format", "text")
	return err
}

func (st *stage) spawn(name string, args ...string) (*child.Process, error) {
	p, err := child.Start(filepath.Join(st.binDir, name), filepath.Join(st.dir, name+".log"), args...)
	if err == nil {
		st.closers = append(st.closers, func() error { return p.Stop(10 * time.Second) })
	}
	return p, err
}

// startLoad begins the steady stream of requests.
func (st *stage) startLoad() {
	st.load = workload.Start(workload.Options{URL: st.orders(), Header: header, Callers: callers, Rate: rate, Timeout: 5 * time.Second})
	st.closers = append(st.closers, func() error { st.load.Stop(); return nil })
}

// answers asks the gateway once, as a customer does.
func (st *stage) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, st.orders(), nil)
	if err != nil {
		return err
	}
	req.Header.Set(header, workload.Name(0))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway answers %s", resp.Status)
	}
	return nil
}

// alive is nil while both processes run.
func (st *stage) alive() error {
	for _, p := range []*child.Process{st.bridge, st.daemon} {
		if p != nil && p.Err() != nil {
			return p.Err()
		}
	}
	return nil
}

// close ends everything, the newest first.
func (st *stage) close() error {
	var errs []error
	for _, c := range slices.Backward(st.closers) {
		errs = append(errs, c())
	}
	st.closers = nil
	return errors.Join(errs...)
}

func (st *stage) orders() string { return "http://" + st.gateway + "/orders" }
func (st *stage) state() string  { return filepath.Join(st.dir, "state") }
func (st *stage) socket() string { return filepath.Join(st.state(), "admin.sock") }

// freeAddress finds a loopback port that nothing listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
