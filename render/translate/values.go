package translate

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Bounds of what a mapping makes, in bytes.
const (
	maxPath  = 8 << 10
	maxValue = 8 << 10
	// maxValues is how many values one header or parameter gets.
	maxValues = 64
)

func methodOf(v ref.Val) (string, error) {
	s, ok := v.(types.String)
	switch m := string(s); {
	case !ok:
		return "", errors.New("the method is no text")
	case m == "" || len(m) > 32 || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "":
		return "", errors.New("the method is no upper-case word")
	case m == "CONNECT" || m == "TRACE":
		return "", errors.New("CONNECT and TRACE are not sent")
	default:
		return m, nil
	}
}

func statusOf(v ref.Val) (int, error) {
	var n int64
	switch x := v.(type) {
	case types.Int:
		n = int64(x)
	case types.Uint:
		n = int64(min(uint64(x), 1000))
	default:
		return 0, errors.New("the status is no whole number")
	}
	if n < 200 || n > 599 {
		return 0, errors.New("the status is not from 200 to 599")
	}
	return int(n), nil
}

// pathOf is a path, escaped, from a text or a list of segments.
func pathOf(v ref.Val) (string, error) {
	var path, escaped string
	switch x := v.(type) {
	case types.String:
		path = string(x)
		escaped = (&url.URL{Path: path}).EscapedPath()
		if !strings.HasPrefix(path, "/") {
			return "", errors.New("the path does not begin with /")
		}
	case traits.Lister:
		parts, err := textsOf(x)
		if err != nil {
			return "", fmt.Errorf("of the path %w", err)
		}
		for _, p := range parts {
			if p == "" {
				return "", errors.New("a segment of the path is empty")
			}
			path += "/" + p
			escaped += "/" + url.PathEscape(p)
		}
		if escaped == "" {
			path, escaped = "/", "/"
		}
	default:
		return "", errors.New("the path is neither a text nor a list of texts")
	}
	if len(escaped) > maxPath {
		return "", fmt.Errorf("the path is longer than %d bytes", maxPath)
	}
	return escaped, cleanPath(path)
}

// cleanPath refuses a path that leads elsewhere once a server resolves it, also for
// one that takes \ for /.
func cleanPath(path string) error {
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("the path holds a control character")
	}
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	for _, p := range parts {
		// Some servers cut what follows a ; before they resolve dots.
		if p, _, _ = strings.Cut(p, ";"); p == "." || p == ".." {
			return errors.New("the path holds a segment . or .. alone")
		}
	}
	if strings.Contains(strings.ReplaceAll(path, `\`, "/"), "//") {
		return errors.New("the path holds an empty segment")
	}
	return nil
}

// valuesOf are the values of a header or parameter; none: it is removed.
func valuesOf(v ref.Val) ([]string, error) {
	switch x := v.(type) {
	case types.Null:
		return nil, nil
	case *types.Optional:
		if !x.HasValue() {
			return nil, nil
		}
		return valuesOf(x.GetValue())
	case traits.Lister:
		return textsOf(x)
	}
	s, err := textOf(v)
	if err != nil {
		return nil, err
	}
	return []string{s}, nil
}

func textsOf(l traits.Lister) ([]string, error) {
	n, _ := l.Size().(types.Int)
	if n > maxValues {
		return nil, fmt.Errorf("there are more than %d values", maxValues)
	}
	out := make([]string, n)
	for i := range out {
		var err error
		if out[i], err = textOf(l.Get(types.Int(i))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func textOf(v ref.Val) (s string, err error) {
	switch x := v.(type) {
	case types.String:
		s = string(x)
	case types.Bool:
		s = strconv.FormatBool(bool(x))
	case types.Int:
		s = strconv.FormatInt(int64(x), 10)
	case types.Uint:
		s = strconv.FormatUint(uint64(x), 10)
	case types.Double:
		s = strconv.FormatFloat(float64(x), 'f', -1, 64)
	default:
		return "", errors.New("a value is neither a text nor a number")
	}
	if len(s) > maxValue {
		return "", fmt.Errorf("a value is longer than %d bytes", maxValue)
	}
	return s, nil
}

// headerValue refuses what no header can hold.
func headerValue(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("a value holds a control character")
	}
	return nil
}
