package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/changeover-dev/changeover/test/cluster/components"
)

const (
	defaultTimeout = 3 * time.Minute
	// patience is how long a program may take to end after SIGTERM.
	patience = 30 * time.Second
)

// Cluster is a running control plane. Its methods may be called from several
// goroutines.
type Cluster struct {
	// URL is https://127.0.0.1:PORT and stays the same while the API server is
	// stopped and started.
	URL string
	// Kubeconfig is the path of a kubeconfig with all rights.
	Kubeconfig string
	// Dir holds all of it: data, credentials, and a log for each program. It is
	// removed when the cluster stops.
	Dir string
	// AuditLog is the path of the audit log; empty without Options.Audit.
	AuditLog string

	options   Options
	timeout   time.Duration
	authority *authority
	admin     *http.Client
	files     atomic.Int64 // kubeconfigs written
	ports     []port

	etcd, apiserver *process
	others          []*process // controller manager, scheduler, kwok: clients of the API server
	stop            sync.Once
}

// New starts a cluster and returns when its API server answers, its node is
// ready, its controllers work and what the options ask for is installed. The
// context bounds the start and nothing after it: call Stop. Where the start
// fails, everything is ended and removed but for the logs.
func New(ctx context.Context, o Options) (*Cluster, error) {
	paths, err := find(o)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "changeover-cluster-")
	if err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	c := &Cluster{Dir: dir, options: o, timeout: cmp.Or(o.Timeout, defaultTimeout)}
	if err := c.start(ctx, paths); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) { // nobody waits for it any more
			c.Stop()
			return nil, fmt.Errorf("start a cluster: %w", err)
		}
		err = fmt.Errorf("start a cluster: %w\nits logs are kept in %s; their ends:\n%s", err, c.Dir, c.Logs(15))
		c.end(true)
		return nil, err
	}
	return c, nil
}

// definitions are the components that have a channel's definitions.
var definitions = map[Channel]string{Standard: components.GatewayAPIStandard, Experimental: components.GatewayAPIExperimental}

// find looks up every component at once: who lacks one lacks most.
func find(o Options) (paths map[string]string, err error) {
	cache, err := components.DefaultCache()
	if err != nil {
		return nil, err
	}
	names := []string{
		components.Etcd, components.APIServer, components.ControllerManager, components.Scheduler, components.Kwok, components.KwokStages,
	}
	if o.GatewayAPI != NoGatewayAPI {
		name := definitions[o.GatewayAPI]
		if name == "" {
			return nil, fmt.Errorf("start a cluster: want Gateway API channel %q or %q, got %q", Standard, Experimental, o.GatewayAPI)
		}
		names = append(names, name)
	}
	paths = map[string]string{}
	var missing []error
	for _, n := range names {
		path, err := cache.Find(n)
		if err != nil {
			missing = append(missing, err)
		}
		paths[n] = path
	}
	return paths, errors.Join(missing...)
}

func (c *Cluster) start(ctx context.Context, paths map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for range 3 {
		p, err := holdPort()
		if err != nil {
			return err
		}
		c.ports = append(c.ports, p)
	}
	c.URL = "https://" + c.ports[0].address()
	if err := c.credentials(); err != nil {
		return err
	}
	audit, err := c.audit()
	if err != nil {
		return err
	}
	if err := c.programs(paths, append(audit, c.options.APIServerArgs...)); err != nil {
		return err
	}
	for _, p := range []*process{c.etcd, c.apiserver} {
		if err := p.start(); err != nil {
			return err
		}
	}
	if err := c.waitAPIServer(ctx); err != nil {
		return err
	}
	for _, p := range c.others {
		if err := p.start(); err != nil {
			return err
		}
	}
	together, ctx := errgroup.WithContext(ctx)
	together.Go(func() error { return c.addNode(ctx) })
	if name := definitions[c.options.GatewayAPI]; name != "" {
		together.Go(func() error { return c.install(ctx, paths[name]) })
	}
	return together.Wait()
}

// credentials writes what the programs need to know each other.
func (c *Cluster) credentials() (err error) {
	if c.authority, err = newAuthority(); err != nil {
		return err
	}
	server, err := c.authority.server()
	if err != nil {
		return err
	}
	accounts, err := c.authority.client("service-accounts", nil) // only its key is used
	if err != nil {
		return err
	}
	admin, err := c.authority.client("admin", []string{"system:masters"})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"ca.crt": c.authority.pem, "server.crt": server.cert, "server.key": server.key, "accounts.key": accounts.key,
	} {
		if err := os.WriteFile(c.file(name), text, 0o600); err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
	}
	if err := c.SetTokens(c.options.Tokens...); err != nil {
		return err
	}
	config, err := c.authority.tls(admin)
	if err != nil {
		return err
	}
	c.admin = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	c.Kubeconfig, err = c.certified("admin", admin)
	return err
}

