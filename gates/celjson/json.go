package celjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// MaxDepth is how deep JSON may be nested.
const MaxDepth = 100

// What is wrong with a text that is read, or a value that is written.
var (
	ErrDepth = fmt.Errorf("the JSON is nested more than %d deep", MaxDepth)
	ErrJSON  = errors.New("the body is no JSON")
	ErrLarge = errors.New("the result is too large")
)

// Encode writes a value that CEL made, or one as Decode returns, as JSON of at most
// max bytes: keys are sorted, so equal values give equal bytes. Errors are ErrLarge,
// or say what has no form in JSON; they hold nothing of the value.
func Encode(v any, max int) ([]byte, error) {
	w := writer{max: max}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// Decode reads one JSON value. Errors are ErrDepth or ErrJSON: they hold nothing of
// the body. No bytes but blanks are nil, as is null.
func Decode(src []byte) (any, error) {
	if tooDeep(src) {
		return nil, ErrDepth
	}
	if len(bytes.TrimLeft(src, " \t\r\n")) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, ErrJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrJSON
	}
	return numbered(v)
}

// tooDeep looks before anything is built: a decoder recurses.
func tooDeep(src []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// numbered gives numbers the types that expressions know, in place.
func numbered(v any) (any, error) {
	var err error
	switch x := v.(type) {
	case json.Number:
		return number(x.String())
	case []any:
		for i := range x {
			if x[i], err = numbered(x[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k, e := range x {
			switch e.(type) {
			case json.Number, []any, map[string]any:
				if x[k], err = numbered(e); err != nil {
					return nil, err
				}
			}
		}
	}
	return v, nil
}

func number(s string) (any, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, ErrJSON // beyond what a double holds
	}
	return f, nil
}

// writer writes values as JSON, up to a size.
type writer struct {
	buf []byte
	max int
}

var errNested = fmt.Errorf("the result is nested more than %d deep", MaxDepth)

func (w *writer) value(v any, depth int) error {
	if depth > MaxDepth {
		return errNested
	}
	switch x := v.(type) {
	case nil:
		w.buf = append(w.buf, "null"...)
	case bool:
		w.buf = strconv.AppendBool(w.buf, x)
	case int64:
		w.buf = strconv.AppendInt(w.buf, x, 10)
	case uint64:
		w.buf = strconv.AppendUint(w.buf, x, 10)
	case float64:
		return w.double(x)
	case string:
		w.text(x)
	case []any:
		return w.list(len(x), depth, func(i int) any { return x[i] })
	case map[string]any:
		return w.object(slices.Sorted(maps.Keys(x)), depth, func(k string) any { return x[k] })
	case ref.Val:
		return w.val(x, depth)
	default:
		return fmt.Errorf("a value of Go's type %T has no JSON form", v)
	}
	return w.fits()
}

func (w *writer) fits() error {
	if len(w.buf) > w.max {
		return ErrLarge
	}
	return nil
}

// val writes a value that CEL made.
func (w *writer) val(v ref.Val, depth int) error {
	switch x := v.(type) {
	case types.Null:
		return w.value(nil, depth)
	case types.Bool:
		return w.value(bool(x), depth)
	case types.Int:
		return w.value(int64(x), depth)
	case types.Uint:
		return w.value(uint64(x), depth)
	case types.Double:
		return w.double(float64(x))
	case types.String:
		return w.value(string(x), depth)
	case types.Bytes:
		return w.value(base64.StdEncoding.EncodeToString(x), depth)
	case types.Timestamp:
		return w.value(x.UTC().Format(time.RFC3339Nano), depth)
	case types.Duration:
		return w.value(x.Duration.String(), depth)
	case *types.Optional:
		if !x.HasValue() {
			return w.value(nil, depth)
		}
		return w.val(x.GetValue(), depth)
	case traits.Mapper:
		return w.mapper(x, depth)
	case traits.Lister:
		if native, ok := x.Value().([]any); ok {
			return w.value(native, depth)
		}
		n, _ := x.Size().(types.Int)
		return w.list(int(n), depth, func(i int) any { return x.Get(types.Int(i)) })
	}
	return fmt.Errorf("a value of type %s has no JSON form", v.Type().TypeName())
}

func (w *writer) mapper(m traits.Mapper, depth int) error {
	if native, ok := m.Value().(map[string]any); ok {
		return w.value(native, depth)
	}
	values := map[string]ref.Val{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		name, ok := k.(types.String)
		if !ok {
			return errors.New("a key of a map is no text")
		}
		values[string(name)] = m.Get(k)
	}
	return w.object(slices.Sorted(maps.Keys(values)), depth, func(k string) any { return values[k] })
}

func (w *writer) list(n, depth int, at func(int) any) error {
	w.buf = append(w.buf, '[')
	for i := range n {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := w.value(at(i), depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, ']')
	return w.fits()
}

func (w *writer) object(keys []string, depth int, at func(string) any) error {
	w.buf = append(w.buf, '{')
	for i, k := range keys {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.text(k)
		w.buf = append(w.buf, ':')
		if err := w.value(at(k), depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, '}')
	return w.fits()
}

func (w *writer) double(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("a number is not finite")
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	w.buf = strconv.AppendFloat(w.buf, f, format, -1, 64)
	return w.fits()
}

// text writes a text in quotes. What is no UTF-8 becomes U+FFFD.
func (w *writer) text(s string) {
	const hex = "0123456789abcdef"
	w.buf = append(w.buf, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.buf = append(w.buf, '\\', byte(r))
		case r == '\n':
			w.buf = append(w.buf, '\\', 'n')
		case r == '\r':
			w.buf = append(w.buf, '\\', 'r')
		case r == '\t':
			w.buf = append(w.buf, '\\', 't')
		case r < ' ' || r == 0x7f:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			w.buf = utf8.AppendRune(w.buf, r)
		}
	}
	w.buf = append(w.buf, '"')
}
