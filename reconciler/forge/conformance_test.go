package forge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/forge"
	"github.com/changeover-dev/changeover/test/forgetest"
)

const (
	canary = "ghp_canary7Zk3Q9v"
	commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
	moved  = "c3d0be41ecbe669545ee3e94d31ed9a4bc91ee3c"
	branch = "changeover/advance-shop-gradual@25"
	text   = forge.Marker + "\n## shop: gradual@10 to gradual@25\n"
)

var (
	status  = forge.Status{Context: "changeover/shop", State: forge.Failure, Description: "1 problem: plan.yaml:7: unknown stop", URL: "https://changeover.example.com/plans/default/shop", Branch: branch}
	newPull = forge.NewPull{Branch: branch, Base: "main", Title: "Advance shop from gradual@10 to gradual@25", Body: "Merge it to go on."}
)

// bench is a client of one recording, with a clock that only sleeping moves.
type bench struct {
	*forge.Client
	t     *testing.T
	now   time.Time
	slept []time.Duration
	log   bytes.Buffer
	reg   *prometheus.Registry
	calls []string
	said  []string // all errors
}

func start(t *testing.T, kind forge.Kind, recording string) *bench {
	t.Helper()
	xs := forgetest.Load(t, filepath.Join("testdata", string(kind), recording+".http"))
	srv := forgetest.Serve(t, canary, xs)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: time.Unix(1785585600, 0), reg: prometheus.NewRegistry()}
	observe, err := forge.Observer(b.reg, kind)
	if err != nil {
		t.Fatal(err)
	}
	b.Client, err = forge.New(forge.Options{
		Place: forge.Place{Kind: kind, API: srv.URL, Project: "ops/migrations"}, TokenFile: file,
		Now:  func() time.Time { return b.now },
		Rand: func() float64 { return 0.5 },
		Sleep: func(_ context.Context, d time.Duration) error {
			b.slept = append(b.slept, d)
			b.now = b.now.Add(d)
			return nil
		},
		Log: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(call, code string) {
			b.calls = append(b.calls, call+" "+code)
			observe(call, code)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.neverTheToken)
	return b
}

// neverTheToken looks for it in whatever a person or a Prometheus gets to see.
func (b *bench) neverTheToken() {
	all := b.log.String() + strings.Join(b.said, "\n")
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Error(err)
	}
	for _, f := range families {
		all += f.String()
	}
	if strings.Contains(all, canary) {
		b.t.Errorf("the token is told:\n%s", all)
	}
}

func (b *bench) check(what string, got, want any, err error) {
	b.t.Helper()
	if err != nil {
		b.said = append(b.said, err.Error())
		b.t.Errorf("%s: %v", what, err)
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		b.t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func (b *bench) fails(err error, wants ...string) {
	b.t.Helper()
	if err == nil {
		b.t.Fatal("no error")
	}
	b.said = append(b.said, err.Error())
	for _, w := range wants {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("error %q does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
		b.t.Errorf("error %q is no short line", err)
	}
}

// each runs a test for every kind of forge.
func each(t *testing.T, f func(t *testing.T, kind forge.Kind)) {
	for _, kind := range []forge.Kind{forge.GitHub, forge.GitLab, forge.Gitea} {
		t.Run(string(kind), func(t *testing.T) { f(t, kind) })
	}
}

func TestPullRequestsOfAllPagesAreListed(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		ps, err := start(t, kind, "pulls").Pulls(t.Context(), "main")
		if err != nil || len(ps) != 3 {
			t.Fatalf("%+v, %v", ps, err)
		}
		for i, want := range []struct {
			number int
			branch string
			head   string
			fork   bool
		}{{9, "fix", commit, true}, {8, "docs", moved, false}, {7, branch, moved, false}} {
			p := ps[i]
			if p.Number != want.number || p.Branch != want.branch || p.Head != want.head || p.Fork != want.fork || !p.Open || p.Base != "main" || !strings.HasPrefix(p.URL, "https://") {
				t.Errorf("%+v, want %+v", p, want)
			}
		}
	})
}

func TestAStatusIsSetOnce(t *testing.T) {
	for recording, want := range map[string]bool{"status-set": true, "status-changed": true, "status-unchanged": false, "status-lost": false} {
		t.Run(recording, func(t *testing.T) {
			each(t, func(t *testing.T, kind forge.Kind) {
				b := start(t, kind, recording)
				changed, err := b.SetStatus(t.Context(), commit, status)
				b.check("changed", changed, want, err)
			})
		})
	}
}

func TestOneCommentIsKept(t *testing.T) {
	for recording, want := range map[string]forge.Outcome{
		"comment-created": forge.Created, "comment-edited": forge.Edited, "comment-unchanged": forge.Unchanged,
		"comment-lost": forge.Unchanged, "comment-503": forge.Created, "edit-502": forge.Edited,
	} {
		t.Run(recording, func(t *testing.T) {
			each(t, func(t *testing.T, kind forge.Kind) {
				b := start(t, kind, recording)
				outcome, err := b.Comment(t.Context(), 7, text, true)
				b.check("outcome", outcome, want, err)
			})
		})
	}
	t.Run("comment-none", func(t *testing.T) {
		each(t, func(t *testing.T, kind forge.Kind) {
			b := start(t, kind, "comment-none")
			outcome, err := b.Comment(t.Context(), 7, text, false)
			b.check("outcome", outcome, forge.NoComment, err)
		})
	})
}

func TestAPullRequestIsOpenedOnce(t *testing.T) {
	for recording, want := range map[string]struct {
		head   string
		opened bool
		open   bool
	}{
		"open-new": {"", true, true}, "open-found": {"", false, true}, "open-raced": {"", false, true}, "open-lost": {"", false, true},
		"open-closed": {commit, false, false}, "open-closed-moved": {commit, true, true},
	} {
		t.Run(recording, func(t *testing.T) {
			each(t, func(t *testing.T, kind forge.Kind) {
				b := start(t, kind, recording)
				n := newPull
				n.Head = want.head
				p, opened, err := b.Open(t.Context(), n)
				b.check("number, opened, open", fmt.Sprint(p.Number, opened, p.Open), fmt.Sprint(7, want.opened, want.open), err)
			})
		})
	}
}

func TestALimitIsWaitedForAndTold(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "limited")
		ps, err := b.Pulls(t.Context(), "main")
		b.check("pull requests", len(ps), 1, err)
		b.check("slept", b.slept, []time.Duration{7 * time.Second}, nil)
		if !strings.Contains(b.log.String(), "for=7s") {
			t.Errorf("the wait is not told: %s", b.log.String())
		}
	})
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "limited-post")
		changed, err := b.SetStatus(t.Context(), commit, status)
		b.check("changed", changed, true, err)
		b.check("slept", b.slept, []time.Duration{7 * time.Second}, nil)
	})
}

