package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/clients"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
)

// Options of the bridge.
type Options struct {
	Config    string // the file that is followed
	ConfigMap ConfigMap
	Reread    time.Duration
	Listen    string // traffic
	Admin     string // metrics, health, pprof
	// AdminToken is needed as a bearer token for metrics, clients and pprof; empty:
	// none is, and Admin must be loopback.
	AdminToken string

	TrustedProxies []netip.Prefix
	ClientsBy      clients.By
	Limits         proxy.Limits
	Ownership      Ownership

	ReadHeaderTimeout time.Duration
	IdleTimeout       time.Duration
	MaxHeaderBytes    int
	Drain             time.Duration

	// How another bridge is started in this one's place: the program, its
	// arguments and environment.
	program   string
	args, env []string
	// inherit: this one was started so.
	inherit bool
	// notifySocket is where a service manager listens; empty: nowhere.
	notifySocket string
}

// errUsage is an error of the command line.
var errUsage = errors.New("read flags")

// parseFlags writes to help only where help was asked for.
func parseFlags(args []string, help io.Writer) (o Options, version bool, err error) {
	fs := flag.NewFlagSet("changeover-bridge", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	tokenFile, trusted := declare(fs, &o, &version)
	by := fs.String("clients-by", "user-agent", "what a `CLIENT` is told by at /clients and in changeover_bridge_clients: user-agent, address, header:NAME or none")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(help, "Usage: changeover-bridge --config FILE [flags]\n       changeover-bridge --config-map NAMESPACE/NAME [--config-cache FILE] [flags]\n\n"+
			"SIGTERM drains and ends it; SIGUSR2 replaces it by the program that is on disk now.\n\nFlags:\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return o, false, err
	} else if err != nil {
		return o, false, fmt.Errorf("%w: %w", errUsage, err)
	}
	if version {
		return o, true, nil
	}
	if o.TrustedProxies, err = prefixes(*trusted); err != nil {
		return o, false, fmt.Errorf("%w: --trusted-proxies: %w", errUsage, err)
	}
	if o.ClientsBy, err = clients.ParseBy(*by); err != nil {
		return o, false, fmt.Errorf("%w: --clients-by: %w", errUsage, err)
	}
	if err := o.check(fs.Args(), *tokenFile); err != nil {
		return o, false, err
	}
	o.AdminToken, err = readToken(*tokenFile)
	return o, false, err
}

func declare(fs *flag.FlagSet, o *Options, version *bool) (tokenFile, trusted *string) {
	fs.StringVar(&o.Config, "config", "", "config `FILE`, written by the daemon and followed (required, unless --config-map is given)")
	o.ConfigMap.declare(fs)
	fs.DurationVar(&o.Reread, "reread", 2*time.Second, "read the config file this often even without a sign of a change")
	fs.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "`ADDRESS` for the traffic, HTTP/1.1 and h2c")
	fs.StringVar(&o.Admin, "admin", "127.0.0.1:8081", "`ADDRESS` for /metrics, /healthz, the version and /debug/pprof")
	tokenFile = fs.String("admin-token-file", "", "`FILE` with the bearer token for /metrics, /clients, /shadow and /debug/pprof; required where --admin is not loopback")
	trusted = fs.String("trusted-proxies", "", "comma-separated `CIDRs` of proxies whose X-Forwarded-For counts")
	o.Ownership.declare(fs)
	fs.DurationVar(&o.Limits.Dial, "dial-timeout", 5*time.Second, "to connect to a backend")
	fs.DurationVar(&o.Limits.Header, "response-header-timeout", time.Minute, "for a backend to begin its answer")
	fs.DurationVar(&o.Limits.Idle, "backend-idle-timeout", 4*time.Second, "keep unused connections to a backend; must be shorter than the backends keep theirs")
	fs.IntVar(&o.Limits.MaxIdle, "backend-max-idle", 512, "unused connections kept to a backend")
	fs.IntVar(&o.Limits.MaxInFlight, "backend-max-in-flight", 8192, "requests under way to a backend; more are answered with 503")
	fs.DurationVar(&o.ReadHeaderTimeout, "read-header-timeout", 10*time.Second, "for a client to send a request's headers")
	fs.DurationVar(&o.IdleTimeout, "idle-timeout", 2*time.Minute, "keep unused connections of clients")
	fs.IntVar(&o.MaxHeaderBytes, "max-header-bytes", 64<<10, "largest headers of a request")
	fs.DurationVar(&o.Drain, "drain-timeout", 30*time.Second, "let requests under way end after SIGTERM")
	fs.BoolVar(version, "version", false, "print the version and exit")
	return tokenFile, trusted
}

func (o Options) check(rest []string, tokenFile string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%w: unexpected argument %q", errUsage, rest[0])
	case (o.Config == "") == (o.ConfigMap.Name == ""):
		return fmt.Errorf("%w: want one of --config FILE and --config-map NAMESPACE/NAME", errUsage)
	case tokenFile == "" && !isLoopback(o.Admin):
		return fmt.Errorf("%w: --admin %q is not loopback: give --admin-token-file, or an address such as 127.0.0.1:8081", errUsage, o.Admin)
	case o.Limits.MaxIdle < 1 || o.Limits.MaxInFlight < 1 || o.MaxHeaderBytes < 1:
		return fmt.Errorf("%w: limits must be at least 1", errUsage)
	}
	if err := o.ConfigMap.check(); err != nil {
		return err
	}
	for _, d := range []time.Duration{o.Reread, o.Limits.Dial, o.Limits.Header, o.Limits.Idle, o.ReadHeaderTimeout, o.IdleTimeout, o.Drain} {
		if d <= 0 {
			return fmt.Errorf("%w: timeouts must be longer than 0, got %s", errUsage, d)
		}
	}
	return o.Ownership.check()
}

func prefixes(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q: want an address or a CIDR such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read --admin-token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("read --admin-token-file: %q is empty", file)
	}
	return token, nil
}

// isLoopback reports whether an address to listen on is reached from this host
// alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
