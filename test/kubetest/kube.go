package kubetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/changeover-dev/changeover/test/cluster"
)

// requestTimeout bounds each request of this package.
const requestTimeout = 30 * time.Second

// Kube is a running cluster with an administrator's clients.
type Kube struct {
	*cluster.Cluster
	// Config is the administrator's, without a limit on requests. Copy it
	// before changing it.
	Config *rest.Config
	// Dynamic is a client with Config.
	Dynamic dynamic.Interface

	http       *http.Client
	anonymous  *http.Client // shows no credentials
	mapper     *restmapper.DeferredDiscoveryRESTMapper
	namespaces atomic.Int64
	markers    atomic.Int64
}

// shared is the cluster of this test binary.
var shared struct {
	main    bool
	options cluster.Options
	once    sync.Once
	kube    *Kube
	err     error
}

// Main runs the tests of a package and returns the exit code. Shared then gives
// them one cluster, which ends with them. That a program of the cluster ended by
// itself fails the package.
func Main(m *testing.M, o cluster.Options) int {
	shared.main, shared.options = true, o
	code := m.Run()
	k := shared.kube
	if k == nil {
		return code
	}
	defer k.Stop()
	if err := k.Ended(); err != nil {
		fmt.Fprintf(os.Stderr, "the shared cluster lost a program: %v\n", err)
		code = max(code, 1)
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the shared cluster's logs:\n%s", k.Logs(5))
	}
	return code
}

// Shared is the package's cluster, which Main has promised. The first call
// starts it; where that fails, every test that asks for it fails.
func Shared(t testing.TB) *Kube {
	t.Helper()
	if !shared.main {
		t.Fatal("take the shared cluster: call kubetest.Main in TestMain")
	}
	shared.once.Do(func() {
		c, err := cluster.New(context.Background(), shared.options)
		if err == nil {
			shared.kube, err = attach(c)
		}
		shared.err = err
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.kube
}

// Start starts a cluster for this test alone.
func Start(t testing.TB, o cluster.Options) *Kube {
	t.Helper()
	k, err := attach(cluster.Start(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// attach makes the clients.
func attach(c *cluster.Cluster) (*Kube, error) {
	config, err := ReadKubeconfig(c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "kubetest"
	k := &Kube{Cluster: c, Config: config}
	if k.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if k.anonymous, err = rest.HTTPClientFor(rest.AnonymousClientConfig(config)); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	k.http.Timeout, k.anonymous.Timeout = requestTimeout, requestTimeout
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, k.http)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	k.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	// Watches of a test may last longer than a request.
	if k.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return k, nil
}

// ReadKubeconfig reads a kubeconfig for a client without a limit on requests.
func ReadKubeconfig(path string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %q: %w", path, err)
	}
	config.QPS = -1
	return config, nil
}

// within bounds a request. It also works in a cleanup, where the test's context
// has ended.
func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), requestTimeout)
}

// patience is how long WaitFor waits: two cores may be busy with other tests.
const patience = 2 * time.Minute

// WaitFor asks every 50 ms and fails the test when two minutes have passed.
func WaitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	if err := wait(patience, done); err != nil {
		t.Fatalf("wait until %s: %v", what, err)
	}
}

var errNotSeen = errors.New("not seen")

func wait(patience time.Duration, done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%w within %s", errNotSeen, patience)
		}
	}
	return nil
}
