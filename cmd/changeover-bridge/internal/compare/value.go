package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be.
const maxDepth = 128

var (
	errTooDeep = errors.New("the JSON is too deep")
	errNotJSON = errors.New("not one JSON value in UTF-8")
)

// parse reads one JSON value; numbers stay as they are written.
func parse(body []byte) (any, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if !utf8.Valid(body) {
		return nil, errNotJSON // the parser would make different bytes equal
	}
	if depth(body) > maxDepth {
		return nil, errTooDeep
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

// depth of the brackets outside of texts.
func depth(body []byte) (most int) {
	open, text := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			open++
			most = max(most, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return most
}

// decimal is a number in one form: digits without zeros at their ends, and a power
// of ten. Equal numbers have equal forms, whatever their size.
func decimal(n json.Number) string {
	s, negative := strings.CutPrefix(string(n), "-")
	mantissa, exp, _ := strings.Cut(strings.ReplaceAll(s, "E", "e"), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	power := new(big.Int)
	if len(exp) <= 40 { // a longer one is compared as it is written
		power.SetString(strings.TrimPrefix(exp, "+"), 10)
		exp = ""
	}
	short := strings.TrimRight(digits, "0")
	power.Add(power, big.NewInt(int64(len(digits)-len(short)-len(fraction))))
	sign := ""
	if negative {
		sign = "-"
	}
	return sign + short + "e" + power.String() + "x" + exp
}

// near reports whether two numbers are at most so far apart. Numbers of more than
// a thousand digits or a power beyond a thousand are not near anything.
func near(a, b json.Number, tolerance float64) bool {
	x, ok := rational(a)
	y, fine := rational(b)
	t, good := new(big.Rat).SetString(strconv.FormatFloat(tolerance, 'g', -1, 64))
	if !ok || !fine || !good {
		return false
	}
	return x.Sub(x, y).Abs(x).Cmp(t) <= 0
}

func rational(n json.Number) (*big.Rat, bool) {
	const most = 1000
	at := strings.IndexAny(string(n), "eE")
	if at >= 0 {
		if exp, err := strconv.Atoi(string(n)[at+1:]); err != nil || exp > most || exp < -most {
			return nil, false
		}
	}
	if len(n) > most {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}

// scalar is the text of a text, number or truth value.
func scalar(v any) (s string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// canonical appends a value in one form: equal values have equal forms.
func canonical(out []byte, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		return append(out, decimal(v)...)
	case string:
		return strconv.AppendQuote(out, v)
	case []any:
		out = append(out, '[')
		for _, e := range v {
			out = append(canonical(out, e), ',')
		}
		return append(out, ']')
	case map[string]any:
		out = append(out, '{')
		for _, k := range sortedKeys(v) {
			out = append(strconv.AppendQuote(out, k), ':')
			out = append(canonical(out, v[k]), ',')
		}
		return append(out, '}')
	case bool:
		return strconv.AppendBool(out, v)
	}
	return append(out, "null"...)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// typeOf names the type of a value as JSON does.
func typeOf(v any) string {
	switch v.(type) {
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case bool:
		return "boolean"
	}
	return "null"
}
