package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Bounds of copies. They are no settings: a copy that does not fit is dropped
// and counted, and no caller notices.
const (
	// mirrorAtOnce is how many copies are under way; more are dropped.
	mirrorAtOnce = 256
	// mirrorBody is how much of a request's body is kept for its copy, in
	// bytes; copies of larger requests are dropped. All together keep 64 MiB.
	mirrorBody = 256 << 10
	// mirrorDelay is how long a copy waits: legacy's answer is on its way to the
	// caller then, and the copy takes no processor from it.
	mirrorDelay = 2 * time.Millisecond
	// mirrorRest is how long no copy is tried after opensAfter in a row had no
	// answer; then one is, and so on until there is an answer. The callers of
	// legacy do not pay for connections that nobody takes.
	mirrorRest = 100 * time.Millisecond
	// mirrorTime is how long a copy may take, the whole answer included.
	mirrorTime = 10 * time.Second
	// mirrorAnswer is how much of an answer is read, so that the connection
	// can be used again; of a longer one the connection is closed.
	mirrorAnswer = 256 << 10
)

// What came of copies.
const (
	mirrorAnswered = "answered"
	mirrorFailed   = "failed"
	mirrorDropped  = "dropped"    // too many were under way, or modern gives no answers
	mirrorTooLarge = "too_large"  // the body is larger than mirrorBody
	mirrorPartial  = "incomplete" // the body was not read to its end

	mirrorUntranslated = "untranslated" // an expression failed, or its body is no JSON
)

// mirror sends copies of requests to modern, over connections of its own: one
// that is slow takes nothing from the callers of that side.
type mirror struct {
	url       *url.URL
	transport *http.Transport
	slots     chan struct{}
	log       *slog.Logger
	logged    rate.Sometimes
	// unanswered is how many copies in a row had no answer, and next when one is
	// tried again, in nanoseconds since 1970.
	unanswered, next atomic.Int64
}

// newMirror is for the backend of modern.
func newMirror(b *backend, log *slog.Logger) *mirror {
	t := b.transport.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = mirrorAtOnce, mirrorAtOnce
	t.ResponseHeaderTimeout = mirrorTime
	return &mirror{
		url: b.url, transport: t, slots: make(chan struct{}, mirrorAtOnce), log: log,
		logged: rate.Sometimes{First: 1, Interval: 10 * time.Second},
	}
}

// errUntranslated is of an answer to a copy.
var errUntranslated = errors.New("translate the answer")

// copied is a request that goes to modern as well.
type copied struct {
	to    *mirror
	meter mirrorMeter
	// request without its body, which is kept aside while it is read.
	request *http.Request
	body    *keptBody
	kept    []byte // its body, once it is sent
	sent    bool
	// translated is what makes the request of the copy from the client's; nil: it
	// is a copy as it is.
	translated *translation.Exchange
	client     *http.Request
	// unsafe: a translation may make a request of it that is not safe.
	unsafe bool
	// judged compares the answer with legacy's; nil: it is dropped.
	judged *judged
}

// rests reports whether no copy is to be tried now.
func (m *mirror) rests(now time.Time) bool {
	if m.unanswered.Load() < opensAfter {
		return false
	}
	next := m.next.Load()
	return now.UnixNano() < next || !m.next.CompareAndSwap(next, now.Add(mirrorRest).UnixNano())
}

// tried takes in what came of a copy.
func (m *mirror) tried(err error) {
	switch {
	case err != nil:
		m.unanswered.Add(1)
	case m.unanswered.Load() > 0:
		m.unanswered.Store(0)
	}
}

