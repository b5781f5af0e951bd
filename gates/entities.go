package gates

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
)

// Entities is what the last comparison of the inventories with the ownership table
// found.
type Entities struct {
	// Counts of entities: Total of all that are known; Legacy and Modern of those
	// that each side owns; InFlight of legacy's that are being worked on; Orphaned
	// of those with an owner and in no inventory; Unknown of those in an inventory
	// and without an owner; DoubleClaimed of those live on both sides; Mismatched
	// of those whose fields differ.
	Total, Legacy, Modern, InFlight, Orphaned, Unknown, DoubleClaimed, Mismatched int64
	// SyncLag is how old modern's copy of legacy's entities is.
	SyncLag time.Duration
	// Untold says of fields why they are not known, by their name in expressions.
	// It holds no clock.
	Untold map[string]string
	// Why nothing is known; "" where something is. It holds no clock.
	Why string
}

// NoEntities is where nothing is known.
func NoEntities(why string) *Entities { return &Entities{Why: why} }

const (
	entitiesType = "changeover.Entities"
	entitiesFact = "entities"
)

// entityFields in the order in which they are shown.
var entityFields = []string{"total", "legacy", "modern", "inFlight", "orphaned", "unknown", "doubleClaimed", "mismatched", "syncLag"}

func entityTypes() map[string]*cel.Type {
	types := map[string]*cel.Type{}
	for _, f := range entityFields {
		types[f] = cel.IntType
	}
	types["syncLag"] = cel.DurationType
	return types
}

// entities marks what is not known of entities.
func (v *vars) entities() {
	e := v.facts.Entities
	if e == nil || e.Why != "" {
		v.unset = append(v.unset, cel.AttributePattern(entitiesFact))
		return
	}
	for _, f := range entityFields {
		if e.Untold[f] != "" {
			v.unset = append(v.unset, cel.AttributePattern(entitiesFact).QualString(f))
		}
	}
}

func (e *Entities) values() map[string]any {
	if e == nil {
		return nil
	}
	return map[string]any{
		"total": e.Total, "legacy": e.Legacy, "modern": e.Modern, "inFlight": e.InFlight, "orphaned": e.Orphaned, "unknown": e.Unknown,
		"doubleClaimed": e.DoubleClaimed, "mismatched": e.Mismatched, "syncLag": e.SyncLag,
	}
}

// untold reports whether the fact, or a part of it, is unknown.
func (e *Entities) untold(fact string) bool {
	return fact == entitiesFact && (e == nil || e.Why != "" || len(e.Untold) > 0)
}

// describe says what is known of entities, or why it is not. The lag moves with
// the clock, and is not in it.
func (e *Entities) describe() string {
	if e == nil || e.Why != "" {
		why := ""
		if e != nil {
			why = e.Why
		}
		return "entities unknown: " + cmp.Or(why, "not read")
	}
	var parts []string
	values := e.values()
	for _, f := range entityFields {
		switch {
		case e.Untold[f] != "":
			parts = append(parts, fmt.Sprintf("entities.%s unknown: %s", f, e.Untold[f]))
		case f != "syncLag":
			parts = append(parts, fmt.Sprintf("entities.%s=%d", f, values[f]))
		}
	}
	return strings.Join(parts, ", ")
}
