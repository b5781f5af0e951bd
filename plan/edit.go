package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// SetPosition writes a position into the bytes of a plan file. Only the bytes
// of spec.position change, comments stay, and the result decodes to that
// position with all else as it was. It does not ask whether the position is a
// stop. It fails where the file cannot be read or its position is written in a
// form that cannot be edited in place.
func SetPosition(src []byte, to Position) ([]byte, error) {
	if !label.MatchString(to.Phase) {
		return nil, fmt.Errorf("set position %q: the name of a phase has lower-case letters, digits and -", to.Phase)
	}
	if _, message := parsePercent(to.Percent.String()); message != "" || !decimal.MatchString(to.Percent.String()) {
		return nil, fmt.Errorf("set position %q: a percentage is a number from 0 to 100 with at most two decimals", to)
	}
	d, _, ps := read("plan", src)
	if HasErrors(ps) {
		Sort(ps)
		return nil, fmt.Errorf("set position: the file cannot be read: line %d, column %d: %s", ps[0].Line, ps[0].Column, ps[0].Message)
	}
	if d.Plan.Spec.Position == to {
		return src, nil
	}
	e := editor{text: d.text}
	if err := e.position(d, to); err != nil {
		return nil, fmt.Errorf("set position: %w", err)
	}
	out := e.apply()
	after, _, ps := read("plan", out)
	if HasErrors(ps) || after.Plan.Spec.Position != to || ContentDigest(after.Plan) != ContentDigest(d.Plan) || after.Plan.Spec.Suspend != d.Plan.Spec.Suspend {
		return nil, errors.New("set position: the position is written in an unusual form; write it as `position: {phase: NAME, percent: NUMBER}`")
	}
	return out, nil
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	with       string
}

type editor struct {
	text  text
	edits []edit
}

func (e *editor) replace(start, end int, with string) {
	e.edits = append(e.edits, edit{start, end, with})
}

func (e *editor) apply() []byte {
	slices.SortFunc(e.edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var out []byte
	pos := 0
	for _, x := range e.edits {
		out = append(append(out, e.text.src[pos:x.start]...), x.with...)
		pos = x.end
	}
	return append(out, e.text.src[pos:]...)
}

// pair is a field of the position in the source: its key and its value.
type pair struct {
	key, value span
	quoted     bool // the key is in double quotes, as in JSON
}

type span struct{ start, end int }

// span finds the bytes of a scalar with its quotes.
func (e *editor) span(n *yaml.Node) (span, error) {
	_, end, ok := e.text.scalar(n)
	if !ok || end == 0 {
		return span{}, errors.New("spec.position holds a text in block form; write it on one line")
	}
	return span{e.text.offset(n.Line, n.Column), end}, nil
}

func (e *editor) pair(p place) (pair, error) {
	key, err := e.span(p.key)
	if err != nil {
		return pair{}, err
	}
	value, err := e.span(p.value)
	return pair{key: key, value: value, quoted: p.key.Style == yaml.DoubleQuotedStyle}, err
}

// position collects the edits from one position to another.
func (e *editor) position(d *Document, to Position) error {
	phaseAt := d.nodes["spec.position.phase"]
	phase, err := e.pair(phaseAt)
	if err != nil {
		return err
	}
	if d.Plan.Spec.Position.Phase != to.Phase {
		e.replace(phase.value.start, phase.value.end, quoteLike(to.Phase, phaseAt.value.Style))
	}
	if d.Plan.Spec.Position.Percent == to.Percent {
		return nil
	}
	flow := d.nodes["spec.position"].value.Style&yaml.FlowStyle != 0
	percentAt, given := d.nodes["spec.position.percent"]
	if !given {
		return e.insert(phase, flow, to.Percent.String())
	}
	percent, err := e.pair(percentAt)
	switch {
	case err != nil:
		return err
	case to.Percent != 0:
		e.replace(percent.value.start, percent.value.end, to.Percent.String())
	case flow:
		e.removeFlow(phase, percent)
	default:
		e.removeBlock(percent)
	}
	return nil
}

// ambiguous are names of phases that YAML readers of one version or another do
// not take for text.
var ambiguous = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}

// quoteLike writes a name in the style of the one that it replaces. Names are
// labels, so nothing needs an escape.
func quoteLike(name string, style yaml.Style) string {
	switch {
	case style == yaml.SingleQuotedStyle:
		return "'" + name + "'"
	case style == yaml.DoubleQuotedStyle, name[0] <= '9', slices.Contains(ambiguous, name):
		return `"` + name + `"`
	}
	return name
}

// insert adds the percentage behind the phase.
func (e *editor) insert(phase pair, flow bool, percent string) error {
	key := "percent: "
	if phase.quoted {
		key = `"percent": `
	}
	if flow {
		e.replace(phase.value.end, phase.value.end, ", "+key+percent)
		return nil
	}
	src := e.text.src
	indent := src[strings.LastIndexByte(src[:phase.key.start], '\n')+1 : phase.key.start]
	if strings.Trim(indent, " ") != "" {
		return errors.New("spec.position.phase does not begin its line; write the position as {phase: NAME, percent: NUMBER}")
	}
	line := indent + key + percent
	end := strings.IndexByte(src[phase.value.end:], '\n')
	if end < 0 {
		e.replace(len(src), len(src), "\n"+line)
		return nil
	}
	end += phase.value.end + 1
	brk := "\n"
	if strings.HasSuffix(src[:end], "\r\n") {
		brk = "\r\n"
	}
	e.replace(end, end, line+brk)
	return nil
}

// removeFlow takes the percentage out of {phase: ..., percent: ...} together
// with one comma.
func (e *editor) removeFlow(phase, percent pair) {
	src := e.text.src
	if before := src[min(phase.value.end, percent.key.start):percent.key.start]; phase.value.end < percent.key.start && !strings.Contains(before, "#") {
		e.replace(phase.value.end, percent.value.end, "")
		return
	}
	if phase.key.start > percent.value.end && !strings.Contains(src[percent.value.end:phase.key.start], "#") {
		e.replace(percent.key.start, phase.key.start, "")
		return
	}
	// A comment stands between the two: only the pair goes, and the comma
	// behind it if there is one.
	end := percent.value.end
	if rest := strings.TrimLeft(src[end:], " "); strings.HasPrefix(rest, ",") {
		end = len(src) - len(rest) + 1
	}
	e.removeFrom(percent.key.start, end)
}

// removeBlock takes the percentage out of a block. A comment behind it keeps
// the line; without one the line goes.
func (e *editor) removeBlock(percent pair) {
	src := e.text.src
	colon := strings.IndexByte(src[percent.key.end:], ':') + percent.key.end + 1
	if strings.Contains(src[colon:percent.value.start], "\n") {
		e.removeFrom(percent.key.start, colon)
		e.removeFrom(percent.value.start, percent.value.end)
		return
	}
	e.removeFrom(percent.key.start, percent.value.end)
}

// removeFrom removes a part of one line: the whole line if nothing else is on
// it, else the part and the blanks behind it.
func (e *editor) removeFrom(start, end int) {
	src := e.text.src
	first := strings.LastIndexByte(src[:start], '\n') + 1
	rest := strings.TrimLeft(src[end:], " \t")
	if after := strings.TrimPrefix(rest, "\r"); strings.Trim(src[first:start], " ") == "" && (after == "" || after[0] == '\n') {
		e.replace(first, len(src)-len(after)+min(len(after), 1), "")
		return
	}
	e.replace(start, len(src)-len(rest), "")
}
