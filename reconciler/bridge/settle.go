package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// errNoReplica: writes could go on unseen.
var errNoReplica = errors.New("no bridge is known")

// leaver are Replicas of which some may end their requests while they get no new
// ones.
type leaver interface {
	// Leaving are their admin addresses.
	Leaving(ctx context.Context) ([]string, error)
}

// Settle returns when every replica has read the ownership table up to a revision
// and has no write to the entity under way. Replicas that became ready meanwhile
// are asked too: one that was not has read the table since.
func (g *Gateway) Settle(ctx context.Context, p *plan.Plan, id string, revision int64) error {
	settled := map[string]bool{}
	for {
		urls, err := g.list(ctx)
		if err == nil && len(urls) == 0 {
			err = errNoReplica
		}
		if err != nil {
			return err
		}
		if l, ok := g.o.Replicas.(leaver); ok {
			leaving, err := l.Leaving(ctx)
			if err != nil {
				return err
			}
			urls = append(urls, leaving...)
		}
		var fresh []string
		for _, u := range urls {
			if !settled[u] {
				fresh, settled[u] = append(fresh, u), true
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		failed := make([]error, len(fresh))
		var wg sync.WaitGroup
		for i, u := range fresh {
			wg.Go(func() { failed[i] = g.settle(ctx, u, p.Metadata.Name, id, revision) })
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
}

// settle asks one replica.
func (g *Gateway) settle(ctx context.Context, base, name, id string, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Probe)
	defer cancel()
	q := url.Values{"id": {id}, "revision": {strconv.FormatInt(revision, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+bridge.SettlePath(name)+"?"+q.Encode(), nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", base, err)
	}
	res, err := g.o.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s", base, plainly(err))
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(res.Body, maxWhy)) // the status says enough
	return fmt.Errorf("%s answers with status %d: %s", base, res.StatusCode, strings.TrimSpace(string(why)))
}

// maxWhy bounds what is quoted of a bridge's answer, in bytes.
const maxWhy = 512
