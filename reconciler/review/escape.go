package review

import (
	"fmt"
	"strings"
	"unicode"
)

// Texts of a plan go into Markdown in one of two ways only, prose and code, and
// into fenced blocks by fence. In the first two every character that is no
// letter, digit, blank or plain mark is a numeric entity, so that none can be Markdown, HTML
// or an address; and what forges look for in the text that comes of it, such as
// @mentions, #issues and !requests, is broken by a blank without width.

// maxText is how many characters of one text are shown.
const maxText = 300

// prose is text as it may stand in a sentence or a cell of a table.
func prose(s string) string { return escape(s, maxText, true) }

// code is text in the typeface of code, where forges look for no mentions.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s, maxText, false) + "</code>"
}

// sigils are the characters that forges take for a reference when a word
// follows.
const sigils = "@#!$%~&^:/-"

// plainMarks mean nothing in Markdown or HTML where text may stand.
const plainMarks = `,;?"'`

func escape(s string, most int, words bool) string {
	runes := []rune(strings.ToValidUTF8(s, "?"))
	cut := len(runes) > most
	if cut {
		runes = runes[:most]
	}
	var b strings.Builder
	for i, r := range runes {
		switch {
		case r == '\n', r == '\t', r == '\r', unicode.IsSpace(r):
			b.WriteByte(' ')
		case !unicode.IsGraphic(r):
			b.WriteByte('?')
		case unicode.IsLetter(r), r >= '0' && r <= '9', strings.ContainsRune(plainMarks, r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
		if words && i+1 < len(runes) && strings.ContainsRune(sigils, r) && word(runes[i+1]) {
			b.WriteString("&#8203;")
		}
	}
	if cut {
		b.WriteString("&#8230;")
	}
	return b.String()
}

// word reports whether a reference can go on with the character.
func word(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '"' || r == '_'
}

// fence is a block in which nothing is Markdown: its fence is longer than any in
// the text.
func fence(language, text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
	longest, run := 2, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	ticks := strings.Repeat("`", longest+1)
	return ticks + language + "\n" + strings.TrimRight(text, "\n") + "\n" + ticks + "\n"
}
