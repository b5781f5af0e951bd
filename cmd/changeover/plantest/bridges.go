package plantest

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/gates"
)

// Told is what the bridges tell gates from a time on. What it does not speak of is
// as before.
type Told struct {
	At      time.Duration
	Clients *gates.Clients
	Shadow  *gates.Shadow
	Unknown bool // nothing is told any more
}

// over is what is told then, where now was told before.
func (t Told) over(now gates.Bridges) gates.Bridges {
	if t.Unknown {
		return gates.NoBridges("it is told to be")
	}
	if t.Clients != nil {
		now.Clients = t.Clients
	}
	if t.Shadow != nil {
		now.Shadow = t.Shadow
	}
	return now
}

func (d *decoder) told(n *yaml.Node) (t Told) {
	d.Fields(n, "what bridges tell", map[string]func(key, value *yaml.Node){
		"at":      func(_, v *yaml.Node) { t.At = d.duration(v, false) },
		"unknown": func(_, v *yaml.Node) { t.Unknown = d.Bool(v) },
		"clients": func(_, v *yaml.Node) {
			t.Clients = &gates.Clients{}
			d.Fields(v, "clients", map[string]func(key, value *yaml.Node){
				"legacy": func(_, v *yaml.Node) { t.Clients.Legacy = int(d.count(v)) },
				"modern": func(_, v *yaml.Node) { t.Clients.Modern = int(d.count(v)) },
			}, "legacy", "modern")
		},
		"shadow": func(_, v *yaml.Node) {
			t.Shadow = &gates.Shadow{}
			d.Fields(v, "shadow", map[string]func(key, value *yaml.Node){
				"matchRate":   func(_, v *yaml.Node) { t.Shadow.MatchRate = d.share(v) },
				"coverage":    func(_, v *yaml.Node) { t.Shadow.Coverage = d.share(v) },
				"comparisons": func(_, v *yaml.Node) { t.Shadow.Comparisons = d.count(v) },
			}, "matchRate", "coverage", "comparisons")
		},
	}, "at")
	if t.Unknown == (t.Clients != nil || t.Shadow != nil) {
		d.Add(n, "bad-bridges", "bridges tell clients or shadow, or are unknown: true", "")
	}
	return t
}

func (d *decoder) count(n *yaml.Node) int64 {
	i, err := strconv.ParseInt(d.Text(n), 10, 64)
	if err != nil || i < 0 {
		d.Add(n, "wrong-type", "this must be a whole number that is not negative", "")
	}
	return i
}

func (d *decoder) share(n *yaml.Node) float64 {
	f, err := strconv.ParseFloat(d.Text(n), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		d.Add(n, "wrong-type", "this must be a share from 0 to 1", "")
	}
	return f
}
