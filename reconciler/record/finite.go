package record

import (
	"maps"
	"math"
	"slices"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// JSON has no NaN and no infinity. A value that a gate should never have given
// must not keep the intent of a rollback from being written: it is left out.

func finite(rs gates.Results) gates.Results {
	bad := func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	out := rs
	for i, r := range rs {
		values := maps.Clone(r.Values)
		maps.DeleteFunc(values, bad)
		if len(values) == len(r.Values) {
			continue
		}
		if &out[0] == &rs[0] {
			out = slices.Clone(rs) // the caller's stays as it is
		}
		out[i].Values = values
	}
	return out
}

func finiteHolds(hs []decide.HoldOf) []decide.HoldOf {
	hs = slices.Clone(hs)
	for i := range hs {
		hs[i].Evidence = finite(hs[i].Evidence)
	}
	return hs
}

func finitePending(p *decide.Pending) *decide.Pending {
	if p == nil {
		return nil
	}
	c := *p
	c.Evidence = finite(c.Evidence)
	return &c
}

func finiteRecord(rec decide.Record) decide.Record {
	rec.Holds = finiteHolds(rec.Holds)
	rec.Pending = finitePending(rec.Pending)
	return rec
}

func finiteStatus(s reconciler.Status) reconciler.Status {
	s.Holds = finiteHolds(s.Holds)
	s.Pending = finitePending(s.Pending)
	s.Gates = finite(s.Gates)
	s.Decision.Evidence = finite(s.Decision.Evidence)
	return s
}
