// Package screen lays out text for a terminal of 80 columns.
package screen

import (
	"strings"
	"unicode/utf8"
)

// Width of a terminal, in characters.
const Width = 80

// Wrap writes the words of s in lines of at most Width, each ended by a line
// feed: the first line begins with first, the others with rest. A word that is
// longer than a line stands alone. What stands between two backquotes is one
// word, so that a command can be copied.
func Wrap(first, rest, s string) string {
	var out strings.Builder
	line, empty := first, true
	for _, word := range words(s) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > Width {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return out.String() + strings.TrimRight(line, " ") + "\n"
}

// words splits at blanks outside of backquotes. A backquote without its other
// half is a character like any.
func words(s string) (out []string) {
	var open []string // words since a backquote that has not ended
	for word := range strings.FieldsSeq(s) {
		odd := strings.Count(word, "`")%2 == 1
		switch {
		case len(open) > 0 || odd:
			open = append(open, word)
			if odd && len(open) > 1 {
				out, open = append(out, strings.Join(open, " ")), nil
			}
		default:
			out = append(out, word)
		}
	}
	return append(out, open...)
}
