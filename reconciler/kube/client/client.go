package client

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/changeover-dev/changeover/plan"
)

// The defaults of a client's rate, in requests a second: far above those of
// client-go, which starve plans of one another.
const (
	DefaultQPS   = 100
	DefaultBurst = 250
)

// callTimeout bounds every call but watches, which have their own.
const callTimeout = 30 * time.Second

// rediscover is the least time between two readings of the served kinds.
const rediscover = 2 * time.Second

// maxAccounts bounds the accounts whose clients are kept.
const maxAccounts = 1000

// Options of a Client.
type Options struct {
	Config    *rest.Config
	QPS       float32 // DefaultQPS where zero; negative: no limit
	Burst     int     // DefaultBurst where zero
	UserAgent string  // changeover where empty
	Now       func() time.Time
	// Fence is asked before every request that writes: an error says why none
	// may be sent, as when another daemon leads. Nil: all may.
	Fence func() error
	// DryRun: nothing is ever written. A request that writes and is no dry run
	// is an error and not sent; those of DryRun's options are sent.
	DryRun bool
}

// Client speaks to one API server as one account. It is safe for use by several
// goroutines.
type Client struct {
	dynamic  dynamic.Interface
	metadata metadata.Interface
	config   *rest.Config
	account  string
	shared   *shared
}

// shared is what the clients of all accounts have together.
type shared struct {
	discovery discovery.CachedDiscoveryInterface
	now       func() time.Time
	dry       bool

	mu       sync.Mutex
	mapper   meta.ResettableRESTMapper
	readAt   time.Time // when the served kinds were last asked for
	accounts map[string]*Client
}

// Load makes a configuration from a kubeconfig file and a context in it; both
// empty: $KUBECONFIG or ~/.kube/config and its current context.
func Load(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	return cfg, nil
}

// InCluster is the configuration of a pod.
func InCluster() (*rest.Config, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("load the pod's own configuration: %w; outside of a pod give --kubeconfig", err)
	}
	return cfg, nil
}

// New makes a client of the daemon's own account. It makes no call.
func New(o Options) (*Client, error) {
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS, cfg.Burst, cfg.UserAgent = o.QPS, o.Burst, o.UserAgent
	if cfg.QPS == 0 {
		cfg.QPS = DefaultQPS
	}
	if cfg.Burst == 0 {
		cfg.Burst = DefaultBurst
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "changeover"
	}
	cfg.WarningHandler = rest.NoWarnings{}
	if o.Fence != nil {
		cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &fenced{next, o.Fence} })
	}
	if o.DryRun {
		cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &dryOnly{next} })
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d, err := discovery.NewDiscoveryClientForConfig(timed(cfg))
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	s := &shared{discovery: memory.NewMemCacheClient(d), now: o.Now, dry: o.DryRun, accounts: map[string]*Client{}}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(s.discovery)
	return connect(cfg, "", s)
}

func timed(cfg *rest.Config) *rest.Config {
	c := rest.CopyConfig(cfg)
	c.Timeout = callTimeout
	return c
}

func connect(cfg *rest.Config, account string, s *shared) (*Client, error) {
	dyn, err := dynamic.NewForConfig(timed(cfg))
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	md, err := metadata.NewForConfig(metadata.ConfigFor(cfg)) // watches: no timeout
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &Client{dynamic: dyn, metadata: md, config: cfg, account: account, shared: s}, nil
}

// As is the client of an account: system:serviceaccount:NAMESPACE:NAME. With an
// empty name it is the receiver.
func (c *Client) As(namespace, name string) (*Client, error) {
	if name == "" {
		return c, nil
	}
	user := "system:serviceaccount:" + namespace + ":" + name
	s := c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.accounts[user]; ok {
		return a, nil
	}
	cfg := rest.CopyConfig(c.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user}
	a, err := connect(cfg, user, s)
	if err != nil {
		return nil, err
	}
	if len(s.accounts) >= maxAccounts {
		clear(s.accounts)
	}
	s.accounts[user] = a
	return a, nil
}

// ForPlan is the client of the account that the plan names, or the receiver
// where it names none.
func (c *Client) ForPlan(p *plan.Plan) (*Client, error) {
	return c.As(p.Metadata.Namespace, p.Spec.ServiceAccountName)
}

// Account is the user as whom the client acts; empty: the daemon's own.
func (c *Client) Account() string { return c.account }

// Dynamic reads and writes objects of any kind, with a timeout on every call;
// it is not for watches.
func (c *Client) Dynamic() dynamic.Interface { return c.dynamic }

// Metadata lists and watches the metadata of objects of any kind.
func (c *Client) Metadata() metadata.Interface { return c.metadata }

// Config is a copy of the client's configuration, impersonation included, for
// typed clients. It has no timeout.
func (c *Client) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Discovery reads the server's version and the kinds that it serves, from
// memory once they were read.
func (c *Client) Discovery() discovery.CachedDiscoveryInterface { return c.shared.discovery }

// ErrNoKind says that the API server serves no such kind.
var ErrNoKind = errors.New("the API server does not serve the kind")

// Mapping finds the resource of a kind. A kind that is not known is looked for
// once more on the server, at most every two seconds; the error is ErrNoKind
// where it is not served.
func (c *Client) Mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	s := c.shared
	m, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) && s.mayRead() {
		s.discovery.Invalidate()
		s.mapper.Reset()
		m, err = s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	switch {
	case meta.IsNoMatchError(err):
		return nil, fmt.Errorf("find kind %s of %s: %w; apply its CustomResourceDefinition first, or mend apiVersion and kind", gvk.Kind, gvk.GroupVersion(), ErrNoKind)
	case err != nil:
		return nil, fmt.Errorf("find kind %s of %s: %w", gvk.Kind, gvk.GroupVersion(), Explain(err))
	}
	return m, nil
}

// mayRead reports whether the served kinds may be read anew now.
func (s *shared) mayRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.readAt) < rediscover && !s.readAt.IsZero() {
		return false
	}
	s.readAt = now
	return true
}

// Forget has the served kinds read anew at the next question: a definition was
// applied or removed.
func (c *Client) Forget() {
	s := c.shared
	s.mu.Lock()
	s.readAt = time.Time{}
	s.mu.Unlock()
}

// Resource is the part of the API server that serves a kind, in a namespace for
// kinds that have one.
func (c *Client) Resource(m *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	r := c.dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return r.Namespace(namespace)
	}
	return r
}
