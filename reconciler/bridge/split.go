package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/split"
	"github.com/changeover-dev/changeover/render/bridge"
)

var _ reconciler.Splitter = (*Gateway)(nil)

// maxSplit bounds the answer of one bridge: a rule takes less than 8 KiB.
const maxSplit = bridge.MaxRules * 8 << 10

// Split asks every replica how it has split requests since it serves the stop.
// What replicas answered is returned with the error of those that did not, or
// that serve another config, whose rules may be others.
func (g *Gateway) Split(ctx context.Context, p *plan.Plan, stop plan.Position) ([]split.Reading, error) {
	want, err := bridge.Render(p, stop)
	if err != nil {
		return nil, fmt.Errorf("read the split of plan %q: %w", p.Key(), err)
	}
	urls, err := g.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the split of plan %q: %w", p.Key(), err)
	}
	answers, failed := make([]bridge.Split, len(urls)), make([]error, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { answers[i], failed[i] = g.askSplit(ctx, u, want.Plan.Name) })
	}
	wg.Wait()
	var out []split.Reading
	for i, a := range answers {
		if failed[i] == nil && a.Hash != want.Hash {
			failed[i] = fmt.Errorf("%s serves %s", urls[i], a.Hash)
		}
		if failed[i] != nil {
			continue
		}
		for _, r := range a.Routes {
			if r.Rule < 0 || r.Rule >= len(want.Rules) || want.Rules[r.Rule].Percent == nil {
				failed[i] = fmt.Errorf("%s counts a split of routes[%d], which has none", urls[i], r.Rule)
				break
			}
			out = append(out, readingOf(urls[i], a, r, *want.Rules[r.Rule].Percent))
		}
	}
	return out, errors.Join(failed...)
}

func readingOf(url string, a bridge.Split, r bridge.SplitRoute, percent plan.Percent) split.Reading {
	out := split.Reading{Source: url, Route: fmt.Sprintf("routes[%d]", r.Rule), Percent: percent, Since: a.Since}
	for i := range r.Legacy {
		p := &out.Keyed[split.Bin(i*plan.Buckets/bridge.Bins)]
		p.Legacy += r.Legacy[i]
		p.Modern += r.Modern[i]
	}
	out.Random = split.Pair{Legacy: r.RandomLegacy, Modern: r.RandomModern}
	return out
}

// askSplit asks one replica.
func (g *Gateway) askSplit(ctx context.Context, base, name string) (out bridge.Split, err error) {
	return out, g.askJSON(ctx, base, bridge.SplitPath(name), &out)
}

// askJSON asks one replica for what it tells at a path.
func (g *Gateway) askJSON(ctx context.Context, base, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Probe)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", base, err)
	}
	res, err := g.o.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s", base, plainly(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxSplit))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s", base, plainly(err))
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers with status %d: it serves another plan, or is of an older release", base, res.StatusCode)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s does not answer in the form that is wanted: is it of another release?", base)
	}
	return nil
}
