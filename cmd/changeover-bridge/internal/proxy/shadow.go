package proxy

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/shadow"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// comparing is what all configs of a Handler share.
type comparing struct {
	// key goes into the hashes of values, so that nobody finds a value by trying.
	key   []byte
	queue *shadow.Queue
}

func newComparing() comparing {
	key := make([]byte, 32)
	rand.Read(key) // it never fails
	return comparing{key: key, queue: &shadow.Queue{}}
}

// shadows are the comparisons of one config.
type shadows struct {
	byRule []*shadowOf // nil where the rule compares nothing
	repeat *repeat
}

// shadowOf is the comparison of one rule.
type shadowOf struct {
	*shadow.Recorder
	queue  *shadow.Queue
	repeat *repeat
	// content is what the rule compares; what was recorded outlives a config that
	// leaves it as it was.
	content string
}

// repeat sends requests to legacy once more, over connections of its own.
type repeat struct {
	backend   *backend
	url       *url.URL
	transport *http.Transport
}

func newRepeat(b *backend) *repeat {
	t := b.transport.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.ResponseHeaderTimeout = shadow.MaxAgain, shadow.MaxAgain, mirrorTime
	return &repeat{backend: b, url: b.url, transport: t}
}

// shadowsOf makes the comparisons of a config; those that stay keep what they have.
func (h *Handler) shadowsOf(old, s *serving) (*shadows, error) {
	compares := func(r bridge.Rule) bool { return r.Mirror != nil && r.Mirror.Compare != nil }
	routes := 0
	for _, r := range s.config.Rules {
		if compares(r) {
			routes++
		}
	}
	if routes == 0 {
		return nil, nil
	}
	out := &shadows{byRule: make([]*shadowOf, len(s.config.Rules))}
	var was []*shadowOf
	if old != nil && old.shadows != nil && old.config.Plan == s.config.Plan {
		was = slices.Clone(old.shadows.byRule)
		if old.shadows.repeat.backend == s.sides[plan.Legacy].backend {
			out.repeat = old.shadows.repeat
		}
	}
	if out.repeat == nil {
		out.repeat = newRepeat(s.sides[plan.Legacy].backend)
	}
	for i, r := range s.config.Rules {
		if !compares(r) {
			continue
		}
		content, err := json.Marshal([]any{r.Match, r.Mirror, r.Rewrite, s.config.Backends})
		if err != nil {
			return nil, fmt.Errorf("compare by rule %d: %w", i, err)
		}
		rec, err := shadow.New(*r.Mirror, routes, h.compare.key, time.Now())
		if err != nil {
			return nil, fmt.Errorf("compare by rule %d: %w", i, err)
		}
		out.byRule[i] = &shadowOf{Recorder: rec, queue: h.compare.queue, repeat: out.repeat, content: string(content)}
		for k, o := range was {
			if o != nil && o.content == string(content) {
				out.byRule[i].Recorder, was[k] = o.Recorder, nil
				break
			}
		}
	}
	return out, nil
}

// leave closes connections that no config uses any more.
func (s *shadows) leave(next *shadows) {
	if s != nil && (next == nil || next.repeat != s.repeat) {
		s.repeat.transport.CloseIdleConnections()
	}
}

// Shadow is what comparing answers has found for the config that is served; ok is
// false where nothing is compared.
func (h *Handler) Shadow() (out bridge.Shadow, ok bool) {
	s := h.serving.Load()
	if s == nil || s.shadows == nil {
		return out, false
	}
	out = bridge.Shadow{Plan: s.config.Plan, Hash: s.config.Hash, Endpoints: []bridge.ShadowEndpoint{}, Rules: []bridge.ShadowRule{}}
	for i, of := range s.shadows.byRule {
		if of != nil {
			of.Report(i, time.Now(), &out)
		}
	}
	return out, true
}
