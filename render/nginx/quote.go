package nginx

import (
	"errors"
	"fmt"
	"strings"
)

// maxToken is what fits into the 4096 bytes that nginx reads a token into.
const maxToken = 4000

// quote writes s as one quoted token. nginx reads a backslash as an escape
// before a quote, a backslash, t, r and n alone and else as itself, so only
// those are doubled and regular expressions stay legible. Where the directive
// expands variables, s must hold no dollar sign but theirs.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"':
			b.WriteString(`\"`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\\':
			b.WriteByte('\\')
			if i+1 == len(s) || strings.IndexByte("\"'\\trn\n\r\t", s[i+1]) >= 0 {
				b.WriteByte('\\')
			}
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// maxText bounds one text of a plan, and chunk the part of it that goes into
// one geo block: with every byte escaped it is still one token.
const (
	maxText = 64 << 10
	chunk   = maxToken / 2
)

// texts collects literal texts as variables. A dollar sign cannot be escaped
// where nginx expands variables; the value of a geo block is never expanded.
type texts struct {
	names names
	geos  []string          // values, in the order of first use
	index map[string]string // value to variable
}

// text returns what stands for s in a token that nginx expands.
func (t *texts) text(s string) (string, error) {
	if len(s) > maxText {
		return "", fmt.Errorf("the text has %d bytes, nginx can take at most %d", len(s), maxText)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", errors.New("the text holds a NUL byte, which nginx cannot carry")
	}
	var out strings.Builder
	for first := true; first || s != ""; first = false {
		n := min(len(s), chunk)
		out.WriteString(t.variable(s[:n]))
		s = s[n:]
	}
	return out.String(), nil
}

func (t *texts) variable(value string) string {
	if v, ok := t.index[value]; ok {
		return v
	}
	v := t.names.variable(fmt.Sprintf("text%d", len(t.geos)))
	if t.index == nil {
		t.index = make(map[string]string)
	}
	t.index[value] = v
	t.geos = append(t.geos, value)
	return v
}
