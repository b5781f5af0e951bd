package celtext

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
)

// The errors of the type checker that are worth telling in other words.
var (
	UndefinedField = regexp.MustCompile(`^undefined field '(.*)'$`)
	UndeclaredName = regexp.MustCompile(`^undeclared reference to '(.*)' \(in container ''\)$`)
	NoOverload     = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*?)\.?\((.*)\)'$`)
)

var (
	unrecognized  = regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(.*)'$`)
	unexpected    = regexp.MustCompile(`(?s)^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting (.*)$`)
	missing       = regexp.MustCompile(`(?s)^Syntax error: missing '(.*)' at '(.*)'$`)
	noAlternative = regexp.MustCompile(`(?s)^Syntax error: no viable alternative at input '(.*)'$`)
	reserved      = regexp.MustCompile(`^reserved identifier: (.*)$`)
)

// Words are what differs from one kind of expression to another.
type Words struct {
	// Depth and Runes are how deep and how long an expression may be.
	Depth, Runes int
	// Empty, Deep and Long are what to do where it is empty, too deep or too
	// long; If is what to write in place of `if`.
	Empty, Deep, Long, If string
}

// Syntax reports the first of the parser's errors, in runes from the start of the
// expression: the others are mostly its consequences. There must be one.
func (w Words) Syntax(src string, errs []*cel.Error) (offset int, message, hint string) {
	first := slices.MinFunc(errs, func(a, b *cel.Error) int { return Offset(src, a) - Offset(src, b) })
	offset = Offset(src, first)
	message, hint = w.reword(src, offset, first.Message)
	return offset, message, hint
}

func (w Words) reword(src string, offset int, msg string) (message, hint string) {
	switch {
	case strings.TrimSpace(src) == "":
		return "the expression is empty", w.Empty
	case strings.Contains(msg, "recursion limit exceeded"):
		return fmt.Sprintf("the expression is nested more than %d deep", w.Depth), w.Deep
	case strings.Contains(msg, "size exceeds limit"):
		return fmt.Sprintf("the expression is longer than %d characters", w.Runes), w.Long
	}
	if m := unrecognized.FindStringSubmatch(msg); m != nil {
		text := strings.TrimSpace(m[1])
		if strings.HasPrefix(text, "'") || strings.HasPrefix(text, `"`) {
			return "text is not closed by its quote, or holds an unknown escape such as \\q", `write \\ for a backslash`
		}
		return fmt.Sprintf("unexpected %q", text), w.tokenHint(src, offset, text)
	}
	if m := unexpected.FindStringSubmatch(msg); m != nil {
		if m[1] == "<EOF>" {
			return "the expression ends too early", endHint(src)
		}
		return fmt.Sprintf("unexpected %q", m[1]), w.tokenHint(src, offset, m[1])
	}
	if m := missing.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("missing %q", m[1]), ""
	}
	if m := noAlternative.FindStringSubmatch(msg); m != nil {
		name := strings.TrimLeft(strings.TrimSpace(m[1]), ". ")
		return fmt.Sprintf("unexpected %q", name), w.tokenHint(src, offset, name)
	}
	if m := reserved.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%q is a reserved word", m[1]), w.tokenHint(src, offset, m[1])
	}
	return strings.TrimPrefix(msg, "Syntax error: "), ""
}

// tokenHint guesses what was meant by a word or sign that CEL does not have.
func (w Words) tokenHint(src string, offset int, token string) string {
	switch strings.ToLower(token) {
	case "and", "&":
		return "write && for and"
	case "or", "|":
		return "write || for or"
	case "=":
		return "write == to compare"
	case "=>":
		return "write >= to compare"
	case "=<":
		return "write <= to compare"
	case "<>":
		return "write != to compare"
	case ",":
		return "a decimal point is written as . and not as a comma"
	case "if", "then":
		return w.If
	case ">":
		if before := []rune(src)[:offset]; len(before) > 0 && before[len(before)-1] == '<' {
			return "write != to compare"
		}
	}
	if before, _, _ := strings.Cut(strings.TrimSpace(src), " "); strings.EqualFold(before, "not") {
		return "write !(...) for not"
	}
	return ""
}

func endHint(src string) string {
	if strings.HasSuffix(strings.TrimSpace(src), "%") {
		return "% is the remainder of a division; write 0.05 for 5 %"
	}
	return ""
}

// NameAfter is where the name begins that follows the dot at an offset.
func NameAfter(src string, dot int) int {
	runes := []rune(src)
	at := dot + 1
	for at < len(runes) && (unicode.IsSpace(runes[at]) || runes[at] == '`') {
		at++
	}
	return at
}

// Suggest names the nearest of the names that are there, else all of them.
func Suggest(got string, names []string, list string) string {
	best, distance := "", len(got)/3+2
	for _, n := range names {
		if d := EditDistance(got, n); d < distance {
			best, distance = n, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(names) == 0 {
		return ""
	}
	return list + strings.Join(names, ", ")
}

// EditDistance is how many letters are to be added, dropped or changed; case
// does not count.
func EditDistance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

// Offset is the place of one of CEL's errors in runes from the start.
func Offset(src string, e *cel.Error) int {
	return RuneOffset(src, e.Location.Line(), e.Location.Column())
}

// RuneOffset turns a place of CEL, line from 1 and column from 0, into runes
// from the start. A place that is none is the start.
func RuneOffset(src string, line, column int) int {
	if line < 1 {
		return 0
	}
	offset := 0
	lines := strings.SplitAfter(src, "\n")
	for i := 0; i < line-1 && i < len(lines); i++ {
		offset += len([]rune(lines[i]))
	}
	return min(offset+max(column, 0), len([]rune(src)))
}

// StartOfWord is where the name that ends before at begins; blanks between
// are passed over.
func StartOfWord(runes []rune, at int) int {
	for at > 0 && unicode.IsSpace(runes[at-1]) {
		at--
	}
	for at > 0 && isWord(runes[at-1]) {
		at--
	}
	return at
}

// WordBefore is the whole name whose end stands before at.
func WordBefore(runes []rune, at int) string {
	start := StartOfWord(runes, min(at, len(runes)))
	end := start
	for end < len(runes) && isWord(runes[end]) {
		end++
	}
	return string(runes[start:end])
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
