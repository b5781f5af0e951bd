package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/changeover-dev/changeover/reconciler/webhook"
)

// documented is the secret of the example in GitHub's documentation of webhooks,
// whose body and signature stand below.
const documented = "It's a Secret to Everybody"

type hook struct {
	http.Handler
	wakes atomic.Int64
	// branch that the last wake was told of.
	branch atomic.Value
	reg    *prometheus.Registry
	fail   error
}

func newHook(t testing.TB, secret string) *hook {
	t.Helper()
	return newLogged(t, secret, slog.New(slog.DiscardHandler))
}

func newLogged(t testing.TB, secret string, log *slog.Logger) *hook {
	t.Helper()
	h := &hook{reg: prometheus.NewRegistry()}
	handler, err := webhook.New(webhook.Options{
		Secret: func() ([]byte, error) { return []byte(secret), h.fail }, Branches: []string{"main", "release"},
		Wake: func(branch string) {
			h.wakes.Add(1)
			h.branch.Store(branch)
		},
		Log: log, Registerer: h.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Handler = handler
	return h
}

func (h *hook) deliver(kind, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/hook/"+kind, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func sum(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestDeliveries(t *testing.T) {
	const (
		main  = `{"ref": "refs/heads/main", "after": "5f3c"}`
		other = `{"ref": "refs/heads/feature"}`
		tag   = `{"ref": "refs/tags/v1"}`
	)
	for name, tc := range map[string]struct {
		kind, body string
		headers    []string
		code       int
		wakes      int64
	}{
		"the documented example of GitHub": {"github", "Hello, World!", []string{"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, 202, 1},
		"a push to GitHub":                 {"github", main, []string{"X-Hub-Signature-256", "sha256=" + sum(documented, main), "X-GitHub-Event", "push"}, 202, 1},
		"to another branch":                {"github", other, []string{"X-Hub-Signature-256", "sha256=" + sum(documented, other), "X-GitHub-Event", "push"}, 202, 0},
		"of a tag":                         {"github", tag, []string{"X-Hub-Signature-256", "sha256=" + sum(documented, tag), "X-GitHub-Event", "push"}, 202, 0},
		"a ping":                           {"github", "{}", []string{"X-Hub-Signature-256", "sha256=" + sum(documented, "{}"), "X-GitHub-Event", "ping"}, 202, 0},
		"a pull request":                   {"github", "{}", []string{"X-Hub-Signature-256", "sha256=" + sum(documented, "{}"), "X-GitHub-Event", "pull_request"}, 202, 1},
		"signed with another secret":       {"github", main, []string{"X-Hub-Signature-256", "sha256=" + sum("another secret of them", main), "X-GitHub-Event", "push"}, 401, 0},
		"with a changed body":              {"github", main + " ", []string{"X-Hub-Signature-256", "sha256=" + sum(documented, main)}, 401, 0},
		"without a signature":              {"github", main, nil, 401, 0},
		"with GitHub's old signature":      {"github", main, []string{"X-Hub-Signature", "sha1=" + sum(documented, main)}, 401, 0},
		"with half a signature":            {"github", main, []string{"X-Hub-Signature-256", "sha256=" + sum(documented, main)[:32]}, 401, 0},
		"with no hexadecimal":              {"github", main, []string{"X-Hub-Signature-256", "sha256=zz"}, 401, 0},
		"a push to Gitea":                  {"gitea", main, []string{"X-Gitea-Signature", sum(documented, main), "X-Gitea-Event", "push"}, 202, 1},
		"an issue at Gitea":                {"gitea", "{}", []string{"X-Gitea-Signature", sum(documented, "{}"), "X-Gitea-Event", "issues"}, 202, 0},
		"Gitea's with GitHub's header":     {"gitea", main, []string{"X-Hub-Signature-256", "sha256=" + sum(documented, main)}, 401, 0},
		"a push to GitLab":                 {"gitlab", main, []string{"X-Gitlab-Token", documented, "X-Gitlab-Event", "Push Hook"}, 202, 1},
		"a merge request at GitLab":        {"gitlab", "{}", []string{"X-Gitlab-Token", documented, "X-Gitlab-Event", "Merge Request Hook"}, 202, 1},
		"a job at GitLab":                  {"gitlab", "{}", []string{"X-Gitlab-Token", documented, "X-Gitlab-Event", "Job Hook"}, 202, 0},
		"GitLab's with a longer token":     {"gitlab", main, []string{"X-Gitlab-Token", documented + "x"}, 401, 0},
		"GitLab's without a token":         {"gitlab", main, nil, 401, 0},
		"generic, signed":                  {"generic", "anything", []string{"X-Signature", "sha256=" + sum(documented, "anything")}, 202, 1},
		"generic, with a token":            {"generic", "", []string{"Authorization", "Bearer " + documented}, 202, 1},
		"generic, signed with neither":     {"generic", "", []string{"X-Signature", sum(documented, "")}, 401, 0},
		"generic, wrong sum, right token":  {"generic", "", []string{"X-Signature", "sha256=00", "Authorization", "Bearer " + documented}, 401, 0},
		"generic, the bare token":          {"generic", "", []string{"Authorization", documented}, 401, 0},
		"generic, as a user's password":    {"generic", "", []string{"Authorization", "Basic " + documented}, 401, 0},
		"a body that is no JSON":           {"generic", `{"ref": "refs/heads/feat`, []string{"Authorization", "Bearer " + documented}, 202, 1},
		"a ref that is no text":            {"generic", `{"ref": 7}`, []string{"Authorization", "Bearer " + documented}, 202, 1},
		"a host that is not known":         {"bitbucket", main, nil, 404, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHook(t, documented)
			w := h.deliver(tc.kind, tc.body, tc.headers...)
			if w.Code != tc.code || h.wakes.Load() != tc.wakes {
				t.Errorf("answered %d (%s) and woke %d times, want %d and %d", w.Code, strings.TrimSpace(w.Body.String()), h.wakes.Load(), tc.code, tc.wakes)
			}
			if strings.Contains(w.Body.String(), documented) {
				t.Error("the answer has the secret")
			}
		})
	}
}

func TestARepeatedDeliveryOnlyWakes(t *testing.T) {
	h := newHook(t, documented)
	for range 10 {
		if w := h.deliver("gitlab", "{}", "X-Gitlab-Token", documented); w.Code != http.StatusAccepted {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if n := h.wakes.Load(); n != 10 {
		t.Errorf("woke %d times", n)
	}
}

func TestOnlyPOSTIsTaken(t *testing.T) {
	h := newHook(t, documented)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hook/github", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET is answered %d, Allow: %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestASecretThatCannotBeReadRefusesAll(t *testing.T) {
	h := newHook(t, documented)
	h.fail = errors.New("no such file")
	w := h.deliver("gitlab", "{}", "X-Gitlab-Token", documented)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || h.wakes.Load() != 0 {
		t.Errorf("answered %d, woke %d times", w.Code, h.wakes.Load())
	}
}

// TestALargeBodyIsNotRead over a real connection, with and without a length.
func TestALargeBodyIsNotRead(t *testing.T) {
	h := newHook(t, documented)
	srv := httptest.NewServer(h)
	defer srv.Close()
	large := bytes.Repeat([]byte("x"), 10<<20)
	for name, body := range map[string]io.Reader{"with its length": bytes.NewReader(large), "in chunks": io.MultiReader(bytes.NewReader(large))} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/hook/gitlab", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitlab-Token", documented)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // the server hung up in mid-body, which says the same
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: answered %s", name, resp.Status)
		}
	}
	if h.wakes.Load() != 0 {
		t.Error("it woke")
	}
}

// TestAFloodIsBounded: of 4,000 deliveries in one moment those of 32 MiB are
// read, and neither goroutines nor memory stay behind.
func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHook(t, documented)
		body := strings.Repeat("x", 100<<10)
		before := heap()
		var wg sync.WaitGroup
		var limited, refused atomic.Int64
		for range 20 {
			wg.Go(func() {
				for range 200 {
					switch w := h.deliver("github", body, "X-Hub-Signature-256", "sha256="+sum("another secret of them", "")); w.Code {
					case http.StatusTooManyRequests:
						limited.Add(1)
					case http.StatusUnauthorized:
						refused.Add(1)
					default:
						t.Errorf("answered %d", w.Code)
					}
				}
			})
		}
		wg.Wait()
		if n := refused.Load(); n < 300 || n > 32<<20/int64(len(body)) || limited.Load() != 4000-n || h.wakes.Load() != 0 {
			t.Errorf("%d limited, %d refused, woke %d times", limited.Load(), n, h.wakes.Load())
		}
		if n := testutil.CollectAndCount(h.reg, "changeover_webhook_deliveries_total"); n != 20 {
			t.Errorf("%d series, want 20 whatever is delivered", n)
		}
		if after := heap(); after > before+4<<20 {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	read := webhook.SecretFile(path)
	if _, err := read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for text, want := range map[string]string{
		"0123456789abcdef\n": "", "short\n": "has 5 bytes, and fewer than 16 can be guessed", strings.Repeat("x", 5000): "more than 4096 bytes",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := read()
		switch {
		case want == "" && (err != nil || string(got) != strings.TrimSpace(text)):
			t.Errorf("%q is read as %q, %v", text, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), strings.TrimSpace(text))):
			t.Errorf("%.20q: error %v, want %q", text, err, want)
		}
	}
}

