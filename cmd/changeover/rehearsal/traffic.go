package rehearsal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/render/nginx"
)

// traffic renders what the gateway would be given, has it tested where that can
// be done without an effect, and puts the rules in words.
func (w *walk) traffic(ctx context.Context, stop plan.Position) ([]string, error) {
	p := w.Plan.Plan
	var err error
	switch g := p.Spec.Gateway; {
	case g.NGINX != nil:
		w.report.Gateway, err = "nginx", w.nginx(ctx, stop)
		if err == nil && g.Bridged() {
			err = readable(p, stop)
		}
	case g.Bridge != nil:
		w.report.Gateway, err = "bridge", readable(p, stop)
	case g.GatewayAPI != nil:
		w.report.Gateway = "gatewayAPI"
		if _, err = gatewayapi.Render(p, stop); err == nil && g.Bridged() {
			err = readable(p, stop)
		}
	}
	if err != nil {
		return nil, err
	}
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = words(r)
	}
	return out, nil
}

func (w *walk) nginx(ctx context.Context, stop plan.Position) error {
	f, err := nginx.Render(w.Plan.Plan, stop)
	if err != nil || w.NGINX == nil {
		return err
	}
	w.report.Tested = true
	if err := w.NGINX(ctx, f); err != nil {
		return fmt.Errorf("nginx -t: %w", err)
	}
	return nil
}

// readable reads the bridge's config as the bridge would.
func readable(p *plan.Plan, stop plan.Position) error {
	c, err := bridge.Render(p, stop)
	if err != nil {
		return err
	}
	b, err := c.Encode()
	if err != nil {
		return err
	}
	_, err = bridge.ParseConfig(b)
	return err
}

// words is a rule in one line.
func words(r render.Rule) string {
	s := selects(r) + " "
	switch {
	case r.Respond != nil:
		s += fmt.Sprintf("answered with %d", r.Respond.Status)
	case r.Split:
		s += fmt.Sprintf("%s %% to modern, %s %% to legacy", r.Percent, 100-r.Percent)
	case r.Owner:
		s += "to the entity's owner"
	default:
		s += "to " + string(r.Side)
	}
	if m := r.Mirror; m != nil {
		if m.Percent != nil {
			s += fmt.Sprintf(", %s %% copied to modern", *m.Percent)
		} else {
			s += ", copied to modern"
		}
	}
	if r.Rewrite != nil {
		s += ", rewritten"
	}
	if r.Translate != "" {
		s += ", translated by " + r.Translate
	}
	return s
}

// selects says which requests a rule is for.
func selects(r render.Rule) string {
	if r.MatchesAll() {
		return "everything"
	}
	var parts []string
	if len(r.Match.Methods) > 0 {
		parts = append(parts, strings.Join(r.Match.Methods, "|"))
	}
	switch m := r.Match; {
	case m.Path != "":
		parts = append(parts, m.Path)
	case m.PathPrefix != "":
		parts = append(parts, strings.TrimSuffix(m.PathPrefix, "/")+"/...")
	case m.PathRegex != "":
		parts = append(parts, "~"+m.PathRegex)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Match.Headers)) {
		parts = append(parts, name+": "+r.Match.Headers[name])
	}
	return strings.Join(parts, " ")
}
