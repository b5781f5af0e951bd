package nginx

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// matchLimit bounds how often nginx's PCRE may backtrack in one match, as RE2,
// in whose terms plans are written, never does. A request that would need
// more does not match; one match costs a few milliseconds at most.
const matchLimit = 100_000

// pcre writes an RE2 expression as a PCRE one that matches the same texts. It
// is built from the parsed tree and not from the source, because the two
// languages give some of the same source another meaning ($, \z, \s, \pN,
// (?m), \Q, case folding), and the tree has none of that left.
//
// Where the expression could match anything beyond ASCII, PCRE reads UTF-8, as
// RE2 does. It fails for a path that is no valid UTF-8, so there is a second
// pattern for those, which takes each byte for a character.
func pcre(expr string) (patterns, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return patterns{}, fmt.Errorf("parse regular expression %q: %w", expr, err)
	}
	if size, depth := pcreSize(re); size > maxPCRE || depth > maxDepth {
		return patterns{}, fmt.Errorf("regular expression %q is too large for nginx: write out fewer repetitions", expr)
	}
	w := &pcreWriter{}
	w.write(re)
	limit := fmt.Sprintf("(*LIMIT_MATCH=%d)", matchLimit)
	out := patterns{text: limit + w.b.String()}
	if w.beyondASCII {
		bytes := &pcreWriter{bytes: true}
		bytes.write(re)
		out = patterns{text: limit + "(*UTF)" + w.b.String(), bytes: limit + bytes.b.String()}
	}
	if len(quote(out.text)) > maxToken || len(quote(out.bytes)) > maxToken {
		return patterns{}, fmt.Errorf("regular expression %q is too large for nginx: it takes %d bytes there, a line holds %d; use smaller classes", expr, len(out.text), maxToken)
	}
	return out, nil
}

// patterns are one expression as PCRE reads it: over text in UTF-8, and over
// what is none. bytes is empty where one pattern does for both.
type patterns struct{ text, bytes string }

// validUTF8 matches, byte by byte, what is valid UTF-8.
const validUTF8 = `\A(?:[\x00-\x7f]++|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]` +
	`|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*+\z`

// PCRE compiles a pattern into at most 64 KiB and nests at most 250 groups.
const (
	maxPCRE  = 50_000
	maxDepth = 200
)

// pcreSize estimates, from above, the bytes that PCRE compiles a tree into.
func pcreSize(re *syntax.Regexp) (size, depth int) {
	size = 16 + 8*len(re.Rune)
	if re.Op == syntax.OpCharClass {
		size += 32
	}
	for _, sub := range re.Sub {
		s, d := pcreSize(sub)
		size += s
		depth = max(depth, d)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxPCRE+1), depth + 1
}

type pcreWriter struct {
	b strings.Builder
	// bytes: each byte is a character, there are none beyond U+00FF.
	bytes       bool
	beyondASCII bool
}

func (w *pcreWriter) write(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpNoMatch:
		w.b.WriteString(`(?!)`)
	case syntax.OpEmptyMatch:
		w.b.WriteString(`(?:)`)
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			w.literal(r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		w.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		w.beyondASCII = true
		w.b.WriteString(`[^\x0a]`)
	case syntax.OpAnyChar:
		w.beyondASCII = true
		w.b.WriteString(`(?s:.)`)
	case syntax.OpBeginLine:
		w.b.WriteString(`(?:\A|(?<=\x0a))`)
	case syntax.OpEndLine:
		w.b.WriteString(`(?=\x0a|\z)`)
	case syntax.OpBeginText:
		w.b.WriteString(`\A`)
	case syntax.OpEndText:
		w.b.WriteString(`\z`)
	case syntax.OpWordBoundary:
		w.b.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		w.b.WriteString(`\B`)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			w.operand(sub, sub.Op == syntax.OpAlternate)
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				w.b.WriteByte('|')
			}
			w.write(sub)
		}
	case syntax.OpCapture:
		w.operand(re.Sub[0], true)
	default:
		w.repeat(re)
	}
}

