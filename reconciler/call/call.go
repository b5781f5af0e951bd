package call

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/entity"
	"github.com/changeover-dev/changeover/render/translate"
)

// Options of a Caller.
type Options struct {
	// AllowHosts are the hosts that plans may call: HOST, for all its ports, or
	// HOST:PORT. None: no call is made.
	AllowHosts []string
	Secrets    Secrets
	// UserAgent of the requests.
	UserAgent string
}

// Caller sends requests. Its methods may be called from any goroutine.
type Caller struct {
	o     Options
	hosts hosts
	http  *http.Client
}

// maxAnswer is the largest answer to a call, in bytes.
const maxAnswer = 4 << 20

// New returns a Caller.
func New(o Options) (*Caller, error) {
	h, err := parseHosts(o.AllowHosts)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: dialable}
	c := &Caller{o: o, hosts: h}
	c.http = &http.Client{
		// No proxy: it would connect to what is refused here.
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: 60 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: redirect,
	}
	return c, nil
}

// Close ends the connections that are idle.
func (c *Caller) Close() { c.http.CloseIdleConnections() }

// redirect follows reads within one host. The answer itself is what others get.
func redirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	read := first.Method == http.MethodGet || first.Method == http.MethodHead
	if !read || len(via) > 5 || r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Answer to a request.
type Answer struct {
	Status int
	// Header by names in lower case; of several of one name the first.
	Header map[string]string
	Body   []byte
}

// JSON is the body; nil where there is none.
func (a *Answer) JSON() (any, error) { return translate.Decode(a.Body) }

// ErrNotFound is where a side does not have an entity: it answers 404 or 410.
var ErrNotFound = errors.New("not found")

// Error is a request that did not succeed. Its text holds no secret, no query of a
// URL and nothing of a body.
type Error struct {
	// Name of the call in a plan, below spec.entities.
	Name string
	// Status that was answered; 0: none was.
	Status int
	// Temporary: the same request may succeed later.
	Temporary bool
	Why       string
}

// Error names the call.
func (e *Error) Error() string { return e.Name + ": " + e.Why }

// Is reports whether the entity is not there.
func (e *Error) Is(target error) bool {
	return target == ErrNotFound && (e.Status == http.StatusNotFound || e.Status == http.StatusGone)
}

// Do makes a plan's call for one entity. Errors are *Error or *entity.Failure.
func (c *Caller) Do(ctx context.Context, call *entity.Call, id string, item map[string]any) (*Answer, error) {
	r, err := call.Build(ctx, id, item)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for _, f := range r.Header {
		header.Set(f.Name, f.Value)
	}
	return c.Send(ctx, Request{
		Name: call.Name, Method: r.Method, URL: r.URL, Header: header, Body: r.Body, Token: call.Spec.BearerTokenFile,
		Expect: call.Spec.Expect, Timeout: time.Duration(call.Spec.Timeout), MaxBody: maxAnswer,
	})
}

// Fetch makes a plan's call and reads the answer's JSON.
func (c *Caller) Fetch(ctx context.Context, call *entity.Call, id string, item map[string]any) (any, error) {
	a, err := c.Do(ctx, call, id, item)
	if err != nil {
		return nil, err
	}
	v, err := a.JSON()
	if err != nil {
		return nil, &Error{Name: call.Name, Status: a.Status, Why: fmt.Sprintf("read the answer: %v", err)}
	}
	return v, nil
}

// Request to send.
type Request struct {
	// Name for errors.
	Name        string
	Method, URL string
	Header      http.Header
	Body        []byte
	// Token is the name of the file with the bearer token; "": none.
	Token string
	// Expect are the codes of success; none: 200 to 299.
	Expect  []int
	Timeout time.Duration
	// MaxBody of the answer in bytes.
	MaxBody int
}

// Send sends a request once. Errors are *Error.
func (c *Caller) Send(ctx context.Context, r Request) (*Answer, error) {
	fail := func(temporary bool, why string) (*Answer, error) {
		return nil, &Error{Name: r.Name, Temporary: temporary, Why: why}
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.User != nil || u.Host == "" {
		return fail(false, "it is no absolute URL without a user")
	}
	if err := c.hosts.allow(u); err != nil {
		return fail(false, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, time.Duration(plan.DefaultCallTimeout)))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return fail(false, "the request cannot be made")
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", cmp.Or(c.o.UserAgent, "changeover"))
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if r.Token != "" {
		token, err := c.o.Secrets.token(r.Token)
		if err != nil {
			return fail(true, err.Error())
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := c.exchange(req, r.MaxBody)
	if err != nil {
		return fail(true, fmt.Sprintf("%s %s: %s", r.Method, shown(u), plain(err)))
	}
	if !expected(r.Expect, a.Status) {
		return nil, &Error{
			Name: r.Name, Status: a.Status, Temporary: a.Status >= 500 || slices.Contains([]int{408, 425, 429}, a.Status),
			Why: fmt.Sprintf("%s %s answered %d%s", r.Method, shown(u), a.Status, hint(a.Status)),
		}
	}
	return a, nil
}

func expected(want []int, got int) bool {
	if len(want) == 0 {
		return got >= 200 && got < 300
	}
	return slices.Contains(want, got)
}

func hint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ": see bearerTokenFile"
	case status >= 300 && status < 400:
		return ": redirects are followed only for reads within one host"
	}
	return ""
}

func (c *Caller) exchange(req *http.Request, max int) (*Answer, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // what was read counts
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(max)+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > max {
		return nil, fmt.Errorf("the answer is larger than %d bytes", max)
	}
	a := &Answer{Status: resp.StatusCode, Header: map[string]string{}, Body: body}
	for name, values := range resp.Header {
		a.Header[strings.ToLower(name)] = values[0]
	}
	return a, nil
}

// shown is a URL for people: its query may hold more than they should see.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// plain is an error of the client without the URL that it repeats.
func plain(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return "no answer in time"
		}
		return wrapped.Err.Error()
	}
	return err.Error()
}
