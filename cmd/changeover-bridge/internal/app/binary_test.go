package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// binary is the real command, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bridge-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "changeover-bridge")
	build := exec.Command("go", "build", raceFlag, "-o", binary, "github.com/changeover-dev/changeover/cmd/changeover-bridge")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the bridge: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running bridge.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	traffic, admin string // URLs
	exited         chan struct{}

	mu   sync.Mutex
	logs []string
}

func start(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{t: t, exited: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go p.follow(stderr, listening)
	t.Cleanup(p.kill)
	select {
	case <-listening:
	case <-p.exited:
		t.Fatalf("the bridge ended at once:\n%s", p.log())
	case <-time.After(20 * time.Second):
		t.Fatal("the bridge does not listen")
	}
	return p
}

// follow keeps the log, and learns from it where the bridge listens.
func (p *process) follow(stderr io.Reader, listening chan<- struct{}) {
	for sc := bufio.NewScanner(stderr); sc.Scan(); {
		var line struct{ Msg, Traffic, Admin string }
		_ = json.Unmarshal(sc.Bytes(), &line)
		p.mu.Lock()
		p.logs = append(p.logs, sc.Text())
		p.mu.Unlock()
		if line.Msg == "listening" {
			p.traffic, p.admin = "http://"+line.Traffic, "http://"+line.Admin
			close(listening)
		}
	}
	_ = p.cmd.Wait()
	close(p.exited)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.logs, "\n")
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
	if log := p.log(); strings.Contains(log, "DATA RACE") {
		p.t.Errorf("the bridge has a data race:\n%s", log)
	}
}

func (p *process) awaitExit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("the bridge still runs after %s:\n%s", within, p.log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// fetch is one GET over a fresh connection.
func fetch(t testing.TB, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func (p *process) awaitVersion(hash string) {
	p.t.Helper()
	var got string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, _, got = fetch(p.t, p.admin+bridge.VersionPath("so")); got == hash+"\n" {
			return
		}
	}
	p.t.Fatalf("the bridge serves %q, want %s:\n%s", got, hash, p.log())
}

// sides starts two backends that echo what they get and name themselves.
func sides(t testing.TB) (legacy, modern string) {
	t.Helper()
	serve := func(name plan.Side) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(700 * time.Millisecond)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("X-Backend", string(name))
			w.Write(body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	return serve(plan.Legacy), serve(plan.Modern)
}

// planOf splits by tenant in three stops; rule n only changes the hash.
func planOf(legacy, modern string, n int) *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: "so", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: legacy}, Modern: plan.Backend{URL: modern}},
			Identity: &plan.Identity{Header: "X-Tenant"},
			Phases: []plan.Phase{{Name: "gradual", Percents: []plan.Percent{10, 25, 50}, Routes: []plan.Route{
				{Match: &plan.Match{Path: fmt.Sprintf("/n/%d", n)}, Respond: &plan.Respond{Status: 204}},
				{To: plan.ToSplit},
			}}},
		},
	}
}

