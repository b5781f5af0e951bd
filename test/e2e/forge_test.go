package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/forgetest"
	"github.com/changeover-dev/changeover/test/stack"
)

const forgeToken = "ghp_canary7Zk3Q9v"

// forged is a stack whose repository is on a forge.
type forged struct {
	*stack.Stack
	t      *testing.T
	forge  *forgetest.Fake
	listen string
}

func startForged(t *testing.T) *forged {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(forgeToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &forged{t: t, forge: forgetest.NewFake(t, forgeToken), listen: child.FreeAddr(t)}
	f.Stack = stack.Start(t, stack.Options{
		Bin: bin, Gateway: "bridge", Plan: ordersPlan,
		Args: []string{
			"--forge", "github", "--forge-url", f.forge.URL, "--forge-project", forgetest.Project, "--forge-token-file", file,
			"--forge-interval", "300ms", "--listen", f.listen,
		},
	})
	return f
}

// push puts a commit that edits the plan on a branch, and on the ref that the
// forge keeps for a pull request.
func (f *forged) push(branch, ref, from string, edit func(string) string) string {
	f.t.Helper()
	f.Git("fetch", "-q", "origin")
	f.Git("checkout", "-q", "-B", branch, from)
	f.Write("orders.yaml", edit(f.Read("orders.yaml")))
	f.Git("commit", "-q", "-a", "-m", "orders: a change")
	f.Git("push", "-q", "-f", "origin", "HEAD:"+ref)
	head := f.Git("rev-parse", "HEAD")
	f.Git("checkout", "-q", "-B", "main", "origin/main")
	return head
}

func (f *forged) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(await); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	f.t.Fatalf("%s was not seen; pull requests %+v", what, f.forge.Pulls())
}

// quiet checks that nothing is posted while the forge is asked several times.
func (f *forged) quiet(when string) {
	f.t.Helper()
	writes, asked := f.forge.Writes(), f.forge.Asked()
	f.eventually("some rounds", func() bool { return f.forge.Asked() >= asked+4 })
	if got := f.forge.Writes(); !slices.Equal(got, writes) {
		f.t.Errorf("%s it posted %q", when, got[len(writes):])
	}
}

func to(position string) func(string) string {
	return func(text string) string {
		pos, err := plan.ParsePosition(position)
		if err != nil {
			panic(err)
		}
		b, err := plan.SetPosition([]byte(text), pos)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
}

// TestAPullRequestIsToldWhatItWouldDo: one status and one comment, which a
// second push edits and a restart leaves alone; then it is merged.
func TestAPullRequestIsToldWhatItWouldDo(t *testing.T) {
	f := startForged(t)
	f.StartDaemon()
	f.Await("steady at setup", await, steadyAt("setup"))
	first := f.push("raise", "refs/pull/1/head", "origin/main", to("gradual@25"))
	n := f.forge.Add(forgetest.FakePull{Branch: "raise", Base: "main", Head: first, FromOwner: "mallory"})
	comments := func() []forgetest.FakeComment { return f.forge.Pulls()[n-1].Comments }
	f.eventually("the comment", func() bool { return len(comments()) > 0 })
	want := []forgetest.FakeStatus{{Context: "changeover/orders", State: "success", Description: "From setup to gradual@25"}}
	if got := f.forge.Statuses(first); !slices.Equal(got, want) {
		t.Errorf("statuses %+v, want %+v", got, want)
	}
	if body := comments()[0].Body; !strings.HasPrefix(body, "<!-- changeover:review -->\n") || !strings.Contains(body, "raise from <code>setup</code>") {
		t.Errorf("the comment is\n%s", body)
	}
	f.quiet("where nothing changed")

	// A second push, with a plan that is not valid.
	second := f.push("raise", "refs/pull/1/head", first, func(text string) string { return strings.Replace(text, "percent: 25", "percent: 26", 1) })
	f.forge.Change(n, func(p *forgetest.FakePull) { p.Head = second })
	f.eventually("the edited comment", func() bool { return comments()[0].Edited == 1 })
	if got := f.forge.Statuses(second); len(got) != 1 || got[0].State != "failure" || !strings.HasPrefix(got[0].Description, "Not allowed") {
		t.Errorf("statuses %+v", got)
	}
	if len(comments()) != 1 || !strings.Contains(comments()[0].Body, "ot allowed") {
		t.Errorf("comments %+v", comments())
	}
	f.StopDaemon()
	f.StartDaemon()
	f.Await("steady after the restart", await, steadyAt("setup"))
	f.quiet("after a restart")

	// A third push mends it, and it is merged.
	third := f.push("raise", "refs/pull/1/head", second, to("gradual@10"))
	f.forge.Change(n, func(p *forgetest.FakePull) { p.Head = third })
	f.eventually("the good status", func() bool { s := f.forge.Statuses(third); return len(s) == 1 && s[0].State == "success" })
	f.eventually("the comment of it", func() bool { return comments()[0].Edited == 2 })
	f.Git("merge", "-q", "--no-ff", "-m", "Merge the raise", third)
	f.Git("push", "-q", "origin", "main")
	f.forge.Change(n, func(p *forgetest.FakePull) { p.State = "closed" })
	f.Await("the promotion", await, func(st reconciler.Status) bool { return st.Effective.String() == "gradual@10" })
	f.quiet("after the merge")
	if got := f.forge.Pulls(); len(got) != 1 || len(got[0].Comments) != 1 {
		t.Errorf("pull requests %+v", got)
	}
	f.neverTheToken()
}

// neverTheToken, nor a forge whose requests are not counted.
func (f *forged) neverTheToken() {
	f.t.Helper()
	resp, err := http.Get("http://" + f.listen + "/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if !regexp.MustCompile(`changeover_forge_requests_total\{call="edit-comment",code="200",forge="github"\} [1-9]`).Match(metrics) {
		f.t.Error("the requests are not counted")
	}
	if strings.Contains(f.DaemonLog()+string(metrics), forgeToken) {
		f.t.Error("the token is told")
	}
}

// TestAForgeThatIsDownStopsNothing: the branch is followed all the same.
func TestAForgeThatIsDownStopsNothing(t *testing.T) {
	f := startForged(t)
	f.forge.Down(1_000_000)
	f.StartDaemon()
	f.Await("steady at setup", await, steadyAt("setup"))
	f.Declare("gradual@10")
	f.Await("the promotion", await, func(st reconciler.Status) bool { return st.Effective.String() == "gradual@10" })
	f.eventually("requests", func() bool { return f.forge.Asked() > 3 })
	f.eventually("a warning", func() bool { return strings.Contains(f.DaemonLog(), "the pull requests could not be listed") })
	if n := strings.Count(f.DaemonLog(), "the pull requests could not be listed"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
}