func TestALongLimitIsNotWaitedForAndNothingMoreIsAsked(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "limited-long")
		for range 3 { // of which only the first is asked
			_, err := b.Pulls(t.Context(), "main")
			b.fails(err, "limit", "2026-08-01T13:00:00Z")
			var e *forge.Error
			if !errors.As(err, &e) || !e.Until.Equal(b.now.Add(time.Hour)) {
				t.Errorf("until %v", e)
			}
		}
		b.check("slept", len(b.slept), 0, nil)
	})
}

func TestTheLastCallOfALimitIsHeeded(t *testing.T) {
	for _, kind := range []forge.Kind{forge.GitHub, forge.GitLab} { // Gitea tells no count
		b := start(t, kind, "limit-spent")
		for _, want := range []int{0, 1} {
			ps, err := b.Pulls(t.Context(), "main")
			b.check("pull requests", len(ps), want, err)
		}
		b.check("slept", b.slept, []time.Duration{5 * time.Second}, nil)
	}
}

func TestFailuresAreRetriedWithBackoff(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "retried")
		ps, err := b.Pulls(t.Context(), "main")
		b.check("pull requests", len(ps), 1, err)
		b.check("slept", b.slept, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}, nil)
		b.check("calls", b.calls, []string{"list-pulls error", "list-pulls 502", "list-pulls 500", "list-pulls 200"}, nil)
	})
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "down")
		_, err := b.Pulls(t.Context(), "main")
		b.fails(err, "503")
	})
}

func TestRefusalsSayWhatIsNeeded(t *testing.T) {
	needs := map[forge.Kind]string{forge.GitHub: "Commit statuses: write", forge.GitLab: "at least the role Developer", forge.Gitea: "the scope write:repository"}
	for code, want := range map[int]string{http.StatusUnauthorized: "is not accepted", http.StatusForbidden: "", http.StatusNotFound: "ops/migrations is not there, or the token may not see it"} {
		each(t, func(t *testing.T, kind forge.Kind) {
			b := start(t, kind, fmt.Sprintf("error-%d", code))
			_, err := b.SetStatus(t.Context(), commit, status)
			b.fails(err, fmt.Sprint(code), want)
			if code != http.StatusUnauthorized {
				b.fails(err, needs[kind])
			}
			b.check("slept", len(b.slept), 0, nil)
		})
	}
}

func TestALargeAnswerIsRefused(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "large")
		_, err := b.Pulls(t.Context(), "main")
		b.fails(err, "more than 8 MiB")
	})
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "redirect")
		_, err := b.Pulls(t.Context(), "main")
		b.fails(err, "302", "the token does not go")
	})
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "renamed")
		ps, err := b.Pulls(t.Context(), "main")
		b.check("pull requests", len(ps), 1, err)
	})
}

func TestAnAnswerThatIsNoJSON(t *testing.T) {
	each(t, func(t *testing.T, kind forge.Kind) {
		b := start(t, kind, "no-json")
		_, err := b.Pulls(t.Context(), "main")
		b.fails(err, "not what this API answers")
	})
}

func TestStatusContext(t *testing.T) {
	for key, want := range map[plan.Key]string{{Namespace: "default", Name: "shop"}: "changeover/shop", {Namespace: "ops", Name: "shop"}: "changeover/ops/shop"} {
		if got := forge.StatusContext(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}
