package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBridge answers at /clients as a bridge does that wants a token.
func fakeBridge(t *testing.T, since, clients string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.URL.Path != "/clients" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"plan":{"namespace":"default","name":"so"},"by":"user-agent","since":%q,"sides":{"legacy":{"requests":9,"clients":[%s]},"modern":{"requests":1,"clients":[{"name":"curl","requests":1,"last":"2026-03-01T11:00:00Z"}]}}}`, since, clients)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestClientsAreAddedUpOverBridges(t *testing.T) {
	a := fakeBridge(t, "2026-03-01T08:00:00Z", `{"name":"billing","requests":5,"last":"2026-03-01T11:00:00Z"},{"name":"old","requests":2,"over":1,"last":"2026-02-01T11:00:00Z"}`)
	b := fakeBridge(t, "2026-03-01T09:00:00Z", `{"name":"billing","requests":4,"last":"2026-03-01T11:59:00Z"}`)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "clients", "--bridge-url", a, "--bridge-url", b, "--bridge-token-file", token, "--side", "legacy")
	if code != exitOK {
		t.Fatalf("code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[1])[:4], " ") != "legacy billing 9 0" || strings.Join(strings.Fields(lines[2])[:4], " ") != "legacy old 2 1" {
		t.Errorf("got\n%s", out)
	}
	wantAll(t, errs, "Plan default/so, clients by user-agent, since 2026-03-01T09:00:00Z.")
	code, out, _ = call(t, "clients", "--bridge-url", a, "--bridge-token-file", token, "-o", "json")
	if code != exitOK || strings.Count(out, `"client"`) != 3 || !strings.Contains(out, `"side": "modern"`) {
		t.Errorf("code %d, JSON %s", code, out)
	}
}

func TestClientsSayWhatIsWrong(t *testing.T) {
	a := fakeBridge(t, "2026-03-01T08:00:00Z", "")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no bridge":   {nil, exitUsage, "--bridge-url is required"},
		"no URL":      {[]string{"--bridge-url", "127.0.0.1:1"}, exitUsage, "--bridge-url: want http://HOST:PORT"},
		"no side":     {[]string{"--bridge-url", a, "--side", "left"}, exitUsage, "want legacy or modern"},
		"no token":    {[]string{"--bridge-url", a}, exitFailed, "give --bridge-token-file"},
		"none there":  {[]string{"--bridge-url", "http://127.0.0.1:1"}, exitFailed, "ask the bridge"},
		"not one":     {[]string{"--bridge-url", plain.URL}, exitFailed, "404"},
		"no file":     {[]string{"--bridge-url", a, "--bridge-token-file", "/nowhere/token"}, exitUsage, "--bridge-token-file"},
		"an argument": {[]string{"so"}, exitUsage, "argument"},
	} {
		if code, _, errs := call(t, append([]string{"clients"}, tc.args...)...); code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: code %d, %s", name, code, errs)
		}
	}
}
