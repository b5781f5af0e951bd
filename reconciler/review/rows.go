package review

import (
	"strings"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// row is a line of a plan's table, the same in text and in Markdown.
type row struct {
	name  string
	items []item
	// lines: each item is a sentence, on a line of its own.
	lines bool
}

// item is text of a plan, as code or as prose; note comes after it.
type item struct {
	text string
	code bool
	note string
}

// rows are what there is to say of a plan in short.
func (p Plan) rows(evaluated bool) []row {
	rs := []row{{name: "File", items: []item{{text: p.File, code: true}}}}
	add := func(name string, lines bool, items ...item) {
		if len(items) > 0 {
			rs = append(rs, row{name, items, lines})
		}
	}
	if p.MovedFrom != "" {
		add("Was in", false, item{text: p.MovedFrom, code: true})
	}
	if p.Does.Verb != "" {
		add("Daemon", true, item{text: string(p.Does.Verb) + " " + string(p.Does.Reason), code: true, note: p.Does.Message})
	}
	add("On the way", false, stops(p.Way)...)
	add("After that", false, stops(p.Later)...)
	add("Held by", true, p.held()...)
	add("Gates", true, p.gatesInShort(evaluated)...)
	if p.Breach != "" {
		add("Breach", true, item{text: p.Breach})
	}
	add("Content", false, p.content()...)
	if len(p.Gateway) > 0 {
		add("Gateway", true, item{text: sums(p.Gateway)})
	}
	if len(p.Cluster) > 0 {
		add("Cluster", true, item{text: sums(p.Cluster)})
	}
	if len(p.Problems) > 0 {
		add("New problems", true, problemsInShort(p.Problems)...)
	}
	for _, n := range p.Notes {
		add("Note", true, item{text: n})
	}
	return rs
}

func stops(ss []Stop) []item {
	var out []item
	for _, s := range ss {
		i := item{text: s.Position.String(), code: true}
		if s.Bake != "" {
			i.note = "(bake " + s.Bake + ")"
		}
		out = append(out, i)
	}
	return out
}

func (p Plan) held() []item {
	var out []item
	for _, h := range p.Holds {
		i := item{text: string(h.Reason), code: true, note: h.Message}
		if !h.Stop.IsZero() {
			i.text = h.Stop.String() + " " + i.text
		}
		out = append(out, i)
	}
	return out
}

// gatesInShort names those that are in the way, and counts the rest.
func (p Plan) gatesInShort(evaluated bool) []item {
	if len(p.Gates) == 0 {
		return nil
	}
	if p.GatesError != "" {
		return []item{{text: "could not be evaluated: " + p.GatesError}}
	}
	if !evaluated {
		return []item{{text: count(len(p.Gates), "gate") + " will decide; not evaluated here"}}
	}
	well := 0
	var out []item
	for _, g := range p.Gates {
		alarm := g.Effect == plan.Pause || g.Effect == plan.Breaches
		if !alarm && g.Verdict == gates.Pass || alarm && g.Verdict == gates.Fail {
			well++
			continue
		}
		out = append(out, item{text: g.Name, code: true, note: strings.TrimSpace(string(g.Effect) + " " + told(g) + " " + g.Detail)})
	}
	return append([]item{{text: count(well, "gate") + " of " + count(len(p.Gates), "gate") + " as they should be now"}}, out...)
}

func (p Plan) content() []item {
	var out []item
	for _, f := range p.Fields {
		out = append(out, item{text: f, code: true})
	}
	if p.Reads {
		out = append(out, item{text: "files that the plan reads"})
	}
	return out
}

func problemsInShort(ps []plan.Problem) []item {
	var out []item
	for _, p := range ps {
		out = append(out, item{text: p.String()})
	}
	return out
}
