package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/nginxtest"
	"github.com/changeover-dev/changeover/test/stack"
)

// team is a person's clone of a repository that the stack knows nothing of.
type team struct {
	t           *testing.T
	repo, clone string
}

func newTeam(t *testing.T, repo string) *team {
	t.Helper()
	m := &team{t: t, repo: repo, clone: filepath.Join(t.TempDir(), "clone")}
	m.git("", "init", "-q", "--bare", "-b", "main", repo)
	m.git("", "clone", "-q", repo, m.clone)
	return m
}

func (m *team) git(dir string, args ...string) string {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Pat", "GIT_AUTHOR_EMAIL=pat@example.com", "GIT_COMMITTER_NAME=Pat", "GIT_COMMITTER_EMAIL=pat@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a file to a branch.
func (m *team) push(branch, name, text string) {
	m.t.Helper()
	if m.git("", "--git-dir", m.repo, "branch", "--list", branch) != "" {
		m.git(m.clone, "fetch", "-q", "origin")
		m.git(m.clone, "checkout", "-q", "-B", branch, "origin/"+branch)
	} else {
		m.git(m.clone, "checkout", "-q", "-B", branch)
	}
	if err := os.WriteFile(filepath.Join(m.clone, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.git(m.clone, "add", "-A")
	m.git(m.clone, "commit", "-q", "-m", name)
	m.git(m.clone, "push", "-q", "origin", "HEAD:"+branch)
}

const threeSources = `sources:
  - name: orders
    repo: REPO
  - name: payments
    repo: PAYMENTS
    branch: release
    author: Payments bot <bot@payments.example.com>
  - name: later
    repo: LATER
`

// several is one daemon of three sources: a repository whose plan is on a bridge,
// a branch of another whose plan is on an nginx, and one that is not there.
type several struct {
	*stack.Stack
	t        *testing.T
	payments *team
	later    string
	page     string
	nginx    *nginxtest.Server
}

func startSeveral(t *testing.T) *several {
	t.Helper()
	dir := t.TempDir()
	v := &several{t: t, payments: newTeam(t, filepath.Join(dir, "payments.git")), later: filepath.Join(dir, "later.git"), nginx: nginxtest.Start(t)}
	v.Stack = stack.Start(t, stack.Options{
		Bin: bin, Gateway: "bridge", Plan: ordersPlan,
		Sources: strings.NewReplacer("PAYMENTS", v.payments.repo, "LATER", v.later).Replace(threeSources),
		Args:    []string{"--nginx-dir", v.nginx.Dir, "--nginx-conf", v.nginx.Conf, "--nginx-url", v.nginx.URL},
	})
	v.payments.push("release", "payments.yaml", v.plan("payments", "nginx", "setup"))
	v.StartDaemon()
	v.Await("steady at setup", await, steadyAt("setup"))
	v.AwaitPlan("payments", "steady at setup", await, steadyAt("setup"))
	v.page = regexp.MustCompile(`listen=(127\.0\.0\.1:\d+)`).FindStringSubmatch(v.DaemonLog())[1]
	return v
}

// plan is that of the stack under another name, on another gateway.
func (v *several) plan(name, gateway, position string) string {
	phase, percent, _ := strings.Cut(position, "@")
	if percent != "" {
		phase += "\n    percent: " + percent
	}
	return strings.NewReplacer("LEGACY", v.Legacy.URL, "MODERN", v.Modern.URL, "GATEWAY", gateway,
		"name: orders", "name: "+name, "phase: setup", "phase: "+phase).Replace(ordersPlan)
}

func (v *several) get(path string) (code int, body string) {
	v.t.Helper()
	resp, err := http.Get("http://" + v.page + path)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// command runs changeover on the daemon's state directory.
func (v *several) command(args ...string) string {
	v.t.Helper()
	out, err := exec.CommandContext(v.t.Context(), filepath.Join(bin, "changeover"), append(args, "--state-dir", v.State)...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("changeover %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestOneDaemonForSeveralRepositories: each plan follows its own branch alone, a
// repository that is not there holds up nobody, a revert goes where the raise came
// from, and of two plans of one name the second touches nothing, not even after a
// restart.
func TestOneDaemonForSeveralRepositories(t *testing.T) {
	v := startSeveral(t)
	startLoad(t, v.Stack)
	if code, body := v.get("/readyz"); code != http.StatusOK || !strings.Contains(body, "source later") || !strings.Contains(body, "later.git") {
		t.Errorf("/readyz answers %d: %s", code, body)
	}

	v.payments.push("release", "payments.yaml", v.plan("payments", "nginx", "gradual@10"))
	v.AwaitPlan("payments", "at 10 %", await, func(st reconciler.Status) bool {
		return st.Effective.String() == "gradual@10" && st.Source == "payments"
	})
	if st, err := v.Status(); err != nil || st.Effective.String() != "setup" || st.Source != "orders" {
		t.Errorf("orders is at %s of source %q: %v", st.Effective, st.Source, err)
	}

	t.Run("a plan of one name", v.secondOfAName)
	t.Run("what is shown", v.shown)

	before := v.Remote("rev-parse", "main")
	v.command("rollback", "payments", "--reason", "the bank asks for it")
	v.AwaitPlan("payments", "rolled back, and reverted", await, func(st reconciler.Status) bool {
		return st.Effective.String() == "setup" && st.Declared.String() == "setup" && st.Pending == nil
	})
	if got := v.payments.git("", "--git-dir", v.payments.repo, "log", "-1", "--format=%an %B", "release"); !strings.HasPrefix(got, "Payments bot") || !strings.Contains(got, "Changeover-Rollback-Of:") {
		t.Errorf("the release branch ends with:\n%s", got)
	}
	if after := v.Remote("rev-parse", "main"); after != before {
		t.Errorf("the other repository has a new commit: %s", v.Remote("log", "-1", "main"))
	}
	v.restart()
}

// secondOfAName pushes the plan of another source, further on, from two.
func (v *several) secondOfAName(t *testing.T) {
	v.payments.push("release", "orders.yaml", v.plan("orders", "bridge", "gradual@50"))
	newTeam(t, v.later).push("main", "payments.yaml", v.plan("payments", "nginx", "gradual@75"))
	refused := func(name, source, keeper string) {
		t.Helper()
		want := fmt.Sprintf("that of source %q; rename one of the two", keeper)
		var all []reconciler.Status
		for end := time.Now().Add(await); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			all = nil
			if err := json.Unmarshal([]byte(v.command("status", "-o", "json")), &all); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(all, func(st reconciler.Status) bool {
				return st.Key.Name == name && st.Source == source && strings.Contains(st.Error, want)
			}) {
				return
			}
		}
		t.Fatalf("plan %s of source %s is not refused: %+v", name, source, all)
	}
	refused("orders", "payments", "orders")
	refused("payments", "later", "payments")
	v.steadyBoth(t)
	table := v.command("status")
	if n := strings.Count(table, "orders "); n < 3 {
		t.Errorf("the table does not show both plans of the name:\n%s", table)
	}
	if one := v.command("status", "orders"); !strings.Contains(one, "Source:      orders") {
		t.Errorf("of two the first is meant:\n%s", one)
	}
}

// steadyBoth expects both plans where they were declared by who keeps them.
func (v *several) steadyBoth(t *testing.T) {
	t.Helper()
	v.Await("undisturbed", await, func(st reconciler.Status) bool {
		return st.Effective.String() == "setup" && st.Declared.String() == "setup" && st.Source == "orders"
	})
	v.AwaitPlan("payments", "undisturbed", await, func(st reconciler.Status) bool {
		return st.Source == "payments" && st.Declared == st.Effective && st.Error == ""
	})
}

// shown looks at the page, the metrics and the table.
func (v *several) shown(t *testing.T) {
	if _, page := v.get("/"); !strings.Contains(page, `<th scope="col">Source</th>`) || !strings.Contains(page, "<td>payments</td>") {
		t.Errorf("the page does not name the sources:\n%s", page)
	}
	_, metrics := v.get("/metrics")
	for _, want := range []string{
		`changeover_effective_percent{plan="default/payments",source="payments"} 10`,
		`changeover_effective_percent{plan="default/orders",source="orders"} 0`,
		`changeover_git_operations_seconds_count{operation="poll",result="ok",source="later"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if table := v.command("status"); !strings.HasPrefix(table, "SOURCE") {
		t.Errorf("status:\n%s", table)
	}
}

// restart stops the daemon, looks at what is left, and starts it with the
// sources the other way round.
func (v *several) restart() {
	t := v.t
	v.StopDaemon()
	if table := v.command("status"); !strings.Contains(table, "SOURCE") || !strings.Contains(table, "payments") {
		t.Errorf("status without a daemon:\n%s", table)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "changeover"), "run", "--repo", v.Repo, "--state-dir", v.State, "--listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "has the records of 1 plans of a daemon with --sources") {
		t.Errorf("a daemon of one repository on the records of several: %v\n%s", err, out)
	}
	turned := filepath.Join(t.TempDir(), "turned.yaml")
	text := fmt.Sprintf("sources:\n- {name: later, repo: %q}\n- {name: payments, repo: %q, branch: release}\n- {name: orders, repo: %q}\n", v.later, v.payments.repo, v.Repo)
	if err := os.WriteFile(turned, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v.StartDaemon("--sources", turned)
	v.steadyBoth(t)
	v.Declare("gradual@10")
	v.Await("on", await, func(st reconciler.Status) bool { return st.Effective.String() == "gradual@10" })

	v.StopDaemon()
	if err := os.WriteFile(turned, fmt.Appendf(nil, "sources: [{name: orders, repo: %q}]\n", v.Repo), 0o600); err != nil {
		t.Fatal(err)
	}
	v.StartDaemon("--sources", turned)
	v.Await("there without the others", await, func(st reconciler.Status) bool { return st.Effective.String() == "gradual@10" })
	left := regexp.MustCompile(`level=WARN msg="a source is not watched any more.*" source=payments `)
	for end := time.Now().Add(await); !left.MatchString(v.DaemonLog()); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the daemon does not say that the plans of a source are left")
		}
	}
}
