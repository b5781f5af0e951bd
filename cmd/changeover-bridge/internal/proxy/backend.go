package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/plan"
)

// Limits of the connections to one backend. Zero fields take the default.
type Limits struct {
	// Dial is how long connecting may take, TLS included; 5s.
	Dial time.Duration
	// Header is how long a backend may take to begin its answer, counted
	// from the end of the request; 60s. The answer itself may take any time.
	Header time.Duration
	// Idle is how long an unused connection is kept; 4s. It must be shorter
	// than what the backends keep theirs: a request with a body that meets a
	// connection just closed by the backend is lost, since only the client
	// may repeat it. Common servers close after 5s.
	Idle time.Duration
	// MaxIdle is how many unused connections are kept; 512.
	MaxIdle int
	// MaxInFlight is how many requests and upgraded connections one side
	// carries at once; more are answered with 503. 8192.
	MaxInFlight int
}

func (l Limits) withDefaults() Limits {
	duration := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	duration(&l.Dial, 5*time.Second)
	duration(&l.Header, 60*time.Second)
	duration(&l.Idle, 4*time.Second)
	if l.MaxIdle == 0 {
		l.MaxIdle = 512
	}
	if l.MaxInFlight == 0 {
		l.MaxInFlight = 8192
	}
	return l
}

// backend is one side: its URL and the pool of connections to it.
type backend struct {
	side      plan.Side
	url       *url.URL
	transport *http.Transport
	max       int64
	inFlight  atomic.Int64
	circuit   circuit
	// logged keeps an outage from writing one line a request.
	logged rate.Sometimes
}

func newBackend(side plan.Side, raw string, l Limits) (*backend, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("parse URL of %s: %w", side, err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS, where the backend offers it
	return &backend{
		side: side,
		url:  u,
		transport: &http.Transport{
			// No Proxy: where requests go is the plan's to say, not the
			// environment's.
			DialContext:            (&net.Dialer{Timeout: l.Dial, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    l.Dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			Protocols:              &protocols,
			ResponseHeaderTimeout:  l.Header,
			ExpectContinueTimeout:  time.Second,
			IdleConnTimeout:        l.Idle,
			MaxIdleConns:           l.MaxIdle,
			MaxIdleConnsPerHost:    l.MaxIdle,
			MaxResponseHeaderBytes: 256 << 10,
			// What the client did not ask for is not added.
			DisableCompression: true,
		},
		max:    int64(l.MaxInFlight),
		logged: rate.Sometimes{First: 1, Interval: time.Second},
	}, nil
}

// enter reports whether one more request may go to the backend; leave must
// follow if so.
func (b *backend) enter() bool {
	if b.inFlight.Add(1) > b.max {
		b.inFlight.Add(-1)
		return false
	}
	return true
}

func (b *backend) leave() { b.inFlight.Add(-1) }
