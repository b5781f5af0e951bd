package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxMirrored is the longest body, in bytes, that is mirrored.
	maxMirrored = 1 << 20
	// mirrorsAtOnce bounds how many mirrored requests are under way.
	mirrorsAtOnce = 256
	mirrorTimeout = 10 * time.Second
	// gone is counted where the client has left before its answer.
	gone = 499
)

// plane is what the servers of all Gateways share: connections to backends,
// counters and mirrors under way.
type plane struct {
	transport  *http.Transport
	sideHeader string
	counts     *counts
	slots      chan struct{}   // mirrors under way
	ctx        context.Context // ends with the fixture
}

func newPlane(ctx context.Context, sideHeader string) *plane {
	return &plane{
		ctx: ctx, sideHeader: sideHeader, counts: newCounts(), slots: make(chan struct{}, mirrorsAtOnce),
		transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
	}
}

// server is the listener of one Gateway.
type server struct {
	plane *plane
	url   string // http://127.0.0.1:PORT
	http  *http.Server
	table atomic.Pointer[[]entry]
}

func (p *plane) listen() (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a Gateway: %w", err)
	}
	s := &server{plane: p, url: "http://" + l.Addr().String()}
	s.table.Store(&[]entry{})
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = s.http.Serve(l) }() // until it is closed
	return s, nil
}

// ServeHTTP is for one request of a client.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := find(*s.table.Load(), r)
	if e == nil {
		s.plane.refuse(w, Key{Code: http.StatusNotFound}, "no route for this request")
		return
	}
	key := Key{Route: e.route}
	var b *weighted
	if e.action.total > 0 {
		b = e.action.draw(rand.Int64N(e.action.total))
	}
	if b == nil {
		key.Code = http.StatusInternalServerError
		s.plane.refuse(w, key, "no backend has a weight")
		return
	}
	key.Backend, key.Side = b.service, b.side
	if len(e.action.mirrors) > 0 {
		s.plane.mirror(e, r)
	}
	if b.invalid {
		key.Code = http.StatusInternalServerError
		s.plane.refuse(w, key, "the backend is not valid")
		return
	}
	target, err := url.Parse(b.url)
	if err != nil || b.url == "" {
		key.Code = http.StatusServiceUnavailable
		s.plane.refuse(w, key, "the Service has no endpoint")
		return
	}
	s.plane.pass(w, r, target, key, e, b)
}

// refuse answers in place of a backend.
func (p *plane) refuse(w http.ResponseWriter, key Key, why string) {
	p.counts.add(key)
	http.Error(w, "fixture gateway: "+why, key.Code)
}

// pass sends a request to its backend, and the answer back.
func (p *plane) pass(w http.ResponseWriter, r *http.Request, target *url.URL, key Key, e *entry, b *weighted) {
	filters := slices.Concat(e.action.filters, b.filters)
	proxy := &httputil.ReverseProxy{
		Transport: p.transport, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = target.Scheme, target.Host
			pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			pr.SetXForwarded()
			rewrite(pr.Out, filters, e.match.Path.Value)
		},
		ModifyResponse: func(resp *http.Response) error {
			key.Code = resp.StatusCode
			p.counts.add(key)
			if p.sideHeader != "" {
				resp.Header.Set(p.sideHeader, key.Side)
			}
			for _, f := range filters {
				f.ResponseHeaderModifier.change(resp.Header)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			key.Code = http.StatusBadGateway
			if errors.Is(r.Context().Err(), context.Canceled) {
				key.Code = gone
			}
			p.counts.add(key)
			http.Error(w, "fixture gateway: "+err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// mirror sends copies of a request, as its filters have changed it, and forgets
// their answers. It never delays the request but for reading its body, and
// drops copies where too many are under way or the body is too long.
func (p *plane) mirror(e *entry, r *http.Request) {
	var to []mirror
	for _, m := range e.action.mirrors {
		if rand.Int64N(m.denominator) < m.numerator {
			to = append(to, m)
		}
	}
	if len(to) == 0 {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMirrored+1))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	for _, m := range to {
		key := Key{Route: e.route, Backend: m.service, Side: m.side, Mirror: true}
		out, bad := copyOf(r, m.url, body)
		if bad != nil || err != nil || len(body) > maxMirrored {
			p.counts.add(key)
			continue
		}
		rewrite(out, e.action.filters, e.match.Path.Value)
		select {
		case p.slots <- struct{}{}:
			go func() {
				defer func() { <-p.slots }()
				key.Code = p.send(out)
				p.counts.add(key)
			}()
		default:
			p.counts.add(key)
		}
	}
}

// settle returns when no mirror is under way, and lets none begin until it has
// released the slots.
func (p *plane) settle() (release func()) {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	return func() {
		for range cap(p.slots) {
			<-p.slots
		}
	}
}

// copyOf is a request of its own for another backend.
func copyOf(r *http.Request, backend string, body []byte) (*http.Request, error) {
	target, err := url.Parse(backend)
	if err != nil {
		return nil, err
	}
	if target.Host == "" {
		return nil, errors.New("the Service has no endpoint")
	}
	out := r.Clone(context.Background()) // the client's end is not its end
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = target.Scheme, target.Host
	for _, hop := range []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		out.Header.Del(hop)
	}
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	return out, nil
}

// send returns the code of the answer, 0 where there is none.
func (p *plane) send(out *http.Request) int {
	ctx, cancel := context.WithTimeout(p.ctx, mirrorTimeout)
	defer cancel()
	resp, err := p.transport.RoundTrip(out.WithContext(ctx))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.StatusCode
}
