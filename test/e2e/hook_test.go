package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestAWebhookIsSeenAtOnce by a daemon that reads the branch once an hour.
func TestAWebhookIsSeenAtOnce(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := child.FreeAddr(t)
	s := stack.Start(t, stack.Options{
		Bin: bin, Gateway: "nginx", Plan: ordersPlan,
		Args: []string{"--git-interval", "1h", "--git-max-age", "2h", "--hook-listen", addr, "--hook-secret-file", file},
	})
	deliver := func(token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/hook/gitlab", strings.NewReader(`{"ref":"refs/heads/main"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitlab-Token", token)
		req.Header.Set("X-Gitlab-Event", "Push Hook")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	s.StartDaemon()
	s.Await("steady at setup", await, steadyAt("setup"))
	s.Declare("gradual@10")
	if code := deliver("not the secret, by no means"); code != http.StatusUnauthorized {
		t.Errorf("a wrong secret is answered %d", code)
	}
	time.Sleep(time.Second)
	if st, err := s.Status(); err != nil || st.Declared.String() != "setup" {
		t.Fatalf("without the secret it declares %s, %v", st.Declared, err)
	}
	begun := time.Now()
	if code := deliver(secret); code != http.StatusAccepted {
		t.Fatalf("answered %d", code)
	}
	s.Await("the promotion", 10*time.Second, func(st reconciler.Status) bool { return st.Declared.String() == "gradual@10" })
	t.Logf("seen %s after the delivery, the command line's own time included", time.Since(begun).Round(time.Millisecond))

	// Another secret counts at once.
	if err := os.WriteFile(file, []byte("another secret altogether"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := deliver(secret); code != http.StatusUnauthorized {
		t.Errorf("the old secret is answered %d", code)
	}
	if strings.Contains(s.DaemonLog(), secret) {
		t.Error("the log has the secret")
	}
}
