package forge_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/forge"
)

func TestDetect(t *testing.T) {
	for _, tc := range []struct {
		repo       string
		kind       forge.Kind
		base, proj string
		want       forge.Place
		err        string
	}{
		{repo: "https://github.com/ops/migrations.git", want: forge.Place{Kind: forge.GitHub, API: "https://api.github.com", Project: "ops/migrations"}},
		{repo: "git@github.com:ops/migrations.git", want: forge.Place{Kind: forge.GitHub, API: "https://api.github.com", Project: "ops/migrations"}},
		{repo: "ssh://git@ssh.github.com:443/ops/migrations.git", want: forge.Place{Kind: forge.GitHub, API: "https://api.github.com", Project: "ops/migrations"}},
		{repo: "https://ci@GitLab.com/a/b/c/", want: forge.Place{Kind: forge.GitLab, API: "https://gitlab.com/api/v4", Project: "a/b/c"}},
		{repo: "https://codeberg.org/a/b", want: forge.Place{Kind: forge.Gitea, API: "https://codeberg.org/api/v1", Project: "a/b"}},
		{repo: "https://ghe.example.com/a/b", kind: forge.GitHub, want: forge.Place{Kind: forge.GitHub, API: "https://ghe.example.com/api/v3", Project: "a/b"}},
		{repo: "https://git.example.com:3000/a/b.git", kind: forge.Gitea, want: forge.Place{Kind: forge.Gitea, API: "https://git.example.com:3000/api/v1", Project: "a/b"}},
		{repo: "ssh://git@git.example.com:2222/a/b.git", kind: forge.GitLab, want: forge.Place{Kind: forge.GitLab, API: "https://git.example.com/api/v4", Project: "a/b"}},
		{repo: "ssh://git@internal/a/b.git", kind: forge.GitLab, base: "https://git.example.com/gitlab/", want: forge.Place{Kind: forge.GitLab, API: "https://git.example.com/gitlab/api/v4", Project: "a/b"}},
		{repo: "/srv/git/x.git", kind: forge.Gitea, base: "http://127.0.0.1:3000/api/v1", proj: "a/b", want: forge.Place{Kind: forge.Gitea, API: "http://127.0.0.1:3000/api/v1", Project: "a/b"}},
		{repo: "https://git.example.com/a/b", err: "give --forge github, gitlab or gitea"},
		{repo: "https://github.com.example.com/a/b", err: "give --forge github, gitlab or gitea"},
		{repo: "https://git.example.com/a/b", kind: "bitbucket", err: "want github, gitlab or gitea"},
		{repo: "/srv/git/x.git", kind: forge.Gitea, err: "--forge-project OWNER/NAME"},
		{repo: "/srv/git/x.git", kind: forge.Gitea, proj: "a/b", err: "--forge-url https://HOST"},
		{repo: "https://github.com/migrations", err: "--forge-project OWNER/NAME"},
		{repo: "https://github.com/a/b/c", err: "--forge-project OWNER/NAME"},
		{repo: "https://github.com/a/%2e%2e", err: "--forge-project OWNER/NAME"},
		{repo: "https://github.com/a/b", base: "https://x:secret@ghe.example.com", err: "without a user"},
		{repo: "https://github.com/a/b", base: "ghe.example.com", err: "want https://HOST"},
	} {
		got, err := forge.Detect(tc.repo, tc.kind, tc.base, tc.proj)
		switch {
		case tc.err == "" && (err != nil || got != tc.want):
			t.Errorf("%s: %+v, %v, want %+v", tc.repo, got, err, tc.want)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: error %v, want %q", tc.repo, err, tc.err)
		}
	}
}

func options(t *testing.T, api, token string) forge.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return forge.Options{
		Place: forge.Place{Kind: forge.Gitea, API: api, Project: "a/b"}, TokenFile: file,
		Now: time.Now, Rand: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
		Sleep: func(context.Context, time.Duration) error { return nil },
	}
}

func TestPlainHTTPIsForThisMachineAlone(t *testing.T) {
	for api, ok := range map[string]bool{
		"http://127.0.0.1:3000/api/v1": true, "http://[::1]:3000": true, "http://localhost": true, "https://git.example.com": true,
		"http://git.example.com": false, "http://127.0.0.1.example.com": false, "http://10.0.0.1": false,
	} {
		if _, err := forge.New(options(t, api, "x")); (err == nil) != ok {
			t.Errorf("%s: %v", api, err)
		}
	}
	o := options(t, "http://10.0.0.1", "x")
	o.PlainHTTP = true
	if _, err := forge.New(o); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// TestAnotherTokenCountsAtOnce, and one that is no token is told without it.
func TestAnotherTokenCountsAtOnce(t *testing.T) {
	var shown []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, "[]")
	}))
	defer srv.Close()
	o := options(t, srv.URL, "first\n")
	c, err := forge.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "second"} {
		if token != "" {
			if err := os.WriteFile(o.TokenFile, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Pulls(t.Context(), "main"); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(shown, ",") != "token first,token second" {
		t.Errorf("it showed %q", shown)
	}
	for _, bad := range []string{"", "two canaries", "canary\nline", strings.Repeat("canary", 1000)} {
		if err := os.WriteFile(o.TokenFile, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Pulls(t.Context(), "main"); err == nil || strings.Contains(err.Error(), "canar") || !strings.Contains(err.Error(), "one line") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := os.Remove(o.TokenFile); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pulls(t.Context(), "main"); err == nil || len(shown) != 2 {
		t.Errorf("without a token: %v, %d calls", err, len(shown))
	}
}

func TestASilentForgeIsNotWaitedFor(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()
	o := options(t, srv.URL, "x")
	o.Timeout = 50 * time.Millisecond
	c, err := forge.New(o)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := c.Pulls(t.Context(), "main"); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestWhatIsPostedIsBounded in characters and bytes, and a commit's name is
// checked before it is in a URL.
func TestWhatIsPostedIsBounded(t *testing.T) {
	var bodies []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			b, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(b))
			w.WriteHeader(http.StatusCreated)
		case strings.HasSuffix(r.URL.Path, "/status"):
			_, _ = io.WriteString(w, "{}")
		default:
			_, _ = io.WriteString(w, "[]")
		}
	}))
	defer srv.Close()
	o := options(t, srv.URL, "x")
	o.User = "bot"
	c, err := forge.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := status
	s.Description = strings.Repeat("ä ", 200)
	if _, err := c.SetStatus(t.Context(), commit, s); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(bodies[0], "ä"); n != 70 {
		t.Errorf("%d characters of the description", n)
	}
	if _, err := c.Comment(t.Context(), 1, forge.Marker+"\n```\n"+strings.Repeat("line\n", 100_000), true); err != nil {
		t.Fatal(err)
	}
	if len(bodies[1]) > 75_000 || !strings.Contains(bodies[1], "This is cut") || strings.Count(bodies[1], "```") != 2 {
		t.Errorf("%d bytes: ...%s", len(bodies[1]), bodies[1][len(bodies[1])-80:])
	}
	if _, err := c.Comment(t.Context(), 1, "no marker", true); err == nil {
		t.Error("a comment without the marker is taken")
	}
	for _, bad := range []string{"", "main", "../../user", strings.Repeat("g", 40)} {
		if _, err := c.SetStatus(t.Context(), bad, status); err == nil {
			t.Errorf("%q is taken for a commit", bad)
		}
	}
	if len(bodies) != 2 {
		t.Errorf("%d posts", len(bodies))
	}
}
