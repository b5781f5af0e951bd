package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Replicas tells which bridges there are. Its method may be called from any
// goroutine.
type Replicas interface {
	// URLs are the admin addresses of all replicas, at least one, as they are
	// now; the version endpoint is below them. That there is none is an error.
	URLs(ctx context.Context) ([]string, error)
}

// URLs are Replicas that stay the same.
type URLs []string

// URLs implements Replicas.
func (u URLs) URLs(context.Context) ([]string, error) { return u, nil }

func (u URLs) check() error {
	if len(u) == 0 {
		return errors.New("no URL of a bridge is set, so nothing could be observed")
	}
	for _, s := range u {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%q: want an http or https URL of a bridge's admin address, such as http://127.0.0.1:8081", s)
		}
	}
	return nil
}

const (
	// listTimeout is how long it may take to tell which replicas there are.
	listTimeout = 5 * time.Second
	// listAgain is how soon that is asked again where it failed.
	listAgain = 200 * time.Millisecond
)

// list tells which replicas there are, also to a caller that has run out of
// time: it then says of each what was learnt.
func (g *Gateway) list(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	return g.o.Replicas.URLs(ctx)
}

// each runs f for every replica at once, and keeps their order.
func each(urls []string, f func(url string) replica) []replica {
	out := make([]replica, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { out[i] = f(u) })
	}
	wg.Wait()
	return out
}

// ask asks every replica once.
func (g *Gateway) ask(ctx context.Context, name string) ([]replica, error) {
	urls, err := g.list(ctx)
	if err != nil {
		return nil, err
	}
	return each(urls, func(url string) replica { return g.probe(ctx, url, name) }), nil
}

// await asks every replica until it serves the config or refuses the one with
// that digest, or the time is up. Where stopEarly is set one refusal ends it
// for all. Replicas come and go meanwhile: it returns those that are there in
// the end, and fails where that could not be told.
func (g *Gateway) await(ctx context.Context, c bridge.Config, digest string, stopEarly bool) ([]replica, error) {
	within, cancel := context.WithTimeout(ctx, g.o.Timeout)
	defer cancel()
	known := map[string]replica{}
	for {
		urls, err := g.list(ctx)
		if err != nil {
			// Bridges that have just been installed are ready once they have
			// a config.
			select {
			case <-within.Done():
				return nil, err
			case <-time.After(listAgain):
				continue
			}
		}
		var fresh []string
		for _, u := range urls {
			if _, ok := known[u]; !ok {
				fresh = append(fresh, u)
			}
		}
		if len(fresh) == 0 {
			return each(urls, func(url string) replica { return known[url] }), nil
		}
		for _, r := range each(fresh, func(url string) replica {
			r := g.follow(within, url, c, digest)
			if r.refuses && stopEarly {
				cancel()
			}
			return r
		}) {
			known[r.url] = r
		}
	}
}

// follow asks one replica until it serves the config or refuses it, or the
// context ends.
func (g *Gateway) follow(ctx context.Context, url string, c bridge.Config, digest string) replica {
	last := replica{url: url, silent: "was not asked"}
	for {
		r := g.probe(ctx, url, c.Plan.Name)
		if ctx.Err() != nil {
			return last // the answer was cut short
		}
		last = r
		last.serves = r.silent == "" && r.hash == c.Hash
		last.refuses = digest != "" && r.digest == digest && !last.serves
		if last.serves || last.refuses {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(g.o.Interval):
		}
	}
}
