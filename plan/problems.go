package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// HasErrors reports whether one of the problems stops the plan.
func HasErrors(ps []Problem) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == SeverityError })
}

// Sort orders problems by file, place, code and message, in place.
func Sort(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
		)
	})
}

// String is one line: FILE:LINE:COLUMN: CODE: MESSAGE; where the whole file is
// meant, without line and column. A warning says so before its code.
func (p Problem) String() string {
	what := p.Code
	if p.Severity == SeverityWarning {
		what = "warning: " + what
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", p.File, what, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, what, p.Message)
}

// Render is String and below it the source line, a caret under the column, and
// the hint, as far as they are known. It ends with a newline.
func (p Problem) Render() string {
	var b strings.Builder
	b.WriteString(p.String())
	b.WriteByte('\n')
	if p.Source != "" && p.Line > 0 {
		source, caret := excerpt(p.Source, p.Column)
		fmt.Fprintf(&b, " | %s\n | %s^\n", source, caret)
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, " hint: %s\n", p.Hint)
	}
	return b.String()
}

// excerptRunes is how much of a source line is shown: enough for a wide
// terminal.
const excerptRunes = 120

// excerpt cuts a long line around its column (from 1) and returns it with the
// blanks that put a caret below the column. Tabs stay tabs in both, so that
// they are as wide in the second line as in the first.
func excerpt(line string, column int) (source, caret string) {
	runes := []rune(line)
	at := min(max(column-1, 0), len(runes))
	if start := at - excerptRunes*2/3; len(runes) > excerptRunes && start > 0 {
		runes, at = append([]rune("..."), runes[start:]...), at-start+3
	}
	if len(runes) > excerptRunes {
		runes = append(runes[:excerptRunes:excerptRunes], []rune("...")...)
	}
	var pad strings.Builder
	for i, r := range runes {
		if unicode.IsControl(r) && r != '\t' || r == unicode.ReplacementChar {
			runes[i], r = '?', '?'
		}
		if i >= at {
			continue
		}
		if r == '\t' {
			pad.WriteByte('\t')
			continue
		}
		pad.WriteString(strings.Repeat(" ", cells(r)))
	}
	return string(runes), pad.String()
}

// cells is how wide a terminal draws a rune: combining marks not at all, East
// Asian scripts and emoji twice as wide as the rest.
func cells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
		r >= 0xFF01 && r <= 0xFF60, r >= 0x1F300 && r <= 0x1FAFF, r >= 0x3000 && r <= 0x303E:
		return 2
	}
	return 1
}