// FuzzDelivery: whatever comes without the secret wakes nothing, and nothing
// panics.
func FuzzDelivery(f *testing.F) {
	f.Add("github", "X-Hub-Signature-256", "sha256=00", []byte(`{"ref":"refs/heads/main"}`))
	f.Add("gitlab", "X-Gitlab-Token", "x", []byte("{}"))
	f.Add("gitea", "X-Gitea-Signature", "00", []byte("["))
	f.Add("generic", "Authorization", "Bearer x", []byte{0xff})
	f.Fuzz(func(t *testing.T, kind, header, value string, body []byte) {
		secret := "0123456789abcdef0123456789abcdef"
		if strings.Contains(value, secret) || strings.ContainsAny(kind, "/?#%") {
			return
		}
		h := newHook(t, secret)
		r := httptest.NewRequest(http.MethodPost, "/hook/github", bytes.NewReader(body))
		r.URL.Path = "/hook/" + kind
		r.Header[http.CanonicalHeaderKey(header)] = []string{value}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if h.wakes.Load() != 0 || w.Code < 300 {
			t.Errorf("answered %d and woke %d times", w.Code, h.wakes.Load())
		}
	})
}

func TestAWakeNamesTheBranch(t *testing.T) {
	h := newHook(t, documented)
	for body, want := range map[string]struct {
		wakes  int64
		branch string
	}{
		`{"ref":"refs/heads/release"}`: {1, "release"},
		`{"ref":"refs/heads/main"}`:    {1, "main"},
		`{"ref":"refs/heads/other"}`:   {0, ""},
		`{"ref":"refs/tags/main"}`:     {0, ""},
		`{"ref":7}`:                    {1, ""},
		`no JSON`:                      {1, ""},
	} {
		h.wakes.Store(0)
		h.branch.Store("")
		h.deliver("generic", body, "X-Signature", "sha256="+sum(documented, body))
		if got := h.branch.Load(); h.wakes.Load() != want.wakes || got != want.branch {
			t.Errorf("%s: %d wakes for %q, want %d for %q", body, h.wakes.Load(), got, want.wakes, want.branch)
		}
	}
}
