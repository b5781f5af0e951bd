package plan_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

// runeAt is the rune of a source at a line and column, both from 1.
func runeAt(src string, line, column int) rune {
	runes := []rune(strings.Split(src, "\n")[line-1] + "\n")
	return runes[column-1]
}

const queryPath = "spec.signals.errors.query"

// TestEveryRuneOfAScalarIsFound writes a text in every style that can be
// followed and asks where each of its runes stands.
func TestEveryRuneOfAScalarIsFound(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abcxyz0189()'\"=~<>éß日🙂")), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		value := "q" + strings.Join(rapid.SliceOfN(word, 1, 6).Draw(t, "words"), " ") + "q"
		style := rapid.SampledFrom([]string{"plain", "single", "double", "literal", "literal-indented", "plain-folded", "single-folded", "double-folded"}).Draw(t, "style")
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
		folded := strings.ReplaceAll(value, " ", "\n         ")
		var scalar string
		switch style {
		case "plain":
			scalar = value
		case "plain-folded":
			scalar = folded
		case "single":
			scalar = "'" + strings.ReplaceAll(value, "'", "''") + "'"
		case "single-folded":
			scalar = "'" + strings.ReplaceAll(folded, "'", "''") + "'"
		case "double":
			scalar = `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`
		case "double-folded":
			scalar = `"` + strings.ReplaceAll(folded, `"`, `\"`) + `"`
		case "literal":
			scalar = "|-\n        " + strings.ReplaceAll(value, " ", "\n\n        ")
			value = strings.ReplaceAll(value, " ", "\n\n")
		case "literal-indented":
			scalar = "|2 # why\n          " + value + "\n\n        " + value
			value = "  " + value + "\n\n" + value + "\n"
		}
		src := strings.ReplaceAll(strings.Replace(base, `errors: {query: "sum(rate(errors_total[5m]))"}`, "errors:\n      query: "+scalar, 1), "\n", eol)
		d, problems := plan.Decode("plan.yaml", []byte(src))
		if len(problems) > 0 {
			t.Fatal(problems[0].Render(), src)
		}
		if got := d.Plan.Spec.Signals["errors"].Query; got != value {
			t.Fatalf("decoded %q, want %q", got, value)
		}
		offset := 0
		for _, r := range value {
			line, column := d.Locate(queryPath, offset)
			got := runeAt(src, line, column)
			switch {
			case got == r:
			case (r == '\n' || r == ' ') && (got == '\r' || got == '\n'): // a folded or a real break
			case r == '"' && got == '\\': // an escape
			default:
				t.Fatalf("rune %d is %q, but %q stands at %d:%d of\n%s", offset, r, got, line, column, src)
			}
			offset++
		}
	})
}

func TestEscapesInDoubleQuotesAreFollowed(t *testing.T) {
	for _, c := range []struct {
		scalar string
		offset int
		column int // of the opening quote: 21
	}{
		{`"\u0061\x62\U00000063d"`, 3, 21 + 1 + 6 + 4 + 10},
		{`"a\tb"`, 2, 21 + 4},
		{`"\"\\\/x"`, 3, 21 + 7},
		{`"x"`, 1, 21 + 2}, // behind the end
		{`"x"`, 7, 21 + 2},
		{`"x"`, 0, 21 + 1},
		{`"x"`, -1, 21},
	} {
		src := with(t, `"sum(rate(errors_total[5m]))"`, c.scalar)
		d, _ := plan.Decode("plan.yaml", []byte(src))
		if line, column := d.Locate(queryPath, c.offset); line != 12 || column != c.column {
			t.Errorf("%s: rune %d at %d:%d, want 12:%d", c.scalar, c.offset, line, column, c.column)
		}
	}
}

func TestFoldedBlocksPointAtTheirStart(t *testing.T) {
	src := with(t, `errors: {query: "sum(rate(errors_total[5m]))"}`, "errors:\n      query: >\n        a\n        b")
	d, _ := plan.Decode("plan.yaml", []byte(src))
	if line, column := d.Locate(queryPath, 2); line != 13 || column != 14 {
		t.Errorf("at %d:%d, want 13:14", line, column)
	}
}

func TestWhatCannotBeFollowedPointsAtItsStart(t *testing.T) {
	d, _ := plan.Decode("plan.yaml", []byte(with(t, `"sum(rate(errors_total[5m]))"`, "\"a\\\n\n      b\"")))
	if got := d.Plan.Spec.Signals["errors"].Query; got != "a\nb" {
		t.Fatalf("query %q", got)
	}
	if line, column := d.Locate(queryPath, 2); line != 12 || column != 21 {
		t.Errorf("at %d:%d, want 12:21", line, column)
	}
}

func TestColumnsCountRunes(t *testing.T) {
	d, _ := plan.Decode("plan.yaml", []byte(with(t, `{query: "sum(rate(errors_total[5m]))"}`, `{freshness: "日本日本日本日本日é", query: "日x"}`)))
	if line, column := d.Locate(queryPath, 1); line != 12 || column != 48 {
		t.Errorf("at %d:%d, want 12:48", line, column)
	}
}

func TestPathsLeadToTheirPlace(t *testing.T) {
	d, _ := plan.Decode("plan.yaml", []byte(with(t, "routes: [{to: split}]", `routes: [{match: {headers: {X.Y: z}}, to: modern}, {to: split}]`)))
	for path, want := range map[string]string{
		"":                                 "1:1",
		"nowhere":                          "1:1",
		"spec":                             "4:1",
		"spec.position":                    "5:3",
		"spec.position.percent":            "5:39",
		"spec.position.nothing":            "5:3",
		"spec.signals.errors":              "12:5",
		"spec.signals.none.query":          "11:3",
		"spec.phases[1]":                   "16:7",
		"spec.phases[1].percents[1]":       "17:22",
		"spec.phases[9].name":              "13:3",
		"spec.phases[1].gates.rollback[0]": "21:20",
		`spec.phases[1].routes[0].match.headers["X.Y"]`: "19:40",
		`spec.phases[1].routes[0].match.headers["A.B"]`: "19:25",
	} {
		line, column := d.Locate(path, 0)
		if got := fmt.Sprintf("%d:%d", line, column); got != want {
			t.Errorf("%q at %s, want %s", path, got, want)
		}
	}
	if p := d.Problem("spec.position", 0, "c", "m", "h"); p.File != "plan.yaml" || p.Severity != plan.SeverityError || p.Source != "  position: {phase: gradual, percent: 10}" || p.Hint != "h" {
		t.Errorf("problem %+v", p)
	}
}

// TestAPlanReadsItsOwnJSON: JSON is YAML, and defaults spelled out are no
// change.
func TestAPlanReadsItsOwnJSON(t *testing.T) {
	for _, file := range files(t, 5, "testdata/good/*.good.yaml", "../examples/quickstart/*.yaml", "../examples/kubernetes/*.yaml") {
		p := good(t, string(read(t, file)))
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again := good(t, string(b)); !plan.Compare(p, again).IsZero() {
			t.Errorf("%s: changed %v", file, plan.Compare(p, again).Fields)
		}
	}
}
