package nginx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// prober asks an nginx for the version that it serves, each time over a fresh
// connection: one that is kept alive stays with a worker of the old config.
type prober struct {
	url, host string
	client    *http.Client
}

func newProber(u *url.URL, host string) prober {
	dialer := &net.Dialer{Timeout: time.Second}
	config := &tls.Config{ServerName: host}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		// No certificate names a loopback address, nobody stands between, and
		// the answer is worth nothing but for its hash.
		config.InsecureSkipVerify = true
	}
	return prober{url: strings.TrimRight(u.String(), "/"), host: host, client: &http.Client{
		Timeout:       2 * time.Second,
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer of one worker.
type answer struct {
	hash, pid string
	status    int
	err       error // no answer at all
}

func (p prober) ask(ctx context.Context, path string) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return answer{err: err}
	}
	req.Host = p.host
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return answer{err: err}
	}
	a := answer{status: resp.StatusCode}
	if fields := strings.Fields(string(body)); resp.StatusCode == http.StatusOK && len(fields) == 2 {
		a.hash, a.pid = fields[0], fields[1]
	}
	return a
}

// burst asks n times at once, so that several workers get to answer: an idle
// nginx may let one worker take every connection that comes alone.
func (p prober) burst(ctx context.Context, path string, n int) answers {
	out := make(answers, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = p.ask(ctx, path) })
	}
	wg.Wait()
	return out
}

// sampleSize is the number of connections by which a settled nginx is judged.
const sampleSize = 8

func (p prober) sample(ctx context.Context, path string) answers {
	return p.burst(ctx, path, sampleSize)
}

// inARow is how many fresh connections must get the new config one after
// another before the old one counts as gone, once every worker has answered;
// longRow is how many must where some worker has not, over at least a second.
const (
	inARow  = 20
	longRow = 200
)

// await asks until every worker has answered with the hash and then enough
// fresh connections in a row got it. Where some workers never get to answer,
// because the kernel prefers others, a long row without the old config is
// enough: workers of the old config stop accepting when they are told to go.
func (p prober) await(ctx context.Context, path, hash string, workers int) error {
	pids := make(map[string]bool)
	row := 0
	var begun time.Time // of the row
	var other answer    // the last that was not the new config
	for {
		got := p.burst(ctx, path, min(max(workers, 4), 16))
		for _, a := range got {
			if a.err != nil || a.hash != hash {
				row = 0
				if ctx.Err() == nil || other == (answer{}) {
					other = a // at the end all that is said is that it is the end
				}
				continue
			}
			if row == 0 {
				begun = time.Now()
			}
			row++
			pids[a.pid] = true
		}
		everyWorker := len(pids) >= workers && row >= inARow
		settled := row >= longRow && time.Since(begun) >= time.Second
		if row > 0 && (everyWorker || settled) {
			return nil
		}
		select {
		case <-ctx.Done():
			if len(pids) > 0 && ctx.Err() == context.Canceled {
				return fmt.Errorf("wait for the new config: %w", ctx.Err())
			}
			return fmt.Errorf("wait for the new config %s: it was not served everywhere in time: %s", hash, other)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// String says what was answered, for people.
func (a answer) String() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.hash != "":
		return "a worker still serves config " + a.hash
	case a.status == http.StatusForbidden:
		return "the version is refused (403): it is answered to callers on nginx's own machine only, so the URL must lead there by the loopback address"
	case a.status == http.StatusNotFound:
		return "there is no version (404): the server block that the URL leads to must include changeover/*.locations.conf"
	}
	return fmt.Sprintf("the version is answered with status %d", a.status)
}

// answers of a sample.
type answers []answer

// one returns the hash that all agree on, else "".
func (s answers) one() string {
	for _, a := range s {
		if a.hash != s[0].hash {
			return ""
		}
	}
	return s[0].hash
}

func (s answers) all(hash string) bool { return s.one() == hash }

// down reports whether nobody listens.
func (s answers) down() bool {
	return !slices.ContainsFunc(s, func(a answer) bool {
		var op *net.OpError
		return a.err == nil || !errors.As(a.err, &op) || op.Op != "dial"
	})
}

// explain says why the sample is not of the hash that is written.
func (s answers) explain(hash string, o Options) string {
	if s.down() {
		return fmt.Sprintf("nginx does not listen at %s: is it running?", o.URL)
	}
	for _, a := range s {
		switch {
		case a.err != nil:
			// The error names ports that differ each time.
			return fmt.Sprintf("nginx at %s did not answer every time", o.URL)
		case a.hash == "":
			return a.String()
		case a.hash != hash:
			return fmt.Sprintf("nginx serves config %s, but %s is written: it was not reloaded", a.hash, hash)
		}
	}
	return ""
}
