package prom

import (
	"cmp"
	"errors"
	"net/http"
	"time"
)

// Options of New.
type Options struct {
	// Querier answers in place of the Prometheus at URL, where set. Timeout,
	// HTTP and MaxBytes are then of no effect.
	Querier Querier
	// URL of the Prometheus, with the path below which its API is. User and
	// password in it are sent as basic authentication.
	URL string
	// Timeout of one query, from when it is sent. 10s where zero.
	Timeout time.Duration
	// HTTP is the client to use; nil: one of its own. Redirects are never
	// followed.
	HTTP *http.Client
	// Concurrency is how many queries are under way at once. 4 where zero.
	Concurrency int
	// MaxBytes bounds one answer. 8 MiB where zero.
	MaxBytes int64
	// Tick rounds down the time of the queries, so that plans which are
	// evaluated within one tick share the answers. 1s where zero.
	Tick time.Duration
}

const (
	defaultTimeout     = 10 * time.Second
	defaultConcurrency = 4
	defaultMaxBytes    = 8 << 20
	defaultTick        = time.Second
	// maxMessage bounds what of a server's message is shown, in runes.
	maxMessage = 300
)

// Client asks one Prometheus. It is safe for concurrent use.
type Client struct {
	querier Querier
	tick    time.Duration
	shared  *shared
}

// New makes a client; nothing is sent yet.
func New(o Options) (*Client, error) {
	if o.Timeout < 0 || o.Concurrency < 0 || o.MaxBytes < 0 || o.Tick < 0 {
		return nil, errors.New("check the options of the Prometheus client: timeout, concurrency, size and tick must not be negative")
	}
	concurrency := cmp.Or(o.Concurrency, defaultConcurrency)
	c := &Client{querier: o.Querier, tick: cmp.Or(o.Tick, defaultTick)}
	if c.querier == nil {
		remote, err := newRemote(o, concurrency)
		if err != nil {
			return nil, err
		}
		c.querier = remote
	}
	c.shared = newShared(concurrency, c.query)
	return c, nil
}

// NewQuerier makes the Querier of the Prometheus at a URL, for questions that are
// no needs of gates; nothing is sent yet. Querier, Concurrency and Tick of the
// options are of no effect.
func NewQuerier(o Options) (Querier, error) { return newRemote(o, defaultConcurrency) }
