package git

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// maxCA bounds a file of certificates: whole bundles have some 250 kB.
const maxCA = 4 << 20

// newRoundTripper is how https is spoken: through the proxy, if any, and with
// the certificates that are trusted.
func newRoundTripper(o Options) (http.RoundTripper, error) {
	proxy, err := o.proxy()
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	if proxy != nil {
		base.Proxy = http.ProxyURL(proxy)
	}
	if o.CAFile == "" {
		return base, nil
	}
	r := &rereading{base: base, file: o.CAFile}
	_, err = r.current() // what cannot be read at the start is a mistake
	return r, err
}

// rereading trusts the authorities in a file, as it is now. It may be used by
// several goroutines.
type rereading struct {
	base *http.Transport
	file string

	mu   sync.Mutex
	pem  []byte
	with *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (r *rereading) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := r.current()
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

func (r *rereading) current() (*http.Transport, error) {
	info, err := os.Stat(r.file)
	if err == nil && info.Size() > maxCA {
		err = fmt.Errorf("%q has %d bytes, more than %d", r.file, info.Size(), maxCA)
	}
	var pem []byte
	if err == nil {
		pem, err = os.ReadFile(r.file)
	}
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.with != nil && bytes.Equal(pem, r.pem) {
		return r.with, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificates: %q holds none; want PEM, with BEGIN CERTIFICATE", r.file)
	}
	if r.with != nil {
		r.with.CloseIdleConnections()
	}
	r.pem, r.with = pem, r.base.Clone()
	r.with.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return r.with, nil
}
