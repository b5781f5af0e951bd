package gates

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/plan"
)

// What only a bridge knows: who calls which side, and how modern's answers to
// copies compare with legacy's.

// Clients are how many called each side within the last hour.
type Clients struct{ Legacy, Modern int }

// Shadow sums up the comparisons of the routes that the stop compares, since they
// are compared in this way: stops with equal ones go on.
type Shadow struct {
	// MatchRate is the share of the comparisons that matched, from 0 to 1.
	MatchRate float64
	// Coverage is the share of the eligible requests that were compared.
	Coverage    float64
	Comparisons int64
}

// Bridges is what the bridges of a plan tell. What is nil is unknown.
type Bridges struct {
	Clients *Clients
	Shadow  *Shadow
	// NoClients and NoShadow say why these are nil. They hold no clock.
	NoClients, NoShadow string
}

// NoBridges is where nothing is told at all.
func NoBridges(why string) Bridges { return Bridges{NoClients: why, NoShadow: why} }

var (
	clientsPattern = cel.AttributePattern("clients")
	shadowPattern  = cel.AttributePattern("shadow")
)

// byBridges are the facts that only bridges tell.
var byBridges = []string{"clients", "shadow"}

// ReadsBridges reports whether gates of the requests read what bridges tell.
func (p *Program) ReadsBridges(reqs []Request) (out bool) {
	for _, r := range reqs {
		p.gates(r, func(_ plan.Effect, g *gate) {
			out = out || slices.ContainsFunc(byBridges, func(f string) bool { return slices.Contains(g.expr.facts, f) })
		})
	}
	return out
}

// bridges marks what the bridges do not tell.
func (v *vars) bridges() {
	if v.facts.Bridges.Clients == nil {
		v.unset = append(v.unset, clientsPattern)
	}
	if v.facts.Bridges.Shadow == nil {
		v.unset = append(v.unset, shadowPattern)
	}
}

func (b Bridges) clients() map[string]any {
	if b.Clients == nil {
		return nil
	}
	return map[string]any{"legacy": int64(b.Clients.Legacy), "modern": int64(b.Clients.Modern)}
}

func (b Bridges) shadow() map[string]any {
	if b.Shadow == nil {
		return nil
	}
	return map[string]any{"matchRate": b.Shadow.MatchRate, "coverage": b.Shadow.Coverage, "comparisons": b.Shadow.Comparisons}
}

// untold reports whether a fact of the bridges is unknown.
func (b Bridges) untold(fact string) bool {
	return fact == "clients" && b.Clients == nil || fact == "shadow" && b.Shadow == nil
}

// describe says what the bridges tell of one fact, or why they do not.
func (b Bridges) describe(fact string) string {
	why := b.NoClients
	if fact == "shadow" {
		why = b.NoShadow
	}
	switch {
	case b.untold(fact):
		return fact + " unknown: " + cmp.Or(why, "not read")
	case fact == "clients":
		return fmt.Sprintf("clients.legacy=%d, clients.modern=%d", b.Clients.Legacy, b.Clients.Modern)
	}
	return fmt.Sprintf("shadow.matchRate=%s, shadow.coverage=%s, shadow.comparisons=%d",
		number(b.Shadow.MatchRate), number(b.Shadow.Coverage), b.Shadow.Comparisons)
}
