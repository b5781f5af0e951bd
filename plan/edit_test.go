package plan_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

const inBase = "position: {phase: gradual, percent: 10}"

func TestSetPositionChangesOnlyThePosition(t *testing.T) {
	for name, c := range map[string]struct{ before, to, after string }{
		"flow, percent":            {"position: {phase: gradual, percent: 10} # c", "gradual@50", "position: {phase: gradual, percent: 50} # c"},
		"flow, both":               {"position: {percent: 10,phase: 'gradual'}", "other@0.5", "position: {percent: 0.5,phase: 'other'}"},
		"flow, percent goes":       {"position: {phase: gradual , percent: 10 }", "setup", "position: {phase: setup }"},
		"flow, percent goes first": {"position: { percent: 10, phase: gradual}", "setup", "position: { phase: setup}"},
		"flow, percent comes":      {"position: {phase: setup}", "gradual@10", "position: {phase: gradual, percent: 10}"},
		"flow, trailing comma":     {"position: {phase: gradual, percent: 10,}", "setup", "position: {phase: setup,}"},
		"JSON":                     {`"position": {"phase":"setup"}`, "gradual@10", `"position": {"phase":"gradual", "percent": 10}`},
		"flow, lines with comments": {"position: {\n    phase: gradual, # p\n    percent: 10, # q\n  }", "setup",
			"position: {\n    phase: setup, # p\n    # q\n  }"},
		"flow, lines": {"position: {\n    phase: gradual,\n    percent: 10\n  }", "setup", "position: {\n    phase: setup\n  }"},
		"block, percent": {"position: # a\n    # b\n    phase: gradual   # c\n    percent:   10   # d\n    # e", "gradual@50",
			"position: # a\n    # b\n    phase: gradual   # c\n    percent:   50   # d\n    # e"},
		"block, percent goes":           {"position:\n    phase: gradual # c\n    percent: 10\n  suspend: true", "setup", "position:\n    phase: setup # c\n  suspend: true"},
		"block, percent goes first":     {"position:\n    percent: 10\n    phase: gradual", "setup", "position:\n    phase: setup"},
		"block, percent leaves comment": {"position:\n    phase: gradual\n    percent: 10  # why", "setup", "position:\n    phase: setup\n    # why"},
		"block, percent comes":          {"position:\n      phase: setup # c\n  suspend: true", "gradual@10", "position:\n      phase: gradual # c\n      percent: 10\n  suspend: true"},
		"block, values on own lines":    {"position:\n    phase:\n      gradual\n    percent: # c\n      10", "setup", "position:\n    phase:\n      setup\n    # c"},
		"zero stays":                    {"position: {phase: setup, percent: 0}", "shadow", "position: {phase: shadow, percent: 0}"},
		"a name that is a number":       {"position: {phase: setup}", "2024", `position: {phase: "2024"}`},
		"a name that is a word of YAML": {"position: {phase: setup}", "off", `position: {phase: "off"}`},
		"nothing to do":                 {"position: {phase: gradual, percent: 10.00}", "gradual@10", "position: {phase: gradual, percent: 10.00}"},
	} {
		for _, eol := range []string{"\n", "\r\n"} {
			src := strings.ReplaceAll(with(t, inBase, c.before), "\n", eol)
			want := strings.ReplaceAll(with(t, inBase, c.after), "\n", eol)
			to, err := plan.ParsePosition(c.to)
			if err != nil {
				t.Fatal(err)
			}
			got, err := plan.SetPosition([]byte(src), to)
			if err != nil || string(got) != want {
				t.Errorf("%s, eol %q: error %v, got\n%s", name, eol, err, got)
			}
		}
	}
}

func TestSetPositionAtTheEndOfAFile(t *testing.T) {
	head := strings.Replace(base, "  "+inBase+"\n", "", 1)
	src := head + "  position:\n    phase: setup"
	got, err := plan.SetPosition([]byte(src), plan.Position{Phase: "gradual", Percent: 10})
	if want := head + "  position:\n    phase: gradual\n    percent: 10"; err != nil || string(got) != want {
		t.Fatalf("error %v, got\n%s", err, got)
	}
	if back, err := plan.SetPosition(got, plan.Position{Phase: "setup"}); err != nil || string(back) != src+"\n" {
		t.Errorf("error %v, got back\n%s", err, back)
	}
}

func TestSetPositionRefusesWhatItCannotEdit(t *testing.T) {
	to := plan.Position{Phase: "gradual", Percent: 50}
	for name, c := range map[string]struct {
		src  string
		to   plan.Position
		want string
	}{
		"no position":       {strings.Replace(base, "  "+inBase+"\n", "", 1), to, `field "spec.position" is missing`},
		"no phase":          {with(t, inBase, "position: {percent: 10}"), to, `field "spec.position.phase" is missing`},
		"no YAML":           {base + "]", to, "cannot be read: line 22"},
		"anchor":            {with(t, inBase, "position: &p {phase: gradual, percent: 10}"), to, "anchor &p"},
		"two positions":     {with(t, inBase, inBase+"\n  "+inBase), to, "already at line 5"},
		"block text":        {with(t, inBase, "position:\n    phase: |-\n      gradual"), to, "write it on one line"},
		"complex key":       {with(t, inBase, "position:\n    ? phase\n    : gradual"), to, "does not begin its line"},
		"no such position":  {base, plan.Position{}, `set position ""`},
		"no such name":      {base, plan.Position{Phase: "a: b"}, "lower-case letters"},
		"no percentage":     {base, plan.Position{Phase: "gradual", Percent: 101}, "from 0 to 100"},
		"too many decimals": {base, plan.Position{Phase: "gradual", Percent: 0.125}, "two decimals"},
	} {
		got, err := plan.SetPosition([]byte(c.src), c.to)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: error %v, want %q in it; got\n%s", name, err, c.want, got)
		}
	}
}

