package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Bounds of exchanges.
const (
	maxAnswer = 8 << 20 // bytes of one answer
	maxAsked  = 4       // times that one call is tried
	firstWait = 500 * time.Millisecond
	maxHops   = 3
)

// call is one request of the API.
type call struct {
	name   string // for the metric
	does   string // in words, for errors
	method string
	path   string // escaped, below the API's URL
	query  url.Values
	body   any
}

// idempotent calls may be made twice.
func (c call) idempotent() bool { return c.method != http.MethodPost }

// do makes a call, again where that can help and does no harm, and decodes the
// answer into out, which may be nil. Errors are *Error.
func (c *Client) do(ctx context.Context, cl call, out any) (http.Header, error) {
	for tried := 1; ; tried++ {
		h, err := c.once(ctx, cl, out)
		if err == nil {
			return h, nil
		}
		var e *Error
		if !errors.As(err, &e) || tried == maxAsked {
			return nil, err
		}
		switch {
		case e.again: // once waits for it
		case e.maybe && cl.idempotent():
			if c.pause(ctx, tried) != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// pause waits before the next try.
func (c *Client) pause(ctx context.Context, tried int) error {
	d := firstWait << (tried - 1)
	return c.o.Sleep(ctx, d/2+time.Duration(c.o.Rand()*float64(d)))
}

// admit waits while the forge wants no calls, unless that takes too long.
func (c *Client) admit(ctx context.Context, cl call) error {
	c.mu.Lock()
	until := c.until
	c.mu.Unlock()
	wait := until.Sub(c.o.Now())
	if wait <= 0 {
		return nil
	}
	if wait > c.o.MaxWait {
		return &Error{
			Kind: c.o.Place.Kind, Call: cl.does, Until: until, Text: "the forge's limit of requests is reached",
			Hint: "it takes calls again at " + until.UTC().Format(time.RFC3339),
		}
	}
	c.o.Log.Info("the forge's limit of requests is reached: waiting", "forge", string(c.o.Place.Kind), "call", cl.name, "for", wait.Round(time.Second).String())
	return c.o.Sleep(ctx, wait)
}

func (c *Client) closeUntil(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.until) {
		c.until = at
	}
}

// once makes a call once.
func (c *Client) once(ctx context.Context, cl call, out any) (http.Header, error) {
	fail := func(e *Error) error {
		e.Kind, e.Call = c.o.Place.Kind, cl.does
		return e
	}
	if err := c.admit(ctx, cl); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, fail(&Error{Text: "stopped", cause: err})
	}
	token, err := readToken(c.o.TokenFile)
	if err != nil {
		return nil, fail(&Error{Text: err.Error()})
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	resp, err := c.send(ctx, cl, token)
	if err != nil {
		c.o.Observe(cl.name, "error")
		return nil, fail(unanswered(err, token))
	}
	defer func() { _ = resp.Body.Close() }()
	c.o.Observe(cl.name, strconv.Itoa(resp.StatusCode))
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fail(unanswered(err, token))
	case len(body) > maxAnswer:
		return nil, fail(&Error{Text: fmt.Sprintf("the answer has more than %d MiB", maxAnswer>>20)})
	}
	return c.answer(cl, resp, body, token, out)
}

// answer judges an answer that came whole.
func (c *Client) answer(cl call, resp *http.Response, body []byte, token string, out any) (http.Header, error) {
	now := c.o.Now()
	words := oneLine(said(body), token)
	if until, ok := limited(resp.StatusCode, resp.Header, words, now); ok {
		c.closeUntil(until)
		e := c.refused(cl, resp.StatusCode, words)
		e.Until, e.Hint, e.again = until, "the forge's limit of requests is reached", true
		return nil, e
	}
	if until, ok := spent(resp.Header); ok {
		c.closeUntil(until)
	}
	switch {
	case resp.StatusCode >= 500:
		e := c.refused(cl, resp.StatusCode, words)
		e.maybe = true
		return nil, e
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e := c.refused(cl, resp.StatusCode, "the forge sends elsewhere, where the token does not go")
		e.Hint = "where the repository was renamed, give its new URL"
		return nil, e
	case resp.StatusCode >= 400:
		return nil, c.refused(cl, resp.StatusCode, words)
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, &Error{Kind: c.o.Place.Kind, Call: cl.does, Code: resp.StatusCode, Text: "the answer is not what this API answers: " + oneLine(err.Error(), token), maybe: !cl.idempotent()}
	}
	return resp.Header, nil
}

// send makes the HTTP request.
func (c *Client) send(ctx context.Context, cl call, token string) (*http.Response, error) {
	var body io.Reader
	if cl.body != nil {
		b, err := json.Marshal(cl.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	target := c.o.Place.API + cl.path
	if len(cl.query) > 0 {
		target += "?" + cl.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, cl.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "changeover")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.d.authorize(req.Header, token)
	return c.http.Do(req)
}

// unanswered is the error of a call whose answer did not come.
func unanswered(err error, token string) *Error {
	e := &Error{Text: oneLine(err.Error(), token), maybe: true}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Text, e.cause = "the forge did not answer in time", context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		e.Text, e.cause, e.maybe = "stopped", context.Canceled, false
	}
	return e
}

// said is the message in a forge's error, whose form differs: GitHub and Gitea
// have a text and GitLab any JSON.
func said(body []byte) string {
	var m struct {
		Message          json.RawMessage `json:"message"`
		Error            json.RawMessage `json:"error"`
		ErrorDescription string          `json:"error_description"`
		Errors           json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	text := func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		return string(raw)
	}
	out := text(m.Message)
	for _, more := range []string{text(m.Error), m.ErrorDescription, text(m.Errors)} {
		if more != "" && more != "null" {
			if out != "" {
				out += ": "
			}
			out += more
		}
	}
	return out
}

// sameHost lets a GET follow to where it was asked, such as a renamed
// repository, and nothing go elsewhere: the token would go with it.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxHops || first.Method != http.MethodGet || req.Method != http.MethodGet ||
		req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}
