package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSize is the most bytes that a plan file may have.
const MaxSize = 1 << 20

// maxExcerpt is the longest line, in bytes, that a problem carries along.
const maxExcerpt = 1000

// text is the source of a file with its lines. Lines end at line feeds alone:
// scan refuses whatever else YAML takes for a break.
type text struct {
	src    string
	starts []int // byte offset of each line
}

func newText(src string) text {
	t := text{src: src, starts: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' {
			t.starts = append(t.starts, i+1)
		}
	}
	return t
}

// line returns a line, from 1, without its break; empty beyond the ends.
func (t text) line(n int) string {
	if n < 1 || n > len(t.starts) {
		return ""
	}
	end := len(t.src)
	if n < len(t.starts) {
		end = t.starts[n] - 1
	}
	return strings.TrimSuffix(t.src[t.starts[n-1]:end], "\r")
}

// offset is the byte offset of a line and column, both from 1, the column in
// runes; clipped to the line.
func (t text) offset(line, column int) int {
	if line < 1 || line > len(t.starts) {
		return len(t.src)
	}
	at := t.starts[line-1]
	for rest := t.line(line); column > 1 && rest != ""; column-- {
		_, size := utf8.DecodeRuneInString(rest)
		at, rest = at+size, rest[size:]
	}
	return at
}

// position is the line and column, both from 1, of a byte offset.
func (t text) position(offset int) (line, column int) {
	offset = min(max(offset, 0), len(t.src))
	lo, hi := 0, len(t.starts)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; t.starts[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + 1, utf8.RuneCountInString(t.src[t.starts[lo]:offset]) + 1
}

// scan reports bytes that no plan may hold. A file with any is not parsed.
func (d *Document) scan() []Problem {
	src := d.text.src
	if len(src) > MaxSize {
		return []Problem{{File: d.File, Severity: SeverityError, Code: "too-large",
			Message: fmt.Sprintf("the file has %d bytes; a plan may have %d", len(src), MaxSize),
			Hint:    "one file holds one plan; move what is no part of it elsewhere"}}
	}
	var ps []Problem
	for at, r := range src {
		code, message, hint := refused(src, at, r)
		if code == "" {
			continue
		}
		line, column := d.text.position(at)
		if ps = append(ps, d.problem(line, column, code, message, hint)); len(ps) > maxProblems {
			break
		}
	}
	return ps
}

// refused says what is wrong with the rune at a place of a source, if anything.
func refused(src string, at int, r rune) (code, message, hint string) {
	switch {
	case r >= ' ' && r <= '~', r == '\n', r == '\t':
		return "", "", ""
	case r == '\r':
		if strings.HasPrefix(src[at:], "\r\n") {
			return "", "", ""
		}
		return "control-character", "carriage return without a line feed", "end lines with a line feed"
	case r == utf8.RuneError && !strings.HasPrefix(src[at:], "\uFFFD"):
		return "encoding", fmt.Sprintf("byte 0x%02x is not UTF-8", src[at]), "save the file as UTF-8"
	case r == 0xFEFF:
		return "encoding", "byte order mark (U+FEFF)", "save the file as UTF-8 without a byte order mark"
	case r < ' ', r >= 0x7F && r <= 0x9F, r == 0xFFFE, r == 0xFFFF:
		return "control-character", fmt.Sprintf("control character %U", r), "remove it"
	case r == 0x2028, r == 0x2029:
		return "control-character", fmt.Sprintf("line separator %U", r), "end lines with a line feed"
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return "control-character", fmt.Sprintf("direction override %U: the text would not read as it is meant", r), "remove it"
	}
	return "", "", ""
}
