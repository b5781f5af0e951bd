package plan

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// scalar follows a scalar through the source: the byte offset of every rune of
// its value, and where its token ends (0 for block scalars). ok is false where
// it cannot be followed exactly, as in folded blocks.
func (t text) scalar(n *yaml.Node) (at []int, end int, ok bool) {
	f := follower{src: t.src, pos: t.offset(n.Line, n.Column)}
	switch style := n.Style &^ yaml.TaggedStyle; style {
	case 0:
		f.plain(utf8.RuneCountInString(n.Value))
	case yaml.SingleQuotedStyle:
		f.quoted('\'')
	case yaml.DoubleQuotedStyle:
		f.quoted('"')
	case yaml.LiteralStyle:
		at, ok = t.literal(n)
		return at, 0, ok
	default:
		return nil, 0, false
	}
	return f.at, f.pos, string(f.value) == n.Value
}

// literal follows a `|` block: its lines stand in the source one for one, all
// with the same indentation.
func (t text) literal(n *yaml.Node) (at []int, ok bool) {
	values := strings.Split(n.Value, "\n")
	first := slices.IndexFunc(values, func(s string) bool { return s != "" })
	if first < 0 {
		return nil, false
	}
	indent := len(t.line(n.Line+1+first)) - len(values[first])
	for i, v := range values {
		no := n.Line + 1 + i
		raw := t.line(no)
		start := t.offset(no, 1)
		switch {
		case indent >= 0 && len(raw) >= indent && raw[indent:] == v && strings.Trim(raw[:indent], " ") == "":
			start += indent
		case v == "" && strings.Trim(raw, " ") == "", i == len(values)-1 && v == "":
			start += len(raw)
		default:
			return nil, false
		}
		for j := range v {
			at = append(at, start+j)
		}
		if i < len(values)-1 {
			at = append(at, start+len(v))
		}
	}
	return at, true
}

// follower reads a flow scalar as YAML does and notes where each rune of its
// value comes from.
type follower struct {
	src   string
	pos   int
	value []rune
	at    []int
}

func (f *follower) emit(r rune, at int) {
	f.value, f.at = append(f.value, r), append(f.at, at)
}

// plain follows an unquoted scalar of that many runes.
func (f *follower) plain(runes int) {
	for len(f.value) < runes && f.pos < len(f.src) {
		if !f.fold() {
			f.literal()
		}
	}
}

// quoted follows a scalar in quotes, to behind the closing one.
func (f *follower) quoted(quote byte) {
	if !strings.HasPrefix(f.src[f.pos:], string(quote)) {
		return
	}
	for f.pos++; f.pos < len(f.src); {
		switch c := f.src[f.pos]; {
		case f.fold():
		case c == quote && quote == '\'' && strings.HasPrefix(f.src[f.pos:], "''"):
			f.emit('\'', f.pos)
			f.pos += 2
		case c == quote:
			f.pos++
			return
		case c == '\\' && quote == '"':
			if !f.escape() {
				return
			}
		default:
			f.literal()
		}
	}
}

// literal takes one rune as it stands.
func (f *follower) literal() {
	r, size := utf8.DecodeRuneInString(f.src[f.pos:])
	f.emit(r, f.pos)
	f.pos += size
}

// fold takes blanks with the line breaks behind them: one break is a space in
// the value, more are one line feed less.
func (f *follower) fold() bool {
	breaks, first, pos := 0, 0, f.pos
	for {
		next := pos + len(f.src[pos:]) - len(strings.TrimLeft(f.src[pos:], " \t"))
		after, ok := strings.CutPrefix(strings.TrimPrefix(f.src[next:], "\r"), "\n")
		if !ok {
			break
		}
		if breaks++; breaks == 1 {
			first = next
		}
		pos = len(f.src) - len(after)
	}
	if breaks == 0 {
		return false
	}
	f.pos = pos + len(f.src[pos:]) - len(strings.TrimLeft(f.src[pos:], " \t"))
	if breaks == 1 {
		f.emit(' ', first)
	}
	for range breaks - 1 {
		f.emit('\n', first)
	}
	return true
}

// escapes with a value of their own; x, u and U carry a number.
var escapes = map[byte]rune{
	'0': 0, 'a': 7, 'b': 8, 't': 9, '\t': 9, 'n': 10, 'v': 11, 'f': 12, 'r': 13, 'e': 27,
	' ': ' ', '"': '"', '/': '/', '\\': '\\', 'N': 0x85, '_': 0xA0, 'L': 0x2028, 'P': 0x2029,
}

var escapeDigits = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// escape takes a backslash and what it means; false where it means nothing.
func (f *follower) escape() bool {
	start := f.pos
	rest := f.src[start+1:]
	if rest == "" {
		return false
	}
	if after, ok := strings.CutPrefix(strings.TrimPrefix(rest, "\r"), "\n"); ok {
		f.pos = len(f.src) - len(strings.TrimLeft(after, " \t"))
		return true
	}
	if r, ok := escapes[rest[0]]; ok {
		f.emit(r, start)
		f.pos += 2
		return true
	}
	digits := escapeDigits[rest[0]]
	if digits == 0 || len(rest) <= digits {
		return false
	}
	v, err := strconv.ParseUint(rest[1:1+digits], 16, 32)
	if err != nil {
		return false
	}
	f.emit(rune(v), start)
	f.pos += 2 + digits
	return true
}