// prepare makes the copy of an outbound request; nil where there is to be none, and
// why. It is "" for an upgrade, which cannot be carried out twice.
func (m *mirror) prepare(out *http.Request, meter mirrorMeter) (c *copied, why string) {
	if out.Header.Get("Upgrade") != "" {
		return nil, ""
	}
	if m.rests(time.Now()) {
		meter.count(mirrorDropped)
		return nil, "modern does not answer"
	}
	select {
	case m.slots <- struct{}{}:
	default:
		meter.count(mirrorDropped)
		return nil, "too many copies"
	}
	r := out.Clone(context.Background())
	r.Header.Set(bridge.HeaderSide, string(plan.Modern))
	r.Header.Del("Expect") // the body is there
	r.Trailer = nil        // it is known when the copy is long made
	c = &copied{to: m, meter: meter, request: r}
	if out.Body != nil && out.Body != http.NoBody {
		c.body = &keptBody{ReadCloser: out.Body}
		out.Body = c.body
	}
	r.Body = nil
	return c, ""
}

// send sends the copy, once: when legacy's answer has begun, so that it costs the
// caller nothing, or with a body when that is known.
func (c *copied) send() {
	if c.sent {
		return
	}
	c.sent = true
	if c.body != nil {
		kept, why := c.body.take()
		if why != "" {
			c.meter.count(why)
			c.judged.dropped(why)
			<-c.to.slots
			return
		}
		c.kept = kept
		c.request.Body = io.NopCloser(bytes.NewReader(kept))
		c.request.ContentLength, c.request.TransferEncoding = int64(len(kept)), nil
	}
	time.AfterFunc(mirrorDelay, func() {
		defer func() { <-c.to.slots }()
		c.carry()
	})
}

func (c *copied) carry() {
	ctx, cancel := context.WithTimeout(context.Background(), mirrorTime)
	defer cancel()
	if !c.translate() {
		return
	}
	start := time.Now()
	res, err := c.to.transport.RoundTrip(c.request.WithContext(ctx))
	took := time.Since(start)
	c.to.tried(err)
	if err == nil && c.judged != nil && c.translated != nil {
		if err = c.translated.Answer(ctx, res); err != nil { // it is compared as callers would see it
			_ = res.Body.Close()
			err = fmt.Errorf("%w: %w", errUntranslated, err)
		}
	}
	err = c.judged.modern(res, err, took)
	if err != nil {
		c.meter.count(mirrorFailed)
		c.to.logged.Do(func() {
			c.to.log.Warn("the copy of a request was not answered", "method", c.request.Method, "path", c.request.URL.Path, "err", err.Error())
		})
		return
	}
	c.meter.count(mirrorAnswered)
	c.meter.duration.Observe(time.Since(start).Seconds())
}

// translate translates the copy where it is to be, and reports whether it can be sent.
func (c *copied) translate() bool {
	if c.translated == nil {
		return true
	}
	err := c.translated.Translate(c.request, c.kept)
	if err == nil && !c.unsafe && !slices.Contains(plan.SafeMethods, c.request.Method) {
		err = errors.New("its method is not safe any more, and the mirror has no allowUnsafe")
	}
	if err != nil {
		c.meter.count(mirrorUntranslated)
		c.judged.dropped(mirrorUntranslated)
		c.to.logged.Do(func() {
			c.to.log.Warn("the copy of a request was not translated", "method", c.request.Method, "path", c.request.URL.Path, "err", err.Error())
		})
		return false
	}
	behind(c.request, c.client, c.to.url)
	c.request.URL.RawQuery = c.translated.Query()
	return true
}

// keptBody keeps what is read of a body, up to mirrorBody. The transport may go on
// reading after the answer.
type keptBody struct {
	io.ReadCloser
	mu    sync.Mutex
	kept  []byte
	whole bool
	over  bool // nothing more is kept
	large bool
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case len(b.kept)+n > mirrorBody:
		b.kept, b.over, b.large = nil, true, true
	default:
		b.kept = append(b.kept, p[:n]...)
		b.whole = b.whole || err == io.EOF
	}
	return n, err
}

// take ends the keeping, and returns what was kept, or why there is no copy.
func (b *keptBody) take() (kept []byte, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	switch {
	case b.large:
		return nil, mirrorTooLarge
	case !b.whole:
		return nil, mirrorPartial
	}
	return b.kept, ""
}
