package git

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
)

func certificate(h *httpsHost) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}))
}

func TestHTTPSTrustsTheCertificatesOfAFile(t *testing.T) {
	f := newFixture(t)
	h := newHTTPSHost(t, f)
	o := f.options()
	o.URL = h.URL + "/" + filepath.Base(f.bare)
	_, err := Open(t.Context(), o)
	if e := wantKind(t, err, reconciler.RemoteUnreachable); !strings.Contains(e.Error(), "certificate") {
		t.Errorf("without the file: %v", e)
	}
	o.CAFile = secretFile(t, certificate(h))
	r := openWith(t, o)
	poll(t, r)

	t.Run("as it is now", func(t *testing.T) {
		replaceFile(t, o.CAFile, "no certificate\n")
		if _, err := r.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "holds none") {
			t.Errorf("got %v", err)
		}
		replaceFile(t, o.CAFile, certificate(h))
		poll(t, r)
	})
	t.Run("not where it is missing", func(t *testing.T) {
		o := o
		o.CAFile = filepath.Join(t.TempDir(), "none")
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "read certificates") {
			t.Errorf("got %v", err)
		}
	})
}

func replaceFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// httpProxy passes on connections, and counts them.
func httpProxy(t *testing.T) (url string, passed *atomic.Int64) {
	t.Helper()
	passed = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		to, err := net.Dial("tcp", req.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer to.Close()
		passed.Add(1)
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(s.CloseClientConnections)
	return s.URL, passed
}

func TestHTTPSGoesThroughTheProxy(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	h := newHTTPSHost(t, f)
	token := "t0ken"
	h.token.Store(&token)
	o := f.options()
	o.URL, o.CAFile = h.URL+"/"+filepath.Base(f.bare), secretFile(t, certificate(h))
	o.Auth = Auth{Username: "ada", TokenFile: secretFile(t, token)}
	var passed *atomic.Int64
	o.Proxy, passed = httpProxy(t)
	r := openWith(t, o)
	if p := push(t, r, undo("gradual@10", "setup", bad)); p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("got %+v", p)
	}
	if passed.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
	o.Dir, o.Proxy = "", "http://127.0.0.1:1"
	_, err := Open(t.Context(), o)
	wantKind(t, err, reconciler.RemoteUnreachable)
}
