package components

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// workshop is a builder whose go is a script: it notes how it is called, and
// fails, waits and stops half way where a file tells it to.
type workshop struct {
	t   *testing.T
	dir string
	Builder
	out *output
}

const script = `#!/bin/bash
echo "$*" >>%[1]q/calls
[ ! -e %[1]q/fail ] || { echo "vendor/x.go:1: syntax error" >&2; exit 1; }
case $1 in
build)
  for a; do case $a in -o=*) out=${a#-o=};; esac; done
  echo some/package >&2
  printf '#!/bin/sh\n' >"$out"
  while [ -e %[1]q/wait ]; do sleep 0.02; done
  chmod +x "$out";;
mod) cat "%[1]s/${@: -1}/json";;
esac
`

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	dir := t.TempDir()
	w := &workshop{t: t, dir: dir, out: &output{}}
	w.Builder = Builder{Cache: Cache{Dir: filepath.Join(dir, "cache")}, Root: dir, Out: w.out, goTool: filepath.Join(dir, "go")}
	w.write("go", fmt.Sprintf(script, dir))
	for _, k := range all {
		must(t, os.MkdirAll(filepath.Join(dir, "test", "cluster", k.pinned), 0o700))
		w.write(k.module+"/json", fmt.Sprintf(`{"Dir": %q, "Version": %q}`, filepath.Join(dir, k.module), k.version))
		for _, f := range k.files {
			w.write(k.module+"/"+strings.ReplaceAll(f, "*", "x"), "kind: X\n")
		}
	}
	return w
}

func (w *workshop) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(w.t, os.WriteFile(path, []byte(text), 0o700))
}

func (w *workshop) remove(name string) {
	w.t.Helper()
	must(w.t, os.Remove(filepath.Join(w.dir, name)))
}

