package git

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/changeover-dev/changeover/reconciler"
)

// httpsHost serves a bare repository with git http-backend, and asks for
// credentials.
type httpsHost struct {
	*httptest.Server
	fixture *fixture
	token   atomic.Pointer[string] // what it accepts
	bearer  bool
	noPush  atomic.Bool
	gets    atomic.Int64
}

func newHTTPSHost(t *testing.T, f *fixture) *httpsHost {
	t.Helper()
	path := f.run("/", "--exec-path") + "/git-http-backend"
	if _, err := exec.LookPath(path); err != nil {
		t.Fatalf("git http-backend: %v", err)
	}
	f.host("config", "http.receivepack", "true")
	backend := &cgi.Handler{Path: path, Env: []string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(f.bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada", "GIT_CONFIG_GLOBAL=" + gitConfig,
	}}
	h := &httpsHost{fixture: f}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h.gets.Add(1)
		_, password, _ := req.BasicAuth()
		if h.bearer {
			password = strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		}
		if want := h.token.Load(); want != nil && password != *want {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, "token %s is not known", password) // as a careless host does
			return
		}
		if h.noPush.Load() && strings.Contains(req.URL.String(), "receive-pack") {
			http.Error(w, "this token may only read", http.StatusForbidden)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(h.Close)
	return h
}

// open trusts the test's certificate, and is else as Open.
func (h *httpsHost) open(t *testing.T, o Options) (*Repository, error) {
	t.Helper()
	o.URL = h.URL + "/" + filepath.Base(h.fixture.bare)
	return openVia(t, o, func(r *remote) {
		r.client = githttp.NewClient(h.Client())
	})
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestHTTPSReadsAndPushesWithATokenFromAFile(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		t.Run(fmt.Sprint("bearer ", bearer), func(t *testing.T) {
			f := newFixture(t)
			bad := f.promote("gradual@10")
			h := newHTTPSHost(t, f)
			first, second := "s3cret-one", "s3cret-two"
			h.bearer = bearer
			h.token.Store(&first)
			file := secretFile(t, first+"\n")
			o := f.options()
			o.Auth = Auth{TokenFile: file, Bearer: bearer}
			r, err := h.open(t, o)
			if err != nil {
				t.Fatal(err)
			}
			f.commit("docs", "README.md", "docs\n")
			f.push()
			poll(t, r)
			h.token.Store(&second)
			_, err = r.Poll(t.Context())
			e := wantKind(t, err, reconciler.RemoteAuth)
			if strings.Contains(e.Error(), first) {
				t.Errorf("the token is in the error: %v", e)
			}
			if err := os.WriteFile(file, []byte(second), 0o600); err != nil {
				t.Fatal(err)
			}
			p := push(t, r, undo("gradual@10", "setup", bad))
			if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") || f.shown("README.md") != "docs\n" {
				t.Errorf("got %+v", p)
			}
			f.fsck(f.bare)
			before := h.gets.Load()
			poll(t, r)
			if n := h.gets.Load() - before; n != 1 {
				t.Errorf("a poll of an unchanged branch made %d requests, want 1", n)
			}
		})
	}
}

func TestHTTPSCheckPushSeesATokenThatMayOnlyRead(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	h := newHTTPSHost(t, f)
	h.noPush.Store(true)
	r, err := h.open(t, f.options())
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.CheckPush(t.Context()), reconciler.RemoteAuth)
	wantKind(t, errOf(pushOne(r, undo("gradual@10", "setup", bad))), reconciler.RemoteAuth)
	h.noPush.Store(false)
	if err := r.CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHTTPSTokenFileThatCannotBeReadIsAnAuthError(t *testing.T) {
	f := newFixture(t)
	h := newHTTPSHost(t, f)
	for name, file := range map[string]string{"missing": "/nonexistent/token", "empty": secretFile(t, " \n"), "two lines": secretFile(t, "a\nb\n")} {
		o := f.options()
		o.Auth.TokenFile = file
		_, err := h.open(t, o)
		e := wantKind(t, err, reconciler.RemoteAuth)
		if !strings.Contains(e.Error(), "token file") {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestHTTPSIsNeverRedirectedToPlainHTTP(t *testing.T) {
	f := newFixture(t)
	var stolen atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		stolen.Add(1)
	}))
	defer plain.Close()
	h := newHTTPSHost(t, f)
	h.Config.Handler = http.RedirectHandler(plain.URL+"/host.git/info/refs?service=git-upload-pack", http.StatusFound)
	o := f.options()
	o.Auth.TokenFile = secretFile(t, "s3cret")
	_, err := h.open(t, o)
	wantKind(t, err, reconciler.RemoteUnreachable)
	if stolen.Load() != 0 {
		t.Errorf("the plain server was asked")
	}
}
