package kustomize_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// tripwire notices every request by net/http, every connection to its server,
// and every process of the programs that kustomize runs.
type tripwire struct {
	t           testing.TB
	address     string
	marks       string // a folder with a file for each process
	requests    atomic.Int64
	connections atomic.Int64
}

type touches struct{ requests, connections, processes int64 }

// RoundTrip is http.DefaultTransport's while the test runs.
func (w *tripwire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	if r.URL.Host != w.address {
		return nil, fmt.Errorf("the test does not leave this machine")
	}
	return new(http.Transport).RoundTrip(r)
}

// stretch puts the tripwire up for the length of a test.
func stretch(t testing.TB) *tripwire {
	t.Helper()
	w := &tripwire{t: t, marks: t.TempDir()}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	w.address = server.Listener.Addr().String()

	transport, client := http.DefaultTransport, http.DefaultClient
	http.DefaultTransport, http.DefaultClient = w, &http.Client{Transport: w}
	t.Cleanup(func() { http.DefaultTransport, http.DefaultClient = transport, client })

	bin, plugins := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho \"$0 $*\" > \"" + w.marks + "/$$\"\nexit 1\n"
	program := func(path string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"git", "helm", "helmV3", "kustomize", "docker", "ssh", "sh", "bash"} {
		program(filepath.Join(bin, name))
	}
	program(filepath.Join(plugins, "example.com/v1/runner/Runner"))
	t.Setenv("PATH", bin)
	t.Setenv("KUSTOMIZE_PLUGIN_HOME", plugins)
	return w
}

func (w *tripwire) touched() touches {
	marks, err := os.ReadDir(w.marks)
	if err != nil {
		w.t.Fatal(err)
	}
	return touches{w.requests.Load(), w.connections.Load(), int64(len(marks))}
}

// kustomize runs kustomize alone, with plugins and helm, on plans/k8s.
func (w *tripwire) kustomize(files fstest.MapFS) {
	disk := filesys.MakeFsInMemory()
	for name, f := range files {
		if strings.Contains(name, " ") {
			continue
		}
		if err := disk.WriteFile("/"+name, f.Data); err != nil {
			w.t.Fatal(err)
		}
	}
	config := types.EnabledPluginConfig(types.BploUseStaticallyLinked)
	config.HelmConfig.Command = "helm"
	config.FnpLoadingOptions.EnableExec = true
	_, err := krusty.MakeKustomizer(&krusty.Options{LoadRestrictions: types.LoadRestrictionsRootOnly, PluginConfig: config}).Run(disk, "/plans/k8s")
	if err == nil {
		w.t.Error("kustomize did not fail")
	}
}