func render(t testing.TB, p *plan.Plan, percent plan.Percent) bridge.Config {
	t.Helper()
	c, err := bridge.Render(p, plan.Position{Phase: "gradual", Percent: percent})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write puts a config in place as the daemon does.
func write(t testing.TB, file string, c bridge.Config) {
	t.Helper()
	src, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	replace(t, file, src)
}

func replace(t testing.TB, file string, src []byte) {
	t.Helper()
	if err := os.WriteFile(file+".tmp", src, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		t.Fatal(err)
	}
}

func TestItWaitsForItsFileAndThenServes(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	p := start(t, "--config", file)
	code, _, body := fetch(t, p.traffic)
	if code != 503 || !strings.Contains(body, "no config yet") {
		t.Errorf("traffic answers %d %q, want 503 that says why", code, body)
	}
	if code, _, body := fetch(t, p.admin+"/healthz"); code != 503 || !strings.Contains(body, `"waiting"`) {
		t.Errorf("health is %d %q, want waiting", code, body)
	}
	if code, _, _ := fetch(t, p.admin+bridge.VersionPath("so")); code != 503 {
		t.Errorf("version answers %d, want 503", code)
	}
	c := render(t, planOf(legacy, modern, 0), 10)
	write(t, file, c)
	p.awaitVersion(c.Hash)
	if code, header, _ := fetch(t, p.traffic); code != 200 || header.Get("X-Changeover-Side") != header.Get("X-Backend") {
		t.Errorf("traffic answers %d with %v", code, header)
	}
	if code, _, body := fetch(t, p.traffic+bridge.VersionPath("so")); code != 200 || body != c.Hash+"\n" {
		t.Errorf("the traffic listener answers %d %q for the version, want %s", code, body, c.Hash)
	}
	if code, _, body := fetch(t, p.admin+"/healthz"); code != 200 || !strings.Contains(body, `"ok"`) || !strings.Contains(body, c.Hash) {
		t.Errorf("health is %d %q", code, body)
	}
	if code, _, body := fetch(t, p.admin+"/debug/pprof/cmdline"); code != 200 || !strings.Contains(body, "changeover-bridge") {
		t.Errorf("pprof answers %d %q", code, body)
	}
}

func TestAnInvalidFileKeepsTheOldConfig(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	c := render(t, planOf(legacy, modern, 0), 10)
	write(t, file, c)
	p := start(t, "--config", file)
	bad := []byte(`{"version": 1}`)
	replace(t, file, bad)
	var header http.Header
	var body string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && header.Get(bridge.HeaderRejected) == ""; time.Sleep(2 * time.Millisecond) {
		_, header, body = fetch(t, p.admin+bridge.VersionPath("so"))
	}
	if body != c.Hash+"\n" || header.Get(bridge.HeaderRejected) != bridge.Digest(bad) || !strings.Contains(header.Get(bridge.HeaderError), "want a namespace and a name") {
		t.Errorf("version %q with %v, want the old hash and why the file is refused", body, header)
	}
	if code, _, _ := fetch(t, p.traffic); code != 200 {
		t.Errorf("traffic answers %d", code)
	}
	if code, _, body := fetch(t, p.admin+"/healthz"); code != 200 || !strings.Contains(body, `"degraded"`) || !strings.Contains(body, "want a namespace and a name") {
		t.Errorf("health is %d %q, want degraded with the reason", code, body)
	}
	_, _, metrics := fetch(t, p.admin+"/metrics")
	for _, want := range []string{
		`changeover_bridge_config_reloads_total{result="rejected"} 1`,
		`changeover_bridge_config_rejected 1`,
		`changeover_bridge_config_info{hash="` + c.Hash + `",plan="so",stop="gradual@10"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if !strings.Contains(p.log(), "config refused") {
		t.Error("the log does not tell")
	}
	next := render(t, planOf(legacy, modern, 1), 25)
	write(t, file, next)
	p.awaitVersion(next.Hash)
	if _, header, _ := fetch(t, p.admin+bridge.VersionPath("so")); header.Get(bridge.HeaderRejected) != "" {
		t.Error("the refusal is still told after a good file")
	}
}

func TestAKilledBridgeStartsAgainFromItsFile(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	c := render(t, planOf(legacy, modern, 0), 25)
	write(t, file, c)
	p := start(t, "--config", file)
	was := map[string]string{}
	for i := range 100 {
		tenant := fmt.Sprint("tenant-", i)
		_, header, _ := fetch(t, p.traffic, "X-Tenant: "+tenant)
		was[tenant] = header.Get("X-Backend")
	}
	p.signal(syscall.SIGKILL)
	p.awaitExit(5 * time.Second)
	p = start(t, "--config", file)
	// Not one request is answered with 503: the file is read before anything
	// is listened to.
	if log := p.log(); !strings.Contains(log, "config served") || strings.Index(log, "config served") > strings.Index(log, `"listening"`) {
		t.Errorf("the bridge listened before it had read its file:\n%s", log)
	}
	for tenant, side := range was {
		if code, header, _ := fetch(t, p.traffic, "X-Tenant: "+tenant); code != 200 || header.Get("X-Backend") != side {
			t.Errorf("%s is on %q after the restart (%d), was on %q", tenant, header.Get("X-Backend"), code, side)
		}
	}
}

func TestSIGTERMLetsRequestsEnd(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 25))
	p := start(t, "--config", file)
	type answer struct {
		code int
		err  error
	}
	slow := make(chan answer, 1)
	go func() {
		res, err := http.Get(p.traffic + "/slow")
		if err != nil {
			slow <- answer{err: err}
			return
		}
		res.Body.Close()
		slow <- answer{code: res.StatusCode}
	}()
	time.Sleep(200 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	if a := <-slow; a.code != 200 || a.err != nil {
		t.Errorf("the request under way got %d, error %v", a.code, a.err)
	}
	if code := p.awaitExit(5 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestStuckRequestsAreCutAfterTheDrainTimeout(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 25))
	p := start(t, "--config", file, "--drain-timeout", "300ms")
	pr, pw := io.Pipe()
	defer pw.Close()
	r, err := http.NewRequest("POST", p.traffic, pr) // a body that never ends
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	}()
	time.Sleep(200 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	if code := p.awaitExit(5 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if !strings.Contains(p.log(), "cutting the requests") {
		t.Error("the log does not tell")
	}
}