// repeat writes the four repetitions. Whether they are greedy makes no
// difference to whether the whole matches.
func (w *pcreWriter) repeat(re *syntax.Regexp) {
	w.operand(re.Sub[0], true)
	switch re.Op {
	case syntax.OpStar:
		w.b.WriteByte('*')
	case syntax.OpPlus:
		w.b.WriteByte('+')
	case syntax.OpQuest:
		w.b.WriteByte('?')
	case syntax.OpRepeat:
		switch {
		case re.Max < 0:
			fmt.Fprintf(&w.b, "{%d,}", re.Min)
		case re.Max == re.Min:
			fmt.Fprintf(&w.b, "{%d}", re.Min)
		default:
			fmt.Fprintf(&w.b, "{%d,%d}", re.Min, re.Max)
		}
	}
}

// operand writes a part that something binds to, in a group unless it is one
// item already.
func (w *pcreWriter) operand(re *syntax.Regexp, bound bool) {
	single := re.Op == syntax.OpCharClass || re.Op == syntax.OpAnyCharNotNL || re.Op == syntax.OpAnyChar ||
		re.Op == syntax.OpLiteral && len(re.Rune) == 1 || re.Op == syntax.OpCapture
	if !bound || single {
		w.write(re)
		return
	}
	w.b.WriteString("(?:")
	w.write(re)
	w.b.WriteByte(')')
}

func (w *pcreWriter) literal(r rune, fold bool) {
	if fold {
		if orbit := foldsOf(r); len(orbit) > 2 {
			w.class(orbit)
			return
		}
	}
	if w.bytes && r > 0xff {
		w.b.WriteString(`(?!)`)
		return
	}
	w.rune(r)
}

// foldsOf lists, as a class, the runes that are equal to r without regard to
// case.
func foldsOf(r rune) []rune {
	class := []rune{r, r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		class = append(class, f, f)
	}
	return class
}

// class writes a class of ranges, negated where that is shorter to read.
func (w *pcreWriter) class(ranges []rune) {
	ranges = withoutSurrogates(ranges)
	if len(ranges) == 0 {
		w.b.WriteString(`(?!)`)
		return
	}
	open := "["
	if ranges[len(ranges)-1] == unicode.MaxRune {
		if neg := negate(ranges); len(neg) > 0 {
			open, ranges, w.beyondASCII = "[^", neg, true
		}
	}
	if w.bytes {
		if ranges = belowU0100(ranges); len(ranges) == 0 {
			w.b.WriteString(map[string]string{"[": `(?!)`, "[^": `(?s:.)`}[open])
			return
		}
	}
	w.b.WriteString(open)
	for i := 0; i < len(ranges); i += 2 {
		w.rune(ranges[i])
		if ranges[i+1] > ranges[i] {
			if ranges[i+1] > ranges[i]+1 {
				w.b.WriteByte('-')
			}
			w.rune(ranges[i+1])
		}
	}
	w.b.WriteByte(']')
}

const (
	minSurrogate = 0xD800
	maxSurrogate = 0xDFFF
)

// withoutSurrogates drops what no valid UTF-8 holds and PCRE refuses to name.
func withoutSurrogates(ranges []rune) []rune {
	var out []rune
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if hi < minSurrogate || lo > maxSurrogate {
			out = append(out, lo, hi)
			continue
		}
		if lo < minSurrogate {
			out = append(out, lo, minSurrogate-1)
		}
		if hi > maxSurrogate {
			out = append(out, maxSurrogate+1, hi)
		}
	}
	return out
}

// belowU0100 drops what is not the value of a byte.
func belowU0100(ranges []rune) []rune {
	var out []rune
	for i := 0; i < len(ranges) && ranges[i] <= 0xff; i += 2 {
		out = append(out, ranges[i], min(ranges[i+1], 0xff))
	}
	return out
}

// negate returns the runes outside of sorted ranges, surrogates left out.
func negate(ranges []rune) []rune {
	var out []rune
	next := rune(0)
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] > next {
			out = append(out, next, ranges[i]-1)
		}
		next = ranges[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return withoutSurrogates(out)
}

func (w *pcreWriter) rune(r rune) {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '/':
		w.b.WriteRune(r)
	case r > ' ' && r < 0x7f:
		w.b.WriteByte('\\')
		w.b.WriteRune(r)
	case r < 0x80:
		fmt.Fprintf(&w.b, `\x%02x`, r)
	default:
		w.beyondASCII = true
		fmt.Fprintf(&w.b, `\x{%x}`, r)
	}
}

// literalPattern is a PCRE that matches the bytes of s and nothing else.
func literalPattern(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '/':
			b.WriteByte(c)
		case c > ' ' && c < 0x7f:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
