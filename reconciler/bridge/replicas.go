package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/changeover-dev/changeover/render/bridge"
)

// replica is what one bridge answered last.
type replica struct {
	url     string
	hash    string // served for the plan; empty where none
	silent  string // why there is no answer; empty where there is one
	digest  string // of the file that it refuses
	reason  string // of the refusal
	refuses bool   // the file that was waited for
	serves  bool   // the config that was waited for
}

// freshConnections is a client that keeps no connection and knows no proxy.
func freshConnections() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// probe asks one replica for its version.
func (g *Gateway) probe(ctx context.Context, base, name string) replica {
	out := replica{url: base}
	ctx, cancel := context.WithTimeout(ctx, g.o.Probe)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+bridge.VersionPath(name), nil)
	if err != nil {
		out.silent = err.Error()
		return out
	}
	res, err := g.o.HTTP.Do(req)
	if err != nil {
		out.silent = plainly(err)
		return out
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil {
		out.silent = plainly(err)
		return out
	}
	out.digest, out.reason = res.Header.Get(bridge.HeaderRejected), res.Header.Get(bridge.HeaderError)
	switch res.StatusCode {
	case http.StatusOK:
		out.hash = strings.TrimSpace(string(body))
	case http.StatusNotFound, http.StatusServiceUnavailable:
		// It serves another plan, or nothing yet.
	default:
		out.silent = fmt.Sprintf("answers with status %d: is it the admin address of a bridge?", res.StatusCode)
	}
	return out
}

// plainly says why there was no answer, without ports that change from one
// question to the next.
func plainly(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return "does not answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return "cannot be reached: " + op.Op + ": " + op.Err.Error()
	}
	return "cannot be reached: " + err.Error()
}

// sorted says which replicas refuse, and which others do not serve what was
// waited for.
func sorted(replicas []replica) (refused, behind []string) {
	for _, r := range replicas {
		switch {
		case r.serves:
		case r.refuses:
			refused = append(refused, r.url+" says: "+r.reason)
		default:
			behind = append(behind, r.state())
		}
	}
	return refused, behind
}

// state says what a replica does.
func (r replica) state() string {
	switch {
	case r.silent != "":
		return r.url + " " + r.silent
	case r.hash == "":
		return r.url + " does not serve the plan yet"
	}
	return r.url + " still serves " + r.hash
}

// differs says how a replica stands to a render; empty where it serves it.
func (r replica) differs(want bridge.Config) string {
	switch {
	case r.silent == "" && r.digest != "":
		return fmt.Sprintf("%s refuses the config: %s", r.url, r.reason)
	case r.silent == "" && r.hash == want.Hash:
		return ""
	}
	return r.state()
}

// common is the hash that all replicas serve; empty where they differ.
func common(replicas []replica) string {
	if len(replicas) == 0 {
		return ""
	}
	for _, r := range replicas {
		if r.silent != "" || r.hash != replicas[0].hash {
			return ""
		}
	}
	return replicas[0].hash
}
