package plantest

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/cmd/changeover/strictyaml"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
)

// What a test file need not say.
const (
	DefaultInterval = 15 * time.Second
	defaultSamples  = time.Minute
)

// decoder reads one file.
type decoder struct{ *strictyaml.File }

// Decode reads a test file strictly. The file is whole only where there are no
// problems.
func Decode(name string, src []byte) (File, []plan.Problem) {
	file, root := strictyaml.Read(name, "tests", src)
	d := &decoder{file}
	f := File{Name: name, Interval: DefaultInterval, Start: time.Unix(0, 0).UTC()}
	if root != nil {
		d.Fields(root, "the file", map[string]func(key, value *yaml.Node){
			"plan": func(_, v *yaml.Node) { f.Plan, f.plan = d.Text(v), place{v.Line, v.Column} },
			"others": func(_, v *yaml.Node) {
				d.List(v, func(n *yaml.Node) { f.Others = append(f.Others, d.Text(n)) })
			},
			"evaluation_interval": func(_, v *yaml.Node) { f.Interval = d.duration(v, true) },
			"start":               func(_, v *yaml.Node) { f.Start = d.time(v) },
			"tests": func(_, v *yaml.Node) {
				d.List(v, func(n *yaml.Node) { f.Tests = append(f.Tests, d.test(n, f.Start)) })
			},
		}, "plan", "tests")
		if len(f.Tests) == 0 && len(d.Problems()) == 0 {
			d.Add(root, "no-tests", "the file has no tests", "")
		}
	}
	return f, d.Problems()
}

func (d *decoder) addAt(at place, code, message, hint string) {
	d.AddAt(at.line, at.column, code, message, hint)
}

// duration reads a time span; zero is one where it need not be positive.
func (d *decoder) duration(n *yaml.Node, positive bool) time.Duration {
	s := d.Text(n)
	v, err := plan.ParseDuration(s)
	switch {
	case s == "":
	case err != nil:
		d.Add(n, "bad-duration", err.Error(), "")
	case positive && v <= 0:
		d.Add(n, "bad-duration", "this must be longer than zero", "")
	}
	return time.Duration(v)
}

func (d *decoder) time(n *yaml.Node) time.Time {
	t, err := time.Parse(time.RFC3339, d.Text(n))
	if err != nil {
		d.Add(n, "bad-time", fmt.Sprintf("%q is no time", n.Value), "write it as in 2026-12-01T09:00:00Z")
	}
	return t.UTC()
}

// position reads a stop; "none" is none.
func (d *decoder) position(n *yaml.Node) plan.Position {
	s := d.Text(n)
	if s == "" || s == plan.Position.String(plan.Position{}) {
		return plan.Position{}
	}
	pos, err := plan.ParsePosition(s)
	if err != nil {
		d.Add(n, "bad-position", err.Error(), "")
	}
	return pos
}

func (d *decoder) series(n *yaml.Node, start time.Time, interval time.Duration) (engine.Series, bool) {
	var selector, values string
	var at *yaml.Node
	d.Fields(n, "a series", map[string]func(key, value *yaml.Node){
		"series": func(_, v *yaml.Node) { selector, at = d.Text(v), v },
		"values": func(_, v *yaml.Node) { values = d.Text(v) },
	}, "series", "values")
	if at == nil || selector == "" {
		return engine.Series{}, false
	}
	s, err := engine.Parse(selector, values, start, interval)
	if err != nil {
		d.Add(at, "bad-series", err.Error(), `write it as promtool does: series: 'requests_total{code="200"}', values: '0+60x120'`)
		return s, false
	}
	return s, true
}

// DecodeSeries reads a file of series alone: interval and input_series, as a
// test has them. The first samples are at start.
func DecodeSeries(name string, src []byte, start time.Time) ([]engine.Series, []plan.Problem) {
	file, root := strictyaml.Read(name, "series", src)
	d := &decoder{file}
	interval := defaultSamples
	var series []engine.Series
	if root != nil {
		var input *yaml.Node
		d.Fields(root, "the file", map[string]func(key, value *yaml.Node){
			"interval":     func(_, v *yaml.Node) { interval = d.duration(v, true) },
			"input_series": func(_, v *yaml.Node) { input = v },
		}, "input_series")
		if input != nil && interval > 0 {
			series = d.allSeries(input, start, interval)
		}
	}
	return series, d.Problems()
}

// allSeries reads a list of series, of which no two may have the same labels.
func (d *decoder) allSeries(n *yaml.Node, start time.Time, interval time.Duration) (all []engine.Series) {
	d.List(n, func(c *yaml.Node) {
		if s, ok := d.series(c, start, interval); ok {
			all = append(all, s)
		}
	})
	if _, err := engine.New(all); err != nil {
		d.Add(n, "bad-series", err.Error(), "")
	}
	return all
}
