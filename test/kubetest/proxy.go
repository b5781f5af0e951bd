package kubetest

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Fault is what a Proxy does with requests in place of passing them on.
type Fault struct {
	// Method and Path select requests, as "PATCH" and "/deployments/": all that
	// have this text in their path; every one where empty.
	Method, Path string
	// Match selects further where not nil. It is called from several
	// goroutines, and for each request that Method and Path select.
	Match func(*http.Request) bool
	// Times is how many requests are struck; all until Lift where zero.
	Times int

	// Delay comes before everything else.
	Delay time.Duration
	// Code is answered, with a Status as the API server gives it: 401, 409, 429,
	// 500 and so on. 200 is for what Delay alone does: the request then goes on.
	// Zero resets the connection; clients in Go repeat a GET by themselves, once
	// or more often, where that comes on a connection that served before.
	Code int
	// RetryAfter is told with the code, in whole seconds; not at all where zero.
	RetryAfter time.Duration
	// AnswerLost makes the API server carry out the request first: the fault
	// then takes the place of its answer.
	AnswerLost bool
}

// Injected is a fault at work.
type Injected struct {
	Fault
	proxy  *Proxy
	struck int
}

// Struck is how many requests it has struck.
func (i *Injected) Struck() int {
	i.proxy.mu.Lock()
	defer i.proxy.mu.Unlock()
	return i.struck
}

// Lift ends it. Lifting twice does nothing.
func (i *Injected) Lift() {
	i.proxy.mu.Lock()
	defer i.proxy.mu.Unlock()
	i.proxy.faults = slices.DeleteFunc(i.proxy.faults, func(j *Injected) bool { return j == i })
}

// Proxy is a reverse proxy on a loopback port in front of the API server. It
// speaks HTTP/1.1, such that a connection is one request's and can be reset.
type Proxy struct {
	// Kubeconfig is for clients of the proxy. Its credentials are worth nothing:
	// the proxy shows those of the user that it was made for, and lets
	// impersonation through.
	Kubeconfig string

	mu     sync.Mutex
	faults []*Injected
}

// Proxy starts one for the user of a kubeconfig, the administrator where empty.
// Without faults it passes on everything, watches as well; where the API server
// does not answer, it resets the connection.
func (k *Kube) Proxy(t testing.TB, kubeconfig string) *Proxy {
	t.Helper()
	config := k.Config
	if kubeconfig != "" {
		var err error
		if config, err = ReadKubeconfig(kubeconfig); err != nil {
			t.Fatal(err)
		}
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "" // the client's own
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of connections that were reset on purpose
	p := &Proxy{}
	passOn := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization") // that of nobody's token
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { reset(w) },
	}
	srv := httptest.NewUnstartedServer(p.handler(passOn))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(func() {
		srv.CloseClientConnections() // watches
		srv.Close()
	})
	user := &api.AuthInfo{Token: "nobody"} // without one kubectl asks for a name
	p.Kubeconfig = filepath.Join(t.TempDir(), "proxy.kubeconfig")
	if err := clientcmd.WriteToFile(kubeconfigFor(srv.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), user), p.Kubeconfig); err != nil {
		t.Fatalf("write the proxy's kubeconfig: %v", err)
	}
	return p
}

// kubeconfigFor has one cluster and one user.
func kubeconfigFor(server string, ca []byte, user *api.AuthInfo) api.Config {
	const name = "test"
	return api.Config{
		Clusters:       map[string]*api.Cluster{name: {Server: server, CertificateAuthorityData: ca}},
		AuthInfos:      map[string]*api.AuthInfo{name: user},
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
}

// Inject adds a fault. Of several that select a request the first injected
// strikes.
func (p *Proxy) Inject(f Fault) *Injected {
	i := &Injected{Fault: f, proxy: p}
	if i.Times == 0 {
		i.Times = math.MaxInt
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, i)
	return i
}

// strike finds the fault for a request.
func (p *Proxy) strike(r *http.Request) *Injected {
	p.mu.Lock()
	faults := slices.Clone(p.faults)
	p.mu.Unlock()
	for _, i := range faults {
		if i.Method != "" && i.Method != r.Method || !strings.Contains(r.URL.Path, i.Path) || i.Match != nil && !i.Match(r) {
			continue
		}
		p.mu.Lock()
		strikes := i.struck < i.Times && slices.Contains(p.faults, i)
		if strikes {
			i.struck++
		}
		p.mu.Unlock()
		if strikes {
			return i
		}
	}
	return nil
}

func (p *Proxy) handler(passOn http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		i := p.strike(r)
		if i == nil {
			passOn.ServeHTTP(w, r)
			return
		}
		select {
		case <-time.After(i.Delay):
		case <-r.Context().Done():
			// The client is going: what a plain return answers, an empty 200, may
			// still reach it between its goodbye and its close.
			panic(http.ErrAbortHandler)
		}
		if i.AnswerLost {
			passOn.ServeHTTP(httptest.NewRecorder(), r)
		}
		switch {
		case i.Code == http.StatusOK && !i.AnswerLost:
			passOn.ServeHTTP(w, r)
		case i.Code == http.StatusOK || i.Code == 0:
			reset(w)
		default:
			refuse(w, i.Fault)
		}
	}
}

// refuse answers as the API server does.
func refuse(w http.ResponseWriter, f Fault) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(f.Code),
		Reason: reasons[f.Code], Message: fmt.Sprintf("injected by the test: %s", http.StatusText(f.Code)),
	}
	if f.RetryAfter > 0 {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(f.RetryAfter / time.Second)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Code)
	writeJSON(w, status)
}

var reasons = map[int]metav1.StatusReason{
	http.StatusUnauthorized:        metav1.StatusReasonUnauthorized,
	http.StatusForbidden:           metav1.StatusReasonForbidden,
	http.StatusNotFound:            metav1.StatusReasonNotFound,
	http.StatusConflict:            metav1.StatusReasonConflict,
	http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
	http.StatusTooManyRequests:     metav1.StatusReasonTooManyRequests,
	http.StatusInternalServerError: metav1.StatusReasonInternalError,
	http.StatusServiceUnavailable:  metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout:      metav1.StatusReasonTimeout,
}

// reset ends the connection by a TCP reset; one on which an answer has begun it
// only closes.
func reset(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return // the answer is lost anyway
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the close is polite
		_ = tcp.Close()
	}
}
