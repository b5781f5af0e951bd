package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/translate"
)

// clientLeft is the status under which requests are counted whose client left
// before the answer, as nginx logs them. Nobody receives it.
const clientLeft = 499

// bySide sends a request over the connections of its exchange's side.
//
// The Transport repeats a request by itself in one case alone: a kept
// connection turns out to be closed before the first byte of an answer, and
// the request is GET, HEAD, OPTIONS or TRACE without a body (or says by an
// Idempotency-Key that it may be repeated), or not a byte of it was sent.
// Nothing else is ever sent twice.
type bySide struct{}

func (bySide) RoundTrip(r *http.Request) (*http.Response, error) {
	e := exchangeOf(r.Context())
	if e.birth {
		return e.create(r)
	}
	return e.side.transport.RoundTrip(r)
}

// rewrite makes the request to the backend, and its copy. Host, path and query
// stay as the client wrote them, behind the path of the backend's URL, but for
// what the rule rewrites.
func (h *Handler) rewrite(pr *httputil.ProxyRequest) {
	e := exchangeOf(pr.In.Context())
	pr.Out.URL.RawPath = asWritten(pr.In.URL.RawPath)
	pr.Out.Host = pr.In.Host
	h.setForwarded(pr)
	e.rewrite.Apply(pr.Out)
	if e.translated != nil {
		e.translated.Apply(pr.Out)
	}
	pr.Out.Header.Set(bridge.HeaderSide, string(e.side.side))
	if strings.Contains(strings.ToLower(pr.Out.Header.Get("Upgrade")), "h2c") {
		// Inside such a connection requests would pass by the routes.
		pr.Out.Header.Del("Upgrade")
		pr.Out.Header.Del("Connection")
		pr.Out.Header.Del("Http2-Settings")
	}
	if pr.Out.Body != nil {
		e.body = &clientBody{ReadCloser: pr.Out.Body}
		pr.Out.Body = e.body
	}
	if e.mirror != nil {
		var why string
		e.copied, why = e.mirror.prepare(pr.Out, e.mirrors)
		e.judge(pr, why)
	}
	if e.births != nil && e.side.side == plan.Modern {
		e.birth = e.births.expect(pr.Out)
	}
	behind(pr.Out, pr.In, e.side.url)
	if e.translated != nil {
		pr.Out.URL.RawQuery = e.translated.Query()
	}
	switch {
	case e.copied == nil:
	case e.translation != nil:
		e.copied.client, e.copied.unsafe, e.copied.translated = pr.In, e.unsafe, translation.Copy(pr.In, e.translation)
	default:
		behind(e.copied.request, pr.In, e.mirror.url)
	}
	if e.copied != nil {
		e.copied.judged.repeatable(pr.Out)
	}
}

// behind puts the path of a request behind that of a backend's URL.
func behind(out, in *http.Request, backend *url.URL) {
	host := out.Host
	(&httputil.ProxyRequest{In: in, Out: out}).SetURL(backend)
	out.Host = host
	out.URL.RawQuery = in.URL.RawQuery
}

// asWritten is a path as the client wrote it, but for bytes that no URL may
// hold: those are escaped. Left alone, one of them would make the standard
// library write the whole path anew, with encoded slashes as slashes.
func asWritten(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("/%-._~!$&'()*+,;=:@[]", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// setForwarded sets X-Forwarded-For, -Host and -Proto. What came in counts
// from a trusted proxy only.
func (h *Handler) setForwarded(pr *httputil.ProxyRequest) {
	trusted := len(h.trusted) > 0 && h.trusts(peer(pr.In))
	if trusted {
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	}
	pr.SetXForwarded()
	if !trusted {
		delete(pr.Out.Header, "X-Real-Ip")
		return
	}
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := pr.In.Header[name]; len(v) > 0 {
			pr.Out.Header[name] = v
		}
	}
}

func (h *Handler) modifyResponse(res *http.Response) error {
	e := exchangeOf(res.Request.Context())
	e.side.circuit.answered(e.side, h.log)
	if e.translated != nil {
		if err := e.translated.Answer(res.Request.Context(), res); err != nil {
			return err
		}
	}
	res.Header.Set(bridge.HeaderSide, string(e.side.side))
	e.code = res.StatusCode
	if e.copied != nil {
		e.copied.judged.legacy(res)
	}
	if e.copied != nil && e.copied.body == nil {
		e.copied.send() // the answer has begun, and may go on for hours
	}
	if e.code == http.StatusSwitchingProtocols {
		// It may stay up for days.
		e.count()
	}
	return nil
}

// fail answers where the backend did not.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := exchangeOf(r.Context())
	name := string(e.side.side)
	code, reason, text := classify(r.Context(), e, err)
	e.side.failures.WithLabelValues(reason).Inc()
	e.unsure = reason != reasonConnect && reason != reasonClient
	switch reason {
	case reasonConnect, reasonTimeout, reasonProtocol:
		e.side.circuit.failed(e.side, h.log)
	}
	if reason != reasonCanceled {
		e.side.logged.Do(func() {
			h.log.Warn("request failed", "side", name, "reason", reason, "method", r.Method, "path", r.URL.Path, "error", err.Error())
		})
	}
	e.code = code
	w.Header().Set(bridge.HeaderSide, name)
	refuse(w, code, "the "+name+" side "+text)
}

// classify says what became of a request without an answer. The texts name no
// address: they go to clients.
func classify(ctx context.Context, e *exchange, err error) (code int, reason, text string) {
	var timeout net.Error
	var op *net.OpError
	var untranslated *translate.Failure
	switch {
	case errors.Is(err, errUnrecordable):
		return http.StatusServiceUnavailable, reasonOwner, "was not asked: what it creates could not be recorded as its own"
	case errors.Is(err, errUnrecorded):
		return http.StatusServiceUnavailable, reasonOwner, "has created it, but that could not be recorded"
	case errors.Is(err, context.Canceled) || ctx.Err() != nil:
		return clientLeft, reasonCanceled, "was still at work when the client left"
	case errors.As(err, &untranslated):
		return http.StatusBadGateway, reasonTranslate, "carried the request out, but its answer could not be translated: " + untranslated.Error()
	case e.body != nil && e.body.failed.Load():
		return http.StatusBadRequest, reasonClient, "was not asked: the request's body could not be read"
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, reasonTimeout, "did not answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		return http.StatusBadGateway, reasonConnect, "could not be reached"
	}
	return http.StatusBadGateway, reasonProtocol, "closed the connection or sent no valid answer"
}

// clientBody notes whether reading the client's body failed, which is not the
// backend's fault. What is read after the Transport closed it does not count.
type clientBody struct {
	io.ReadCloser
	closed, failed atomic.Bool
}

func (b *clientBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// buffers lends the buffers through which answers are copied.
type buffers struct{}

const bufferSize = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[bufferSize]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[bufferSize]byte)(b)) }
