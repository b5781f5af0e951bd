package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Options of a Client. Those without a default are required.
type Options struct {
	Place Place
	// TokenFile is read at each call.
	TokenFile string
	// User whose comments are ours; the token's own where empty, which not
	// every kind of token may ask for.
	User string
	// PlainHTTP allows http to other machines.
	PlainHTTP bool
	// Now, Sleep and Rand, a number from 0 to 1.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	Rand  func() float64
	// Timeout of one exchange; 20 s where zero.
	Timeout time.Duration
	// MaxWait for a limit of the forge; 30 s where zero. Beyond it calls fail.
	MaxWait time.Duration
	Log     *slog.Logger
	// Observe counts a request; it may be nil.
	Observe func(call, code string)
}

// dialect is what one kind of forge calls things.
type dialect interface {
	authorize(h http.Header, token string)
	needs(call string) string
	headRef(number int) string

	user() (call, answer[string])
	pulls(q pullQuery, page int) (call, answer[[]Pull])
	statuses(commit, context string, page int) (call, answer[[]Status])
	setStatus(commit string, s Status) call
	comments(number, page int) (call, answer[[]comment])
	addComment(number int, text string) call
	editComment(number int, id int64, text string) call
	open(n NewPull) (call, answer[Pull])
}

// answer is decoded from JSON and then has a value.
type answer[T any] interface{ value() T }

// pullQuery says which pull requests are wanted. A forge may answer more.
type pullQuery struct {
	base, branch string
	closed       bool // those as well
}

type comment struct {
	id   int64
	user string
	text string
}

// Client is one repository of a forge. It may be used by several goroutines.
type Client struct {
	o    Options
	d    dialect
	http *http.Client

	mu    sync.Mutex
	until time.Time // no call before
	who   string    // the token's user
	whose string    // the token of which that was asked
}

// New makes a client; it asks nothing yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Place.API)
	if err != nil || u.Host == "" {
		return nil, errors.New("the forge's URL does not parse: want https://HOST")
	}
	if u.Scheme != "https" && !o.PlainHTTP && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("the forge's token is not sent over plain http to %s: use https, or allow it with --forge-plain-http", u.Host)
	}
	c := &Client{o: o}
	switch o.Place.Kind {
	case GitHub:
		c.d = github{project: o.Place.Project}
	case GitLab:
		c.d = gitlab{project: url.PathEscape(o.Place.Project)}
	case Gitea:
		c.d = gitea{project: o.Place.Project}
	default:
		return nil, fmt.Errorf("forge %q: want github, gitlab or gitea", o.Place.Kind)
	}
	c.o.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	c.o.MaxWait = cmp.Or(o.MaxWait, 30*time.Second)
	if c.o.Observe == nil {
		c.o.Observe = func(string, string) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 1 << 20
	c.http = &http.Client{Transport: transport, CheckRedirect: sameHost}
	return c, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// HeadRef is where the commits of a pull request are, in its own repository.
func (c *Client) HeadRef(number int) string { return c.d.headRef(number) }

// Bounds of pages: of pull requests, and of comments of one.
const (
	maxPullPages    = 20
	maxCommentPages = 50
)

// Pulls lists the open pull requests against a branch, at most about a thousand.
func (c *Client) Pulls(ctx context.Context, base string) ([]Pull, error) {
	return c.list(ctx, pullQuery{base: base})
}

func (c *Client) list(ctx context.Context, q pullQuery) ([]Pull, error) {
	var out []Pull
	for page := 1; page <= maxPullPages; page++ {
		cl, ans := c.d.pulls(q, page)
		h, err := c.do(ctx, cl, ans)
		if err != nil {
			return nil, err
		}
		for _, p := range ans.value() {
			if p.Base == q.base && p.Head != "" && (p.Open || q.closed) && (q.branch == "" || p.Branch == q.branch && !p.Fork) {
				out = append(out, p)
			}
		}
		if !hasNext(h) {
			return out, nil
		}
	}
	c.o.Log.Warn("there are more pull requests than are looked at", "looked_at", len(out))
	return out, nil
}
