package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// kubeFlags say which API server is spoken to.
type kubeFlags struct {
	kubeconfig, context string
	inCluster           bool
	qps                 float32
	burst               int
}

func (f *kubeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster; without it, --context or --in-cluster no cluster is used")
	flags.StringVar(&f.context, "context", "", "context of the kubeconfig (default: its current one)")
	flags.BoolVar(&f.inCluster, "in-cluster", false, "use the account of the pod in which this runs")
	flags.Float32Var(&f.qps, "kube-qps", client.DefaultQPS, "requests a second to the API server")
	flags.IntVar(&f.burst, "kube-burst", client.DefaultBurst, "requests to the API server that may come at once")
}

// wanted reports whether a cluster is named.
func (f *kubeFlags) wanted() bool { return f.kubeconfig != "" || f.context != "" || f.inCluster }

func (f *kubeFlags) check() error {
	switch {
	case f.inCluster && (f.kubeconfig != "" || f.context != ""):
		return usageError("--in-cluster goes without --kubeconfig and --context: it uses the pod's own account")
	case f.qps <= 0:
		return usageError("--kube-qps %g is too small: want more than 0", f.qps)
	case f.burst < 1:
		return usageError("--kube-burst %d is too small: want at least 1", f.burst)
	}
	if f.kubeconfig != "" {
		if _, err := os.Stat(f.kubeconfig); err != nil {
			return usageError("--kubeconfig: %w", err)
		}
	}
	return nil
}

// config of the API server.
func (f *kubeFlags) config() (*rest.Config, error) {
	if f.inCluster {
		return client.InCluster()
	}
	return client.Load(f.kubeconfig, f.context)
}

// leaseFlags are those of leader election.
type leaseFlags struct {
	elect           bool
	namespace, name string
	duration        time.Duration
}

func (f *leaseFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.elect, "leader-elect", false, "work only while holding a Lease, so that several daemons may run")
	flags.StringVar(&f.namespace, "lease-namespace", "changeover-system", "namespace of the Lease")
	flags.StringVar(&f.name, "lease-name", "changeover", "name of the Lease")
	flags.DurationVar(&f.duration, "lease-duration", 15*time.Second, "how long a daemon that fell silent keeps the others from taking over")
}

func (f *leaseFlags) check(k *kubeFlags) error {
	switch {
	case f.elect && !k.wanted():
		return usageError("--leader-elect needs a cluster: give --kubeconfig or --in-cluster")
	case f.duration < 3*time.Second:
		return usageError("--lease-duration %s is too short: want at least 3s", f.duration)
	}
	return nil
}

// renderedFlags are those of clusters that another engine applies.
type renderedFlags struct{ dir, branch string }

func (f *renderedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "rendered", "", "folder for the rendered manifests, in place of applying them: Argo CD or Flux does")
	flags.StringVar(&f.branch, "rendered-branch", "", "branch of the repository for the rendered manifests, in place of applying them")
}

func (f *renderedFlags) wanted() bool { return f.dir != "" || f.branch != "" }

func (f *renderedFlags) check(watched string) error {
	switch {
	case f.dir != "" && f.branch != "":
		return usageError("--rendered and --rendered-branch exclude each other: the manifests go to one place")
	case f.branch != "" && f.branch == watched:
		return usageError("--rendered-branch %q is the branch that is watched: choose another", f.branch)
	}
	return nil
}
