package pulls_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/forge"
	"github.com/changeover-dev/changeover/reconciler/pulls"
	"github.com/changeover-dev/changeover/test/forgetest"
)

const token = "ghp_canary7Zk3Q9v"

var shop = plan.Key{Namespace: "default", Name: "shop"}

func rev(digit string) plan.Revision { return plan.Revision(strings.Repeat(digit, 40)) }

// rig is a watcher of a fake forge, with what reviews of heads say.
type rig struct {
	*pulls.Watcher
	t       *testing.T
	forge   *forgetest.Fake
	log     bytes.Buffer
	now     time.Time
	reports map[plan.Revision]pulls.Report
	tips    map[string]plan.Revision
	shared  plan.Revision
	fetched [][]string
	reviews int
	failing error
}

func newRig(t *testing.T) *rig {
	g := &rig{
		t: t, forge: forgetest.NewFake(t, token), now: time.Unix(1785585600, 0), shared: rev("0"),
		reports: map[plan.Revision]pulls.Report{}, tips: map[string]plan.Revision{},
	}
	g.restart()
	t.Cleanup(func() {
		if strings.Contains(g.log.String(), token) {
			t.Error("the log has the token")
		}
	})
	return g
}

// restart makes a watcher that knows nothing.
func (g *rig) restart() {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		g.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&g.log, nil))
	client, err := forge.New(forge.Options{
		Place:     forge.Place{Kind: forge.GitHub, API: g.forge.URL + "/api/v3", Project: forgetest.Project},
		TokenFile: file, Now: func() time.Time { return g.now }, Rand: rand.Float64, Log: log,
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.Watcher = pulls.New(pulls.Options{
		Forge: client, Branch: "main", Interval: time.Hour, Now: func() time.Time { return g.now }, Log: log,
		Fetch: func(_ context.Context, refs []string, _ plan.Revision) (plan.Revision, error) {
			g.fetched = append(g.fetched, refs)
			return g.shared, g.failing
		},
		Review: func(_ context.Context, shared, head plan.Revision) (pulls.Report, error) {
			g.reviews++
			r, ok := g.reports[head]
			if !ok {
				panic("no report")
			}
			return r, nil
		},
		Tip: func(_ context.Context, branch string) (plan.Revision, error) { return g.tips[branch], nil },
	})
}

// round is one round; it returns what was posted in it.
func (g *rig) round() []string {
	g.t.Helper()
	before := len(g.forge.Writes())
	g.Round(g.t.Context())
	return g.forge.Writes()[before:]
}

func (g *rig) wrote(what string, want ...string) {
	g.t.Helper()
	if got := g.round(); !slices.Equal(got, want) {
		g.t.Errorf("%s: it posted %q, want %q", what, got, want)
	}
}

func report(text string, vs ...pulls.Verdict) pulls.Report {
	return pulls.Report{Text: forge.Marker + "\n" + text, Plans: vs}
}

func status(r plan.Revision) string { return "POST /statuses/" + string(r) }

func TestAPullRequestIsToldOnceAndAgainWhereItChanged(t *testing.T) {
	g := newRig(t)
	g.wrote("without a pull request")
	n := g.forge.Add(forgetest.FakePull{Branch: "next", Base: "main", Head: string(rev("a")), Comments: []forgetest.FakeComment{{ID: 1, User: "mallory", Body: forge.Marker}}})
	g.reports[rev("a")] = report("to gradual@10", pulls.Verdict{Key: shop, OK: true, Text: "setup to gradual@10"})
	g.wrote("at first", status(rev("a")), "POST /issues/1/comments")
	want := []forgetest.FakeStatus{{Context: "changeover/shop", State: "success", Description: "setup to gradual@10"}}
	if got := g.forge.Statuses(string(rev("a"))); !slices.Equal(got, want) {
		t.Errorf("statuses %+v", got)
	}
	asked := g.forge.Asked()
	g.wrote("again")
	if d := g.forge.Asked() - asked; d != 1 {
		t.Errorf("%d requests where nothing changed, want the list alone", d)
	}
	g.restart()
	g.wrote("after a restart")

	// A second push to it, which is not allowed.
	g.forge.Change(n, func(p *forgetest.FakePull) { p.Head = string(rev("b")) })
	g.reports[rev("b")] = report("to nowhere", pulls.Verdict{Key: shop, Text: "plan.yaml:7: unknown stop"}, pulls.Verdict{Key: plan.Key{Namespace: "ops", Name: "mail"}, OK: true, Text: "content"})
	g.wrote("a second push", status(rev("b")), status(rev("b")), "PATCH /issues/comments/101")
	if got := g.forge.Statuses(string(rev("b"))); got[0].State != "failure" || got[1].Context != "changeover/ops/mail" {
		t.Errorf("statuses %+v", got)
	}
	// The branch moved on, and the pull request took that in: it is looked at
	// again, and says the same.
	g.shared = rev("1")
	reviews := g.reviews
	g.wrote("another base")
	if g.reviews != reviews+1 {
		t.Errorf("%d reviews", g.reviews-reviews)
	}
	// It does not change a plan any more.
	g.forge.Change(n, func(p *forgetest.FakePull) { p.Head = string(rev("c")) })
	g.reports[rev("c")] = report("no plan changes")
	g.wrote("a third push", "PATCH /issues/comments/101")
	g.forge.Change(n, func(p *forgetest.FakePull) { p.State = "closed" })
	g.wrote("closed")
	p := g.forge.Pulls()[0]
	if len(p.Comments) != 2 || p.Comments[0].Body != forge.Marker || p.Comments[1].Edited != 2 || !strings.Contains(p.Comments[1].Body, "no plan changes") {
		t.Errorf("comments %+v", p.Comments)
	}
}

func TestAPullRequestOfOtherThingsIsLeftAlone(t *testing.T) {
	g := newRig(t)
	g.forge.Add(forgetest.FakePull{Branch: "docs", Base: "main", Head: string(rev("a"))})
	g.forge.Add(forgetest.FakePull{Branch: "next", Base: "main", Head: string(rev("a")), FromOwner: "mallory"})
	g.forge.Add(forgetest.FakePull{Branch: "next", Base: "release", Head: string(rev("b"))})
	g.reports[rev("a")] = report("no plan changes")
	g.wrote("at first")
	if want := [][]string{{"refs/pull/1/head", "refs/heads/docs"}, {"refs/pull/2/head"}}; fmt.Sprint(g.fetched) != fmt.Sprint(want) {
		t.Errorf("fetched %q, want %q", g.fetched, want)
	}
}

func TestFailuresAreLoggedOnceAndTriedAgain(t *testing.T) {
	g := newRig(t)
	g.forge.Add(forgetest.FakePull{Branch: "next", Base: "main", Head: string(rev("a"))})
	g.forge.Add(forgetest.FakePull{Branch: "panics", Base: "main", Head: string(rev("b"))})
	g.reports[rev("a")] = report("to gradual@10", pulls.Verdict{Key: shop, OK: true, Text: "setup to gradual@10"})
	g.forge.Down(8) // two rounds with all retries
	g.wrote("down")
	g.wrote("still down")
	if n := strings.Count(g.log.String(), "could not be listed"); n != 1 {
		t.Errorf("logged %d times: %s", n, g.log.String())
	}
	g.failing = errors.New("it is too large")
	g.wrote("not fetched")
	g.failing = nil
	g.wrote("up", status(rev("a")), "POST /issues/1/comments")
	if !strings.Contains(g.log.String(), "pull request 2 could not be told what it would do") || !strings.Contains(g.log.String(), "panic: no report") {
		t.Errorf("the log is %s", g.log.String())
	}
	n := strings.Count(g.log.String(), "pull request 2 could not")
	g.round()
	g.now = g.now.Add(time.Hour)
	g.round()
	if again := strings.Count(g.log.String(), "pull request 2 could not"); again != n+1 {
		t.Errorf("logged %d times more", again-n)
	}
}

func TestAPullRequestIsOpenedOnce(t *testing.T) {
	g := newRig(t)
	want := reconciler.PullRequest{Key: shop, Branch: "changeover/rollback-shop-1", Title: "Roll back shop", Body: "why"}
	g.reports[rev("0")] = report("")
	g.Open(want)
	g.wrote("a branch that is gone")
	g.tips[want.Branch] = rev("e")
	g.Open(want)
	g.wrote("at first", "POST /pulls")
	g.forge.Change(1, func(p *forgetest.FakePull) { p.Head = string(rev("e")) })
	g.reports[rev("e")] = report("")
	for range 3 {
		g.Open(want)
	}
	g.wrote("again")
	g.restart()
	g.Open(want)
	g.wrote("after a restart")
	g.forge.Change(1, func(p *forgetest.FakePull) { p.State = "closed" })
	g.restart()
	g.Open(want)
	g.wrote("where a person closed it")
	if p := g.forge.Pulls(); len(p) != 1 || p[0].Title != want.Title || p[0].Body != want.Body || p[0].Base != "main" {
		t.Errorf("pull requests %+v", p)
	}
	// Another revert on the same branch.
	g.tips[want.Branch] = rev("f")
	g.Open(want)
	g.wrote("another tip", "POST /pulls")
}

func TestOpeningIsTriedAgainAfterAFailure(t *testing.T) {
	g := newRig(t)
	g.tips["b"] = rev("e")
	g.reports[rev("0")] = report("")
	g.Open(reconciler.PullRequest{Key: shop, Branch: "b", Title: "t"})
	g.forge.Down(8) // the opening, and the list
	g.wrote("down")
	g.wrote("up", "POST /pulls")
}

// TestNothingThatIsAskedBlocks, whatever the forge does meanwhile.
func TestNothingThatIsAskedBlocks(t *testing.T) {
	g := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	begun := time.Now()
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				g.Open(reconciler.PullRequest{Branch: fmt.Sprint(i, j)})
				g.Wake()
			}
		})
	}
	wg.Wait()
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
	// What was asked for beyond the bound is dropped, and asked for again.
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	time.Sleep(50 * time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(g.forge.Writes()); n != 0 {
		t.Errorf("%d posts", n)
	}
}
