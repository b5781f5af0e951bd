package gates

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// describe names what the expression reads with its values, or why they are
// unknown: signals, series by their newest value, baselines, objects, plans,
// approvals, transforms, and the facts that do not move with the clock.
func (e *evaluation) describe() string {
	var parts []string
	for i := range e.readings {
		r := &e.readings[i]
		switch {
		case r.sample.Err != nil:
			parts = append(parts, fmt.Sprintf("%s failed: %v", r.label(), r.sample.Err))
		case r.last.Unknown != "":
			parts = append(parts, fmt.Sprintf("%s unknown: %s", r.label(), r.last.Unknown))
		case r.list != nil:
			parts = append(parts, fmt.Sprintf("%s has %d values, the newest %s", r.label(), r.known, number(r.last.Value)))
		default:
			parts = append(parts, r.label()+"="+number(r.last.Value))
		}
	}
	parts = append(parts, e.describeBaselines()...)
	parts = append(parts, e.describeObjects()...)
	parts = append(parts, e.describePlans()...)
	parts = append(parts, e.describeApprovals()...)
	parts = append(parts, e.describeTransforms()...)
	for _, name := range e.gate.expr.facts {
		switch f := e.snapshot.Facts; name {
		case "position":
			parts = append(parts, "position="+f.Position.String())
		case "declared":
			parts = append(parts, "declared="+f.Declared.String())
		case "health":
			parts = append(parts, fmt.Sprintf("health.cluster=%t, health.gateway=%t", f.Health.Cluster, f.Health.Gateway))
		case "clients", "shadow":
			parts = append(parts, f.Bridges.describe(name))
		case entitiesFact:
			parts = append(parts, f.Entities.describe())
		case "commit":
			parts = append(parts, f.Commit.describe())
		}
	}
	return strings.Join(parts, "; ")
}

// emptyResult explains a result that is unknown although every signal and every
// object is known.
func (e *evaluation) emptyResult(v Verdict) string {
	if v != NoData {
		return ""
	}
	if e.unreadable() || e.unrecorded() || e.unheard() || e.untransformed() {
		return ""
	}
	for i := range e.readings {
		if e.readings[i].last.Unknown != "" {
			return ""
		}
	}
	for _, name := range e.gate.expr.facts {
		if name == "stop" && e.snapshot.Facts.StopSince.IsZero() || name == "phase" && e.snapshot.Facts.PhaseSince.IsZero() {
			return "no stop was entered yet"
		}
	}
	out := "the expression divides by zero or leaves the numbers"
	for _, f := range functions {
		if slices.Contains(e.gate.expr.functions, f.name) {
			out += ", or " + f.unknown
		}
	}
	return out
}

func (e *evaluation) errorDetail(v Verdict, err error) string {
	if v != Error || err == nil {
		return ""
	}
	return shorten(e.rewordObjectError(err.Error()), maxErrorRunes)
}

func joinDetails(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "; ")
}

// number prints six significant digits, without an exponent where that is
// readable.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'g', 6, 64)
	if a := math.Abs(f); a >= 1e-6 && a < 1e15 {
		if short, err := strconv.ParseFloat(s, 64); err == nil {
			return strconv.FormatFloat(short, 'f', -1, 64)
		}
	}
	return s
}
