package plantest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
)

// What a test file need not say.
const (
	DefaultInterval = 15 * time.Second
	defaultSamples  = time.Minute
	// maxDepth bounds the nesting of a file.
	maxDepth = 64
)

// decoder reads one file, and collects all that is wrong in it.
type decoder struct {
	name     string
	lines    []string
	problems []plan.Problem
}

// Decode reads a test file strictly. The file is whole only where there are no
// problems.
func Decode(name string, src []byte) (File, []plan.Problem) {
	d := &decoder{name: name, lines: strings.Split(string(src), "\n")}
	f := File{Name: name, Interval: DefaultInterval, Start: time.Unix(0, 0).UTC()}
	root := d.root(string(src))
	if root != nil {
		d.fields(root, "the file", map[string]func(key, value *yaml.Node){
			"plan": func(_, v *yaml.Node) { f.Plan, f.plan = d.text(v), place{v.Line, v.Column} },
			"others": func(_, v *yaml.Node) {
				d.list(v, func(n *yaml.Node) { f.Others = append(f.Others, d.text(n)) })
			},
			"evaluation_interval": func(_, v *yaml.Node) { f.Interval = d.duration(v, true) },
			"start":               func(_, v *yaml.Node) { f.Start = d.time(v) },
			"tests": func(_, v *yaml.Node) {
				d.list(v, func(n *yaml.Node) { f.Tests = append(f.Tests, d.test(n, f.Start)) })
			},
		}, "plan", "tests")
		if len(f.Tests) == 0 && len(d.problems) == 0 {
			d.add(root, "no-tests", "the file has no tests", "")
		}
	}
	plan.Sort(d.problems)
	return f, d.problems
}

func (d *decoder) add(n *yaml.Node, code, message, hint string) {
	d.addAt(place{n.Line, n.Column}, code, message, hint)
}

func (d *decoder) addAt(at place, code, message, hint string) {
	p := plan.Problem{File: d.name, Line: at.line, Column: at.column, Severity: plan.SeverityError, Code: code, Message: message, Hint: hint}
	if at.line >= 1 && at.line <= len(d.lines) {
		p.Source = strings.TrimSuffix(d.lines[at.line-1], "\r")
	}
	d.problems = append(d.problems, p)
}

// root reads the one document of the file; nil where there is none.
func (d *decoder) root(src string) *yaml.Node {
	var root, more yaml.Node
	loader, err := yaml.NewLoader(strings.NewReader(src), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err == nil {
		err = loader.Load(&root)
	}
	if err == nil {
		if err = loader.Load(&more); err == nil {
			d.add(&more, "several-documents", "a second YAML document; a test file has one", "move it to a file of its own")
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	var le *yaml.LoadError
	switch {
	case errors.As(err, &le):
		d.addAt(place{max(le.Mark.Line, 1), max(le.Mark.Column, 1)}, "syntax", le.Message, "")
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		d.addAt(place{1, 1}, "syntax", err.Error(), "")
		return nil
	case len(root.Content) == 0:
		d.problems = append(d.problems, plan.Problem{File: d.name, Severity: plan.SeverityError, Code: "empty", Message: "the file holds no tests"})
		return nil
	}
	return root.Content[0]
}

// fields calls the function of every field of a mapping. Others are problems,
// and so are required ones that are not there.
func (d *decoder) fields(n *yaml.Node, what string, known map[string]func(key, value *yaml.Node), required ...string) {
	if n.Kind != yaml.MappingNode {
		d.add(n, "wrong-type", fmt.Sprintf("%s must be an object", what), "")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			d.add(key, "duplicate-key", fmt.Sprintf("%q is there twice", key.Value), "")
		case !ok:
			d.add(key, "unknown-field", fmt.Sprintf("%s has no field %q", what, key.Value), "it has "+strings.Join(sortedKeys(known), ", "))
		default:
			read(key, value)
		}
		seen[key.Value] = true
	}
	for _, name := range required {
		if !seen[name] {
			d.add(n, "missing-field", fmt.Sprintf("%s needs %q", what, name), "")
		}
	}
}

func (d *decoder) list(n *yaml.Node, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		d.add(n, "wrong-type", "this must be a list", "")
		return
	}
	for _, c := range n.Content {
		each(c)
	}
}

func (d *decoder) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.add(n, "wrong-type", "this must be text", "")
		return ""
	}
	return n.Value
}

func (d *decoder) bool(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		d.add(n, "wrong-type", "this must be true or false", "")
	}
	return n.Value == "true"
}

// duration reads a time span; zero is one where it need not be positive.
func (d *decoder) duration(n *yaml.Node, positive bool) time.Duration {
	s := d.text(n)
	v, err := plan.ParseDuration(s)
	switch {
	case s == "":
	case err != nil:
		d.add(n, "bad-duration", err.Error(), "")
	case positive && v <= 0:
		d.add(n, "bad-duration", "this must be longer than zero", "")
	}
	return time.Duration(v)
}

func (d *decoder) time(n *yaml.Node) time.Time {
	t, err := time.Parse(time.RFC3339, d.text(n))
	if err != nil {
		d.add(n, "bad-time", fmt.Sprintf("%q is no time", n.Value), "write it as in 2026-12-01T09:00:00Z")
	}
	return t.UTC()
}

// position reads a stop; "none" is none.
func (d *decoder) position(n *yaml.Node) plan.Position {
	s := d.text(n)
	if s == "" || s == plan.Position.String(plan.Position{}) {
		return plan.Position{}
	}
	pos, err := plan.ParsePosition(s)
	if err != nil {
		d.add(n, "bad-position", err.Error(), "")
	}
	return pos
}

func (d *decoder) series(n *yaml.Node, start time.Time, interval time.Duration) (engine.Series, bool) {
	var selector, values string
	var at *yaml.Node
	d.fields(n, "a series", map[string]func(key, value *yaml.Node){
		"series": func(_, v *yaml.Node) { selector, at = d.text(v), v },
		"values": func(_, v *yaml.Node) { values = d.text(v) },
	}, "series", "values")
	if at == nil || selector == "" {
		return engine.Series{}, false
	}
	s, err := engine.Parse(selector, values, start, interval)
	if err != nil {
		d.add(at, "bad-series", err.Error(), `write it as promtool does: series: 'requests_total{code="200"}', values: '0+60x120'`)
		return s, false
	}
	return s, true
}

// DecodeSeries reads a file of series alone: interval and input_series, as a
// test has them. The first samples are at start.
func DecodeSeries(name string, src []byte, start time.Time) ([]engine.Series, []plan.Problem) {
	d := &decoder{name: name, lines: strings.Split(string(src), "\n")}
	interval := defaultSamples
	var series []engine.Series
	if root := d.root(string(src)); root != nil {
		var input *yaml.Node
		d.fields(root, "the file", map[string]func(key, value *yaml.Node){
			"interval":     func(_, v *yaml.Node) { interval = d.duration(v, true) },
			"input_series": func(_, v *yaml.Node) { input = v },
		}, "input_series")
		if input != nil && interval > 0 {
			series = d.allSeries(input, start, interval)
		}
	}
	plan.Sort(d.problems)
	return series, d.problems
}

// allSeries reads a list of series, of which no two may have the same labels.
func (d *decoder) allSeries(n *yaml.Node, start time.Time, interval time.Duration) (all []engine.Series) {
	d.list(n, func(c *yaml.Node) {
		if s, ok := d.series(c, start, interval); ok {
			all = append(all, s)
		}
	})
	if _, err := engine.New(all); err != nil {
		d.add(n, "bad-series", err.Error(), "")
	}
	return all
}
