// Command cluster builds the control plane for tests into the cache, or runs
// one for a person: `make components` and `make cluster`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/cluster/components"
)

const usage = `usage: cluster COMMAND

  build
        make what the cache lacks of the control plane
  run [none|standard|experimental]
        run a control plane until Ctrl-C, with the definitions of the Gateway
        API's channel installed; experimental where nothing is said
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := do(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(3)
	}
}

var errUsage = errors.New("wrong arguments")

func do(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "build":
		return build(ctx, out)
	case len(args) == 1 && args[0] == "run":
		return run(ctx, cluster.Experimental, out)
	case len(args) == 2 && args[0] == "run" && args[1] == "none":
		return run(ctx, cluster.NoGatewayAPI, out)
	case len(args) == 2 && args[0] == "run":
		return run(ctx, cluster.Channel(args[1]), out)
	}
	return fmt.Errorf("%w\n%s", errUsage, usage)
}

func build(ctx context.Context, out io.Writer) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "test", "cluster", "k8s", "go.mod")); err != nil {
		return fmt.Errorf("find the modules to build: %w; run it in the root of the repository: make components", err)
	}
	cache, err := components.DefaultCache()
	if err != nil {
		return err
	}
	return components.Builder{Cache: cache, Root: root, Out: out}.Build(ctx)
}

func run(ctx context.Context, channel cluster.Channel, out io.Writer) error {
	fmt.Fprintln(out, "cluster: starting etcd, API server, controller manager, scheduler and kwok")
	kubectl, err := kubectl()
	if err != nil {
		return err
	}
	start := time.Now()
	c, err := cluster.New(ctx, cluster.Options{GatewayAPI: channel})
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Fprintf(out, greeting, time.Since(start).Round(100*time.Millisecond), c.URL, c.Kubeconfig, filepath.Dir(kubectl), c.Dir)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "cluster: stopping; its data is removed")
			return nil
		case <-tick.C:
			if err := c.Ended(); err != nil {
				return fmt.Errorf("run the cluster: %w\n%s", err, c.Logs(15))
			}
		}
	}
}

// kubectl is for the person who tries the cluster.
func kubectl() (string, error) {
	cache, err := components.DefaultCache()
	if err != nil {
		return "", err
	}
	return cache.Find(components.Kubectl)
}

// greeting takes how long the start took, the address, the kubeconfig, and the
// folders of kubectl and of the logs.
const greeting = `cluster: ready after %s at %s

    export KUBECONFIG=%s
    export PATH="%s:$PATH"    # kubectl of the same version

Try, in another terminal with these lines:

    kubectl get nodes
    kubectl create deployment web --image=any --replicas=3
    kubectl rollout status deployment/web    # kwok says that pods run; nothing does
    kubectl create job once --image=any
    kubectl get crd

Logs are in %s. Ctrl-C stops it and removes everything.
`