// calls is how often go was called.
func (w *workshop) calls() int {
	b, err := os.ReadFile(filepath.Join(w.dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func (w *workshop) said() string { return strings.Join(w.out.lines(), "\n") }

// complete wants every component to be there.
func (w *workshop) complete() {
	w.t.Helper()
	for _, k := range all {
		if path, err := w.Cache.Find(k.name); err != nil {
			w.t.Error(err)
		} else if want := filepath.Join(w.Cache.Dir, k.version, k.name); path != want {
			w.t.Errorf("%s is at %s, want %s", k.name, path, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(w.Cache.Dir, "*", unfinished+"*"))
	must(w.t, err)
	if len(left) > 0 {
		w.t.Errorf("work is left behind: %v", left)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}

func TestWhatIsMissingIsBuiltOnce(t *testing.T) {
	w := newWorkshop(t)
	if _, err := w.Cache.Find(Etcd); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make components") {
		t.Errorf("before: got %v", err)
	}
	must(t, w.Build(t.Context()))
	w.complete()
	if got := w.calls(); got != len(all) {
		t.Errorf("go was called %d times, want once a component", got)
	}
	for _, want := range []string{"missing: kwok-stages ", "etcd v3.6.8 (4 of 10)", "etcd is there after ", "all 10 are there, in "} {
		if !strings.Contains(w.said(), want) {
			t.Errorf("it does not say %q:\n%s", want, w.said())
		}
	}
	*w.out = output{}
	must(t, w.Build(t.Context()))
	if got := w.said(); w.calls() != len(all) || got != "components: all 10 are there, in "+w.Cache.Dir {
		t.Errorf("a second run built something, or does not say that it did not:\n%s", got)
	}
	must(t, os.Remove(filepath.Join(w.Cache.Dir, etcdVersion, Etcd)))
	must(t, w.Build(t.Context()))
	if got := w.calls(); got != len(all)+1 {
		t.Errorf("for one that is missing go was called %d times", got-len(all))
	}
	w.complete()
}

func TestAnInterruptedBuildIsNotTakenForAFinishedOne(t *testing.T) {
	w := newWorkshop(t)
	w.write("wait", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- w.Build(ctx) }()
	half := func() []string {
		found, err := filepath.Glob(filepath.Join(w.Cache.Dir, "*", unfinished+"*", Etcd))
		must(t, err)
		return found
	}
	eventually(t, "a program is half built", func() bool { return len(half()) == 1 })
	if _, err := w.Cache.Find(Etcd); !errors.Is(err, ErrMissing) {
		t.Errorf("a program half built is found: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := w.Cache.Find(Etcd); !errors.Is(err, ErrMissing) {
		t.Errorf("a program half built is found: %v", err)
	}
	// This is what a builder leaves that was killed.
	w.write(filepath.Join("cache", etcdVersion, unfinished+"1", Etcd), "half")
	w.remove("wait")
	must(t, w.Build(t.Context()))
	w.complete()
}

func TestABuildThatFailsIsToldWithWhatGoSays(t *testing.T) {
	w := newWorkshop(t)
	w.write("fail", "")
	err := w.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "build kwok-stages v0.8.0: go mod download: exit status 1") || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("got %v", err)
	}
	w.remove("fail")
	must(t, w.Build(t.Context()))
	must(t, os.Remove(filepath.Join(w.Cache.Dir, etcdVersion, Etcd)))
	w.write("fail", "")
	err = w.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "build etcd v3.6.8: go build: exit status 1") || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("got %v", err)
	}
}

func TestAModuleOfAnotherVersionIsRefused(t *testing.T) {
	w := newWorkshop(t)
	w.write("sigs.k8s.io/kwok/json", `{"Dir": "/", "Version": "v0.7.0"}`)
	if err := w.Build(t.Context()); err == nil || !strings.Contains(err.Error(), "pins sigs.k8s.io/kwok v0.7.0, this package v0.8.0") {
		t.Errorf("got %v", err)
	}
}

func TestOfTwoBuildsAtOnceOneWaits(t *testing.T) {
	w := newWorkshop(t)
	w.write("wait", "")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := w.Build(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "one waits", func() bool { return strings.Contains(w.said(), "another build is under way") })
	w.remove("wait")
	both.Wait()
	if got := w.calls(); got != len(all) {
		t.Errorf("go was called %d times, want %d", got, len(all))
	}
	w.complete()
}

func TestALongBuildTellsItsProgress(t *testing.T) {
	w := newWorkshop(t)
	w.every = 10 * time.Millisecond
	w.write("wait", "")
	done := make(chan error)
	go func() { done <- w.Build(t.Context()) }()
	eventually(t, "progress", func() bool { return strings.Contains(w.said(), "components: etcd: 1 packages compiled, ") })
	w.remove("wait")
	must(t, <-done)
}

func TestProgressCountsWhatGoNames(t *testing.T) {
	var o output
	fmt.Fprint(&o, "go: downloading k8s.io/api v0.36.1\ninternal/cpu\nk8s.io/api/core/v1\n# k8s.io/x\n./x.go:1:2: no\n")
	if got := o.progress(); got != "1 modules fetched, 2 packages compiled" {
		t.Errorf("got %q", got)
	}
}

func TestProgramsOfKubebuilderGoFirst(t *testing.T) {
	w := newWorkshop(t)
	must(t, w.Build(t.Context()))
	assets := filepath.Join(w.dir, "assets")
	w.write("assets/etcd", "#!/bin/sh\n")
	w.write("assets/"+APIServer, "text")
	must(t, os.Chmod(filepath.Join(assets, APIServer), 0o600)) // not a program
	w.write("assets/"+KwokStages, "not a folder")
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	t.Setenv("XDG_CACHE_HOME", "/somewhere")
	cache, err := DefaultCache()
	must(t, err)
	if cache.Dir != "/somewhere/changeover/bin" {
		t.Errorf("got cache %s", cache.Dir)
	}
	cache.Dir = w.Cache.Dir
	for name, want := range map[string]string{
		Etcd: filepath.Join(assets, Etcd), APIServer: w.Cache.path(kubernetes(APIServer)), Scheduler: w.Cache.path(kubernetes(Scheduler)),
		KwokStages: filepath.Join(w.Cache.Dir, kwokVersion, KwokStages),
	} {
		if got, err := cache.Find(name); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
	// What is there need not be built.
	must(t, os.Remove(filepath.Join(w.Cache.Dir, etcdVersion, Etcd)))
	before := w.calls()
	w.Cache = cache
	must(t, w.Build(t.Context()))
	if w.calls() != before || !strings.Contains(w.said(), assets+" (KUBEBUILDER_ASSETS)") {
		t.Errorf("etcd was built though it is in KUBEBUILDER_ASSETS, or nothing says so:\n%s", w.said())
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for assets, want := range map[string]string{"bin": "want an absolute path", filepath.Join(t.TempDir(), "none"): "is not a folder"} {
		t.Setenv("KUBEBUILDER_ASSETS", assets)
		if _, err := DefaultCache(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", assets, err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("XDG_CACHE_HOME", "relative")
	if _, err := DefaultCache(); err == nil || !strings.Contains(err.Error(), "XDG_CACHE_HOME") {
		t.Errorf("got %v", err)
	}
	if _, err := (Cache{Dir: t.TempDir()}).Find("kubelet"); err == nil || !strings.Contains(err.Error(), "no such component") {
		t.Errorf("got %v", err)
	}
}

func TestSomethingElseInTheCacheIsNotTakenForAComponent(t *testing.T) {
	w := newWorkshop(t)
	must(t, os.MkdirAll(filepath.Join(w.Cache.Dir, etcdVersion, Etcd, "folder"), 0o700))
	w.write(filepath.Join("cache", kwokVersion, KwokStages), "a file")
	for _, name := range []string{Etcd, KwokStages} {
		if _, err := w.Cache.Find(name); !errors.Is(err, ErrMissing) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	must(t, w.Build(t.Context()))
	w.complete()
}

// TestVersionsAreThoseThatTheModulesPin holds this package to the go.mod files.
func TestVersionsAreThoseThatTheModulesPin(t *testing.T) {
	for _, k := range all {
		b, err := os.ReadFile(filepath.Join("..", k.pinned, "go.mod"))
		must(t, err)
		if !regexp.MustCompile(`(?m)\s` + regexp.QuoteMeta(k.module+" "+k.version) + `( // indirect)?$`).Match(b) {
			t.Errorf("%s: test/cluster/%s does not require %s %s", k.name, k.pinned, k.module, k.version)
		}
		if k.pkg != "" && !strings.Contains(string(b), "\n\t"+k.pkg+"\n") && !strings.Contains(string(b), "\ntool "+k.pkg+"\n") {
			t.Errorf("%s: test/cluster/%s has no tool %s", k.name, k.pinned, k.pkg)
		}
	}
	b, err := os.ReadFile("../k8s/go.mod")
	must(t, err)
	staging := strings.Replace(kubernetesVersion, "v1.", "v0.", 1)
	replaced := regexp.MustCompile(`(?m)^\t(k8s\.io/\S+) => (\S+) (\S+)$`).FindAllStringSubmatch(string(b), -1)
	if len(replaced) < 30 {
		t.Errorf("found %d replaced modules: does this test still read go.mod right?", len(replaced))
	}
	for _, r := range replaced {
		if r[1] != r[2] || r[3] != staging {
			t.Errorf("%s is replaced by %s %s, want %s", r[1], r[2], r[3], staging)
		}
	}
}
