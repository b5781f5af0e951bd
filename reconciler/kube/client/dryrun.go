package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DryRun goes into the options of every call that writes: nil, or what asks the
// API server to answer as if it had written.
func (c *Client) DryRun() []string {
	if !c.shared.dry {
		return nil
	}
	return []string{metav1.DryRunAll}
}

// ErrNotDry says that a request of a client for dry runs would have written.
var ErrNotDry = errors.New("nothing is sent: the request would write, and this is a dry run")

// dryOnly sends no request that writes, whoever has forgotten to say that it is
// a dry run.
type dryOnly struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d *dryOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return d.next.RoundTrip(r)
	}
	if slices.Contains(r.URL.Query()["dryRun"], metav1.DryRunAll) {
		return d.next.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read a request: %w", err)
		}
	}
	// A deletion has its options in the body.
	var o metav1.DeleteOptions
	if r.Method != http.MethodDelete || json.Unmarshal(body, &o) != nil || !slices.Contains(o.DryRun, metav1.DryRunAll) {
		return nil, ErrNotDry
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return d.next.RoundTrip(r)
}

// WrappedRoundTripper is what client-go looks for to close connections.
func (d *dryOnly) WrappedRoundTripper() http.RoundTripper { return d.next }
