package call_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/call"
)

const secret = "s3cr3t-t0ken"

func caller(t *testing.T, dir string, hosts ...string) *call.Caller {
	t.Helper()
	c, err := call.New(call.Options{AllowHosts: hosts, Secrets: call.Secrets{Dir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) (raw, host string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s.URL, u.Host
}

func get(raw string) call.Request {
	return call.Request{Name: "verify.modern", Method: "GET", URL: raw, MaxBody: 100, Timeout: 30 * time.Second}
}

func TestOnlyHostsOfTheListAreCalled(t *testing.T) {
	asked := 0
	raw, host := serve(t, func(http.ResponseWriter, *http.Request) { asked++ })
	for _, allowed := range [][]string{nil, {"other.example"}, {"127.0.0.1:1"}, {"127.0.0"}} {
		_, err := caller(t, "", allowed...).Send(t.Context(), get(raw))
		if err == nil || !strings.Contains(err.Error(), "--allow-host "+host) {
			t.Errorf("with %v the error is %v, want the flag", allowed, err)
		}
	}
	if asked > 0 {
		t.Errorf("%d requests were sent", asked)
	}
	for _, allowed := range []string{host, "127.0.0.1"} {
		if _, err := caller(t, "", "other.example", allowed).Send(t.Context(), get(raw)); err != nil {
			t.Errorf("with %s: %v", allowed, err)
		}
	}
	for _, bad := range []string{"", "http://legacy", "a b", "legacy:0", "legacy:http", "*.example", ":80", "legacy:80:90"} {
		if _, err := call.New(call.Options{AllowHosts: []string{bad}}); err == nil {
			t.Errorf("host %q is taken", bad)
		}
	}
}

func TestAddressesOfTheLinkAreNeverCalled(t *testing.T) {
	for _, a := range []string{"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0", "[::]", "100.100.100.200", "224.0.0.1", "[::ffff:169.254.169.254]"} {
		_, err := caller(t, "", strings.Trim(a, "[]")).Send(t.Context(), get("http://"+a+"/latest"))
		if err == nil || !strings.Contains(err.Error(), "is never called") {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestRedirectsStayAtTheirHost(t *testing.T) {
	elsewhere := 0
	other, otherHost := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere++ })
	raw, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other, http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/here", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		}
	})
	c := caller(t, "", host, otherHost)
	if _, err := c.Send(t.Context(), get(raw+"/near")); err != nil {
		t.Error(err)
	}
	for _, r := range []call.Request{get(raw + "/away"), get(raw + "/round"), {Name: "x", Method: "PUT", URL: raw + "/near", MaxBody: 100}} {
		if _, err := c.Send(t.Context(), r); err == nil || !strings.Contains(err.Error(), "302: redirects") {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
	}
	if elsewhere > 0 {
		t.Errorf("%d redirects to another host were followed", elsewhere)
	}
}

func TestTokensAreReadAnewAndStandInNoError(t *testing.T) {
	dir := t.TempDir()
	token := func(s string) {
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	raw, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(r.Header.Get("Authorization")))
	})
	c := caller(t, dir, host)
	r := get(raw + "/x?key=" + secret)
	r.Token = "token"
	for _, s := range []string{secret + "\n", secret + "2", secret + " two words", "", secret + "\x01"} {
		token(s)
		if _, err := c.Send(t.Context(), r); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("token %q: the error is %v", s, err)
		}
	}
	if len(seen) != 2 || seen[0] != "Bearer "+secret || seen[1] != "Bearer "+secret+"2" {
		t.Errorf("tokens %q were sent", seen)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "outside"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside", "link", "missing"} {
		r.Token = name
		if _, err := c.Send(t.Context(), r); err == nil {
			t.Errorf("secret %q was read", name)
		}
	}
	if _, err := caller(t, "", host).Send(t.Context(), r); err == nil || !strings.Contains(err.Error(), "--secrets-dir") {
		t.Errorf("without a folder the error is %v, want the flag", err)
	}
}

func TestAnswersAreBoundedAndJudged(t *testing.T) {
	raw, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, 101))
		case "/full":
			_, _ = w.Write([]byte(`{"a":` + strings.Repeat(" ", 93) + `1}`))
		case "/slow":
			<-r.Context().Done()
		case "/404":
			w.WriteHeader(404)
		case "/409":
			w.WriteHeader(409)
		case "/503":
			w.WriteHeader(503)
		}
	})
	c := caller(t, "", host)
	if a, err := c.Send(t.Context(), get(raw+"/full")); err != nil || len(a.Body) != 100 {
		t.Errorf("a full answer: %v", err)
	} else if v, err := a.JSON(); err != nil || v.(map[string]any)["a"] != int64(1) {
		t.Errorf("its JSON is %v, error %v", v, err)
	}
	for path, want := range map[string]struct {
		temporary, missing bool
		text               string
	}{
		"/large": {true, false, "larger than 100 bytes"}, "/404": {false, true, "answered 404"}, "/409": {false, false, "answered 409"}, "/503": {true, false, "answered 503"},
	} {
		_, err := c.Send(t.Context(), get(raw+path))
		var e *call.Error
		if !errors.As(err, &e) || e.Temporary != want.temporary || errors.Is(err, call.ErrNotFound) != want.missing || !strings.Contains(e.Error(), want.text) {
			t.Errorf("%s: %v (%+v)", path, err, e)
		}
	}
	r := get(raw + "/409")
	r.Expect = []int{200, 409}
	if _, err := c.Send(t.Context(), r); err != nil {
		t.Errorf("a code that is expected: %v", err)
	}
	slow := get(raw + "/slow")
	slow.Timeout = 20 * time.Millisecond
	if _, err := c.Send(context.Background(), slow); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a slow answer: %v", err)
	}
}
