package components

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What there is. Names of programs are those that KUBEBUILDER_ASSETS uses.
const (
	Etcd                   = "etcd"
	APIServer              = "kube-apiserver"
	ControllerManager      = "kube-controller-manager"
	Scheduler              = "kube-scheduler"
	Kubectl                = "kubectl"
	Kwok                   = "kwok"
	KwokStages             = "kwok-stages"              // a folder of YAML files: how nodes and pods come to life
	Versitygw              = "versitygw"                // an S3 service over a folder
	GatewayAPIStandard     = "gateway-api-standard"     // a folder of YAML files, one definition each
	GatewayAPIExperimental = "gateway-api-experimental" // the same, of the experimental channel
)

// The versions, as the modules beside this package pin them.
const (
	kubernetesVersion = "v1.36.1"
	etcdVersion       = "v3.6.8"
	kwokVersion       = "v0.8.0"
	gatewayAPIVersion = "v1.6.1"
	versitygwVersion  = "v1.8.0"
)

// component is a program, which has a package, or a folder of files, which has
// files.
type component struct {
	name    string
	version string
	pinned  string   // the folder of the module that pins it, below test/cluster
	module  string   // the module that it comes from
	pkg     string   // its main package
	ldflags string   // for the link, besides -s -w
	files   []string // patterns below the module
}

var all = []component{
	{name: KwokStages, version: kwokVersion, pinned: "etcd", module: "sigs.k8s.io/kwok", files: []string{
		"kustomize/stage/node/fast/node-*.yaml", "kustomize/stage/node/heartbeat/node-*.yaml", "kustomize/stage/pod/fast/pod-*.yaml",
	}},
	{name: GatewayAPIStandard, version: gatewayAPIVersion, pinned: "gatewayapi", module: "sigs.k8s.io/gateway-api",
		files: []string{"config/crd/standard/gateway*.yaml"}},
	{name: GatewayAPIExperimental, version: gatewayAPIVersion, pinned: "gatewayapi", module: "sigs.k8s.io/gateway-api",
		files: []string{"config/crd/experimental/gateway*.yaml"}},
	{name: Etcd, version: etcdVersion, pinned: "etcd", module: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3"},
	{name: Kwok, version: kwokVersion, pinned: "etcd", module: "sigs.k8s.io/kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok"},
	{name: Versitygw, version: versitygwVersion, pinned: "s3", module: "github.com/versity/versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw"},
	kubernetes(APIServer),
	kubernetes(Scheduler),
	kubernetes(ControllerManager),
	kubernetes(Kubectl),
}

func kubernetes(name string) component {
	const stamp = "k8s.io/component-base/version."
	return component{
		name: name, version: kubernetesVersion, pinned: "k8s", module: "k8s.io/kubernetes", pkg: "k8s.io/kubernetes/cmd/" + name,
		// Without it the programs call themselves v0.0.0-master.
		ldflags: "-X " + stamp + "gitVersion=" + kubernetesVersion + " -X " + stamp + "gitMajor=1 -X " + stamp + "gitMinor=36 -X " + stamp + "gitTreeState=clean",
	}
}

// Cache is where components are.
type Cache struct {
	// Dir has a folder for each version.
	Dir string
	// Assets is a folder with programs that go before those in Dir; those that
	// it lacks are taken from Dir. May be empty.
	Assets string
}

// DefaultCache is the cache of this user: changeover/bin in XDG_CACHE_HOME or
// in ~/.cache, and before it what KUBEBUILDER_ASSETS names.
func DefaultCache() (Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("find the cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	c := Cache{Dir: filepath.Join(dir, "changeover", "bin"), Assets: os.Getenv("KUBEBUILDER_ASSETS")}
	if c.Assets == "" {
		return c, nil
	}
	if !filepath.IsAbs(c.Assets) {
		return Cache{}, fmt.Errorf("read KUBEBUILDER_ASSETS: want an absolute path, got %q: every package's tests run in a folder of their own", c.Assets)
	}
	if i, err := os.Stat(c.Assets); err != nil || !i.IsDir() {
		return Cache{}, fmt.Errorf("read KUBEBUILDER_ASSETS: %q is not a folder; unset it, or put the programs there", c.Assets)
	}
	return c, nil
}

// ErrMissing says that a component is not built yet.
var ErrMissing = errors.New("missing component")

// Find returns the path of a component. The error wraps ErrMissing where it is
// not there, and names the command that builds it.
func (c Cache) Find(name string) (string, error) {
	for _, k := range all {
		if k.name == name {
			return c.find(k)
		}
	}
	return "", fmt.Errorf("find %q: there is no such component", name)
}

func (c Cache) find(k component) (string, error) {
	if c.Assets != "" && k.pkg != "" {
		if path := filepath.Join(c.Assets, k.name); runnable(path) {
			return path, nil
		}
	}
	path := c.path(k)
	i, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("find %s %s: %w: there is no %q; build it once with: make components", k.name, k.version, ErrMissing, path)
	case err != nil:
		return "", fmt.Errorf("find %s %s: %w", k.name, k.version, err)
	case i.IsDir() != (k.pkg == "") || k.pkg != "" && !runnable(path):
		return "", fmt.Errorf("find %s %s: %w: %q is not what make components puts there; remove it and run: make components", k.name, k.version, ErrMissing, path)
	}
	return path, nil
}

func (c Cache) path(k component) string { return filepath.Join(c.Dir, k.version, k.name) }

func runnable(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0
}
