package client

import (
	"fmt"
	"net/http"
)

// fenced sends no request that writes while the fence is closed. A step of a
// move is many requests: one that was under way when the daemon was stopped for
// a while must not go on when another leads.
type fenced struct {
	next  http.RoundTripper
	fence func() error
}

// RoundTrip implements http.RoundTripper.
func (f *fenced) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		if err := f.fence(); err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, fmt.Errorf("nothing is written: %w", err)
		}
	}
	return f.next.RoundTrip(r)
}

// WrappedRoundTripper is what client-go looks for to close connections.
func (f *fenced) WrappedRoundTripper() http.RoundTripper { return f.next }
