package app

import (
	"flag"
	"fmt"
	"log/slog"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/configmap"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/follow"
)

// ConfigMap is where the config is kept, if not in a file.
type ConfigMap struct {
	Name       string // NAMESPACE/NAME; empty: it is in a file
	Kubeconfig string // empty: the account of the pod is used
	Cache      string // file with the last good config; empty: none
}

func (c *ConfigMap) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.Name, "config-map", "", "ConfigMap `NAMESPACE/NAME`, whose key bridge.json is written by the daemon and followed, in place of --config")
	fs.StringVar(&c.Kubeconfig, "kubeconfig", "", "kubeconfig `FILE` for --config-map (default: the account of the pod in which this runs)")
	fs.StringVar(&c.Cache, "config-cache", "", "`FILE` that keeps the last good config of --config-map, for a restart while the API server is away")
}

func (c *ConfigMap) check() error {
	if c.Name == "" {
		if c.Kubeconfig != "" || c.Cache != "" {
			return fmt.Errorf("%w: --kubeconfig and --config-cache go with --config-map", errUsage)
		}
		return nil
	}
	namespace, name, _ := strings.Cut(c.Name, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return fmt.Errorf("%w: --config-map %q: want NAMESPACE/NAME, such as changeover-system/orders-bridge", errUsage, c.Name)
	}
	return nil
}

// source is where the config is kept. It makes no call.
func (o *Options) source(log *slog.Logger) (follow.Source, error) {
	if o.ConfigMap.Name == "" {
		return follow.File{Path: o.Config, Reread: o.Reread, Log: log}, nil
	}
	cfg, err := configmap.Config(o.ConfigMap.Kubeconfig)
	if err != nil {
		return nil, err
	}
	namespace, name, _ := strings.Cut(o.ConfigMap.Name, "/")
	return configmap.New(cfg, namespace, name)
}
