package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/changeover-dev/changeover/reconciler/bridge"
	"github.com/changeover-dev/changeover/reconciler/kube/bridgeconfig"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// bridgeFlags say where the config of the bridges is kept, and where they are
// asked what they serve.
type bridgeFlags struct {
	config, configMap string
	urls              []string
	service           string
}

func (f *bridgeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "bridge-config", "", "file that the bridge reads; the daemon writes it")
	flags.StringVar(&f.configMap, "bridge-config-map", "", "ConfigMap NAMESPACE/NAME that bridges follow, in place of a file; the daemon writes its key bridge.json")
	flags.StringArrayVar(&f.urls, "bridge-url", nil, "where a bridge is asked which configuration it serves (repeatable)")
	flags.StringVar(&f.service, "bridge-service", "", "Service NAMESPACE/NAME[:PORT] whose ready endpoints are asked, in place of URLs; by default on its port named admin")
}

// wanted reports whether there are bridges.
func (f *bridgeFlags) wanted() bool { return f.config != "" || f.configMap != "" }

// needsCluster reports whether the API server is needed for them.
func (f *bridgeFlags) needsCluster() bool { return f.configMap != "" || f.service != "" }

func (f *bridgeFlags) check(k *kubeFlags) error {
	switch {
	case f.config != "" && f.configMap != "":
		return usageError("--bridge-config and --bridge-config-map exclude each other: the config is kept in one place")
	case len(f.urls) > 0 && f.service != "":
		return usageError("--bridge-url and --bridge-service exclude each other")
	case f.wanted() != (len(f.urls) > 0 || f.service != ""):
		return usageError("--bridge-config and --bridge-url go together: the file for the bridge (or --bridge-config-map), and where it is asked what it serves (or --bridge-service)")
	case f.needsCluster() && !k.wanted():
		return usageError("--bridge-config-map and --bridge-service need a cluster: give --kubeconfig or --in-cluster")
	}
	for _, u := range f.urls {
		if err := checkURL("--bridge-url", u); err != nil {
			return err
		}
	}
	if f.configMap != "" {
		if _, name, ok := namespaced(f.configMap); !ok || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return usageError("--bridge-config-map %q: want NAMESPACE/NAME, such as changeover-system/orders-bridge", f.configMap)
		}
	}
	if f.service != "" {
		if _, _, _, ok := serviceOf(f.service); !ok {
			return usageError("--bridge-service %q: want NAMESPACE/NAME or NAMESPACE/NAME:PORT, such as changeover-system/orders-bridge:8081", f.service)
		}
	}
	return nil
}

// namespaced reads NAMESPACE/NAME.
func namespaced(s string) (namespace, name string, ok bool) {
	namespace, name, _ = strings.Cut(s, "/")
	return namespace, name, len(validation.IsDNS1123Label(namespace)) == 0 && name != ""
}

// serviceOf reads NAMESPACE/NAME[:PORT]; port is 0 where there is none.
func serviceOf(s string) (namespace, name string, port int, ok bool) {
	s, number, given := strings.Cut(s, ":")
	if given {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 65535 {
			return "", "", 0, false
		}
		port = n
	}
	namespace, name, ok = namespaced(s)
	return namespace, name, port, ok && len(validation.IsDNS1035Label(name)) == 0
}

// gateway is that of the bridges; c may be nil where the flags need no cluster.
func (f *bridgeFlags) gateway(c *client.Client) (*bridge.Gateway, error) {
	o := bridge.Options{Store: bridge.File(f.config), Replicas: bridge.URLs(f.urls)}
	if f.configMap != "" {
		namespace, name, _ := namespaced(f.configMap)
		o.Store = bridgeconfig.NewConfigMap(c, namespace, name)
	}
	if f.service != "" {
		namespace, name, port, _ := serviceOf(f.service)
		o.Replicas = bridgeconfig.NewService(c, namespace, name, port)
	}
	return bridge.New(o)
}
