package plantest

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/gates"
)

// Counted is what is known of entities from a time on. What it does not speak of is
// zero.
type Counted struct {
	At      time.Duration
	Unknown bool // nothing is known any more
	Counts  gates.Entities
}

func (c Counted) facts() *gates.Entities {
	if c.Unknown {
		return gates.NoEntities("they are told to be")
	}
	return &c.Counts
}

func (d *decoder) counted(n *yaml.Node) (c Counted) {
	fields := map[string]func(key, value *yaml.Node){
		"at":      func(_, v *yaml.Node) { c.At = d.duration(v, false) },
		"syncLag": func(_, v *yaml.Node) { c.Counts.SyncLag = d.duration(v, false) },
		// A count, or true: nothing is known.
		"unknown": func(_, v *yaml.Node) {
			if v.Value == "true" {
				c.Unknown = true
				return
			}
			c.Counts.Unknown = d.count(v)
		},
	}
	for name, into := range map[string]*int64{
		"total": &c.Counts.Total, "legacy": &c.Counts.Legacy, "modern": &c.Counts.Modern, "inFlight": &c.Counts.InFlight,
		"orphaned": &c.Counts.Orphaned, "doubleClaimed": &c.Counts.DoubleClaimed, "mismatched": &c.Counts.Mismatched,
	} {
		fields[name] = func(_, v *yaml.Node) { *into = d.count(v) }
	}
	d.Fields(n, "what is known of entities", fields, "at")
	return c
}
