package proxy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Bounds of probes.
const (
	// probeTime is how long modern may take to say whether it has an entity.
	probeTime = 2 * time.Second
	// absentTime is how long it is believed that it has not.
	absentTime = 10 * time.Second
	// absentMost is of how many that is remembered.
	absentMost = 10_000
)

// What came of asking modern.
const (
	probeFound  = "found"
	probeAbsent = "absent" // 404 or 410
	probeFailed = "failed" // anything else
)

// prober asks modern for entities that nobody is known to own. Its method may be
// called from any goroutine.
type prober struct {
	asked *prometheus.CounterVec
	log   *slog.Logger

	mu     sync.Mutex
	absent map[[sha256.Size]byte]time.Time // until when, by what was asked for whom
}

func newProber(m *Metrics, log *slog.Logger) *prober {
	return &prober{asked: m.probes, log: log, absent: map[[sha256.Size]byte]time.Time{}}
}

// has reports whether modern has the entity that a request names, and has it
// recorded as modern's then: the next request needs no asking, and no way back
// strands it. Where modern does not say, it is legacy's: so it is without a probe.
func (p *prober) has(r *http.Request, s *serving, c route.Choice) bool {
	modern := s.sides[plan.Modern]
	u := *modern.url
	u.Path, u.RawPath, u.RawQuery = strings.TrimSuffix(u.Path, "/")+c.Probe, "", ""
	target := askedFor(r, &u)
	if p.knownAbsent(target) || !modern.enter() {
		return false
	}
	defer modern.leave()
	status, err := p.ask(r, modern, &u)
	switch {
	case err != nil:
		modern.logged.Do(func() {
			p.log.Warn("modern was asked for an entity and did not answer: its requests go to legacy", "error", err.Error())
		})
		p.asked.WithLabelValues(probeFailed).Inc()
		return false
	case status == http.StatusNotFound || status == http.StatusGone:
		p.asked.WithLabelValues(probeAbsent).Inc()
		p.remember(target)
		return false
	case status < 200 || status > 299:
		p.asked.WithLabelValues(probeFailed).Inc()
		return false
	}
	p.asked.WithLabelValues(probeFound).Inc()
	if err := s.births.owners.Record(r.Context(), s.births.plan, c.Unknown); err != nil {
		p.log.Error("modern has an entity that nobody was known to own, and that could not be recorded: it is asked again", "id", c.Unknown, "error", err.Error())
	}
	return true
}

// askedFor names an entity and the rights of a caller: many a system answers 404
// to whom it does not show what it has.
func askedFor(r *http.Request, u *url.URL) [sha256.Size]byte {
	rights := [][]string{{u.String(), r.Host}, r.Header.Values("Authorization"), r.Header.Values("Cookie")}
	return sha256.Sum256(fmt.Appendf(nil, "%q", rights))
}

// ask sends a GET in the name of the client, whose rights are what modern goes by.
func (p *prober) ask(r *http.Request, modern *side, u *url.URL) (status int, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, fmt.Errorf("ask modern: %w", err)
	}
	req.Host = r.Host
	for _, name := range []string{"Authorization", "Cookie", "User-Agent", "Accept"} {
		if v := r.Header.Values(name); len(v) > 0 {
			req.Header[name] = v
		}
	}
	req.Header.Set(bridge.HeaderSide, string(plan.Modern))
	res, err := modern.transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("ask modern: %w", err)
	}
	return res.StatusCode, res.Body.Close()
}

func (p *prober) knownAbsent(target [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.absent[target]
	return ok && time.Now().Before(until)
}

func (p *prober) remember(target [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.absent) >= absentMost {
		clear(p.absent)
	}
	p.absent[target] = time.Now().Add(absentTime)
}