func (c *Cluster) file(name string) string { return filepath.Join(c.Dir, name) }

// programs prepares the five programs; more are flags of the API server.
func (c *Cluster) programs(paths map[string]string, more []string) error {
	client, peer := "http://"+c.ports[1].address(), "http://"+c.ports[2].address()
	prepare := func(name string, args ...string) *process {
		return &process{name: name, path: paths[name], args: args, home: c.Dir, log: c.file(name + ".log")}
	}
	c.etcd = prepare(components.Etcd, "--name=test", "--data-dir="+c.file("etcd"), "--unsafe-no-fsync", "--socket-reuse-port",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=test="+peer, "--log-level=warn")
	c.apiserver = prepare(components.APIServer, append([]string{
		"--etcd-servers=" + client, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports[0].number), "--permit-port-sharing",
		// Nothing is to look for an address by which others reach it.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--cert-dir=" + c.file("certificates"), "--tls-cert-file=" + c.file("server.crt"), "--tls-private-key-file=" + c.file("server.key"),
		"--client-ca-file=" + c.file("ca.crt"), "--token-auth-file=" + c.file("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file("accounts.key"), "--service-account-signing-key-file=" + c.file("accounts.key"),
		// After SIGTERM it would wait a minute for watches to end.
		"--shutdown-send-retry-after",
		"--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount",
	}, more...)...)
	asClient := []string{"--kubeconfig=" + c.Kubeconfig, "--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"}
	// Without --node-port it would listen for exec and logs on every address.
	kwok := []string{"--kubeconfig=" + c.Kubeconfig, "--manage-all-nodes=true", "--node-port=0"}
	stages, err := filepath.Glob(filepath.Join(paths[components.KwokStages], "*.yaml"))
	if err != nil {
		return fmt.Errorf("find the stages of kwok: %w", err)
	}
	for _, s := range stages {
		kwok = append(kwok, "--config="+s)
	}
	c.others = []*process{
		prepare(components.ControllerManager, append(asClient, "--service-account-private-key-file="+c.file("accounts.key"), "--root-ca-file="+c.file("ca.crt"))...),
		prepare(components.Scheduler, asClient...),
		prepare(components.Kwok, kwok...),
	}
	return nil
}

func (c *Cluster) processes() []*process {
	var all []*process
	for _, p := range append([]*process{c.etcd, c.apiserver}, c.others...) {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// StopAPIServer ends the API server with SIGTERM and returns when it is gone.
// Its port stays with the cluster. It does nothing where it does not run.
func (c *Cluster) StopAPIServer() error {
	if c.apiserver.end(syscall.SIGTERM, patience) {
		return fmt.Errorf("stop the API server: it had to be killed %s after SIGTERM", patience)
	}
	return nil
}

// KillAPIServer ends the API server with SIGKILL and returns when it is gone.
// It does nothing where it does not run.
func (c *Cluster) KillAPIServer() { c.apiserver.end(syscall.SIGKILL, patience) }

// StartAPIServer starts the API server again, on the same port and with the
// same data, and returns when it is ready. The controllers come back by
// themselves, within seconds.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.apiserver.start()
	if err == nil {
		err = c.waitAPIServer(ctx)
	}
	if err != nil {
		return fmt.Errorf("start the API server again: %w\n%s", err, c.apiserver.tail(30))
	}
	return nil
}

// Ended is an error where a program has ended that nobody stopped.
func (c *Cluster) Ended() error {
	var ended []error
	for _, p := range c.processes() {
		ended = append(ended, p.ended())
	}
	return errors.Join(ended...)
}

// Logs are the last errors in every program's log, this many of each, and its
// last few lines where it has none.
func (c *Cluster) Logs(lines int) string {
	var b strings.Builder
	for _, p := range c.processes() {
		b.WriteString(p.tail(lines))
	}
	return b.String()
}

// Stop ends everything and removes the cluster's folder. Stopping twice does
// nothing.
func (c *Cluster) Stop() { c.stop.Do(func() { c.end(false) }) }

// end kills the programs: nothing of theirs is needed again. Their logs may be
// kept.
func (c *Cluster) end(keepLogs bool) {
	var killing sync.WaitGroup
	for _, p := range c.processes() {
		killing.Go(func() { p.end(syscall.SIGKILL, patience) })
	}
	killing.Wait()
	for _, p := range c.ports {
		p.release()
	}
	if c.admin != nil {
		c.admin.CloseIdleConnections()
	}
	if !keepLogs {
		_ = os.RemoveAll(c.Dir) // what is left is in the way of nobody
		return
	}
	entries, _ := os.ReadDir(c.Dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" {
			_ = os.RemoveAll(c.file(e.Name()))
		}
	}
}
