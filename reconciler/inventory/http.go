package inventory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
)

// pages is an inventory in JSON by HTTP.
type pages struct {
	base
	spec   *plan.HTTPInventory
	caller *call.Caller
}

const (
	// maxPages bounds a chain of links.
	maxPages = 100_000
	// pageTimeout is how long one page may take.
	pageTimeout = time.Minute
)

func (p *pages) List(ctx context.Context, each func(Item) error) error {
	seen := map[[sha256.Size]byte]bool{}
	next := p.spec.URL
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list %s: page %d: %w", p.name, n, err)
		}
		hash := sha256.Sum256([]byte(next))
		switch {
		case seen[hash]:
			return fmt.Errorf("list %s: page %d: the link to the next page leads back to one that was read: the list never ends", p.name, n)
		case n > maxPages:
			return fmt.Errorf("list %s: there are more than %d pages", p.name, maxPages)
		}
		seen[hash] = true
		items, link, err := p.page(ctx, next)
		if err != nil {
			return fmt.Errorf("list %s: page %d: %w", p.name, n, err)
		}
		for _, v := range items {
			if err := each(p.item(ctx, v)); err != nil {
				return err
			}
		}
		if link == "" {
			return nil
		}
		if next, err = resolve(next, link); err != nil {
			return fmt.Errorf("list %s: page %d: %w", p.name, n, err)
		}
	}
}

func (p *pages) page(ctx context.Context, raw string) (items []any, next string, err error) {
	a, err := p.get(ctx, raw)
	if err != nil {
		return nil, "", err
	}
	body, err := a.JSON()
	if err != nil {
		return nil, "", err
	}
	return p.side.Page(ctx, body, a.Header)
}

func (p *pages) get(ctx context.Context, raw string) (*call.Answer, error) {
	header := http.Header{}
	for name, value := range p.spec.Headers {
		header.Set(name, value)
	}
	return p.caller.Send(ctx, call.Request{
		Name: p.name + ".http", Method: http.MethodGet, URL: raw, Header: header, Token: p.spec.BearerTokenFile,
		MaxBody: p.spec.MaxPage, Timeout: pageTimeout,
	})
}

// resolve follows a link. The token goes along, so it must stay at its host.
func resolve(from, link string) (string, error) {
	base, err := url.Parse(from)
	if err != nil {
		return "", fmt.Errorf("read the URL of the page: %w", err)
	}
	u, err := base.Parse(link)
	switch {
	case err != nil:
		return "", fmt.Errorf("the link to the next page is no URL")
	case u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil:
		return "", fmt.Errorf("the link to the next page leads to another host, %s", u.Host)
	}
	u.Fragment = ""
	return u.String(), nil
}

func (p *pages) Get(ctx context.Context, id string) (Item, error) {
	raw, err := p.side.ItemURL(ctx, id)
	switch {
	case err != nil:
		return Item{}, err
	case raw == "":
		return Item{}, fmt.Errorf("%w: %s.http.item is not given", ErrNoGet, p.name)
	}
	a, err := p.get(ctx, raw)
	if err != nil {
		return Item{}, err
	}
	body, err := a.JSON()
	if err != nil {
		return Item{}, fmt.Errorf("get entity %q from %s: %w", id, p.name, err)
	}
	return p.asked(ctx, id, body)
}