// TestSetPositionKeepsEveryByteAroundIt writes the position in random layouts
// between parts of a file that must stay byte for byte, comments included.
func TestSetPositionKeepsEveryByteAroundIt(t *testing.T) {
	phases := rapid.SampledFrom([]string{"setup", "gradual", "a", "2024", "on", "x-1"})
	percents := rapid.Custom(func(t *rapid.T) plan.Percent {
		return plan.Percent(float64(rapid.IntRange(0, 10_000).Draw(t, "hundredths")) / 100)
	})
	rapid.Check(t, func(t *rapid.T) {
		from := plan.Position{Phase: phases.Draw(t, "phase"), Percent: percents.Draw(t, "percent")}
		to := plan.Position{Phase: phases.Draw(t, "to phase"), Percent: percents.Draw(t, "to percent")}
		if rapid.Bool().Draw(t, "to zero") {
			to.Percent = 0
		}
		layout := drawLayout(t, from)
		before, after, _ := strings.Cut(base, inBase)
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
		lines := func(s string) string { return strings.ReplaceAll(s, "\n", eol) }
		src := lines(before + layout + after)
		d, _ := plan.Decode("plan.yaml", []byte(src))
		if d.Plan.Spec.Position != from {
			t.Fatalf("the layout is wrong: %s, want %s\n%s", d.Plan.Spec.Position, from, src)
		}
		got, err := plan.SetPosition([]byte(src), to)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		d, _ = plan.Decode("plan.yaml", got)
		if d.Plan.Spec.Position != to {
			t.Fatalf("position %s, want %s\n%s", d.Plan.Spec.Position, to, got)
		}
		if !bytes.HasPrefix(got, []byte(lines(before))) || !bytes.HasSuffix(got, []byte(lines(after))) {
			t.Fatalf("bytes around the position changed:\n%s\nfrom\n%s", got, src)
		}
		for _, comment := range []string{"# one", "# two", "# three", "# four"} {
			if strings.Count(src, comment) != strings.Count(string(got), comment) {
				t.Fatalf("comment %q is gone:\n%s\nfrom\n%s", comment, got, src)
			}
		}
		again, err := plan.SetPosition(got, to)
		if err != nil || !bytes.Equal(got, again) {
			t.Fatalf("setting it a second time: error %v, got\n%s", err, again)
		}
	})
}

// drawLayout writes a position in one of the ways in which people do.
func drawLayout(t *rapid.T, p plan.Position) string {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	quote := pick("quote", "'", `"`, "")
	if quote == "" && (p.Phase == "2024" || p.Phase == "on") {
		quote = `"`
	}
	phase := pick("phase key", "phase", `"phase"`, "'phase'") + ":" + pick("blanks", " ", "  ") + quote + p.Phase + quote
	pairs := []string{phase}
	if p.Percent != 0 || rapid.Bool().Draw(t, "zero spelled out") {
		pairs = append(pairs, "percent: "+p.Percent.String()+pick("zeros", "", map[bool]string{true: "0", false: ""}[strings.Contains(p.Percent.String(), ".") && p.Percent*10 == plan.Percent(int(p.Percent*10))]))
	}
	if len(pairs) == 2 && rapid.Bool().Draw(t, "percent first") {
		pairs[0], pairs[1] = pairs[1], pairs[0]
	}
	comment := func(c string) string { return pick("comment "+c, "", " # "+c) }
	var b strings.Builder
	if rapid.Bool().Draw(t, "block") {
		indent := pick("indent", "   ", "    ", "      ")
		b.WriteString("position:" + comment("one") + "\n" + indent + "# two")
		for i, pair := range pairs {
			b.WriteString("\n" + indent + pair + comment([]string{"three", "four"}[i]))
			if rapid.Bool().Draw(t, "blank line") && i == 0 {
				b.WriteString("\n\n")
				b.WriteString(indent + "# two")
			}
		}
		return b.String()
	}
	if rapid.Bool().Draw(t, "one line") {
		space := pick("space", "", " ")
		return "position: {" + space + strings.Join(pairs, ","+pick("gap", "", " ", "  ")) + space + pick("comma", "", ",") + "}" + comment("one")
	}
	b.WriteString("position: {" + comment("one"))
	for i, pair := range pairs {
		comma := ","
		if i == len(pairs)-1 {
			comma = pick("comma", "", ",")
		}
		b.WriteString("\n      " + pair + comma + comment([]string{"three", "four"}[i]))
	}
	b.WriteString("\n  }")
	return b.String()
}
