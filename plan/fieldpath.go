package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parts of an answer that a FieldPath can name.
const (
	FieldStatus = "status"
	FieldHeader = "header"
	FieldBody   = "body"
	FieldJSON   = "$"
)

// FieldPath names a part of an answer: `status`, `header.NAME`, `body` (all of a
// body, of whatever form), or a place in a JSON body: `$` is the whole value,
// `.name` or `["any name"]` a field, `.*` any field, `[*]` any element.
type FieldPath struct {
	// Part is one of the four above.
	Part string
	// Header is the name behind `header.`.
	Header string
	// Steps lead down from `$`.
	Steps []FieldStep
}

// FieldStep is a field by its name, any field, or any element.
type FieldStep struct {
	Name string
	// Any field, where Element is not set.
	Any bool
	// Element of an array, any.
	Element bool
}

// String is what ParseFieldPath reads, in its shortest form.
func (p FieldPath) String() string {
	switch p.Part {
	case FieldHeader:
		return FieldHeader + "." + p.Header
	case FieldJSON:
	default:
		return p.Part
	}
	var b strings.Builder
	b.WriteString("$")
	for _, s := range p.Steps {
		b.WriteString(s.String())
	}
	return b.String()
}

// String is the step as it stands in a path.
func (s FieldStep) String() string {
	switch {
	case s.Element:
		return "[*]"
	case s.Any:
		return ".*"
	case s.Name != "" && strings.IndexFunc(s.Name, func(r rune) bool { return !nameRune(r) }) < 0:
		return "." + s.Name
	}
	b, err := json.Marshal(s.Name)
	if err != nil { // never for a string
		return `[""]`
	}
	return "[" + string(b) + "]"
}

// maxSteps is how deep a path goes.
const maxSteps = 64

// ParseFieldPath reads a path. Offset is the rune at which an error stands.
func ParseFieldPath(s string) (p FieldPath, offset int, err error) {
	name, isHeader := strings.CutPrefix(s, FieldHeader+".")
	switch {
	case s == FieldStatus, s == FieldBody:
		return FieldPath{Part: s}, 0, nil
	case isHeader && token.MatchString(name):
		return FieldPath{Part: FieldHeader, Header: name}, 0, nil
	case isHeader:
		return p, len(FieldHeader) + 1, fmt.Errorf("%s is no name of a header", shorten(name))
	case !strings.HasPrefix(s, FieldJSON):
		return p, 0, fmt.Errorf("%s begins neither with $ nor with header. and is neither status nor body", shorten(s))
	}
	p.Part = FieldJSON
	for at := 1; at < len(s); {
		if len(p.Steps) == maxSteps {
			return p, utf8.RuneCountInString(s[:at]), fmt.Errorf("the path has more than %d steps", maxSteps)
		}
		step, size, bad, err := readStep(s[at:])
		if err != nil {
			return p, utf8.RuneCountInString(s[:at+bad]), err
		}
		p.Steps = append(p.Steps, step)
		at += size
	}
	return p, 0, nil
}

// readStep reads the step with which s begins. Bad is the byte of an error.
func readStep(s string) (step FieldStep, size, bad int, err error) {
	switch {
	case strings.HasPrefix(s, "[*]"):
		return FieldStep{Element: true}, 3, 0, nil
	case strings.HasPrefix(s, ".*"):
		return FieldStep{Any: true}, 2, 0, nil
	case strings.HasPrefix(s, `["`):
		return quotedStep(s)
	case s[0] == '[':
		return step, 0, 1, fmt.Errorf(`expected * or a name in double quotes behind [`)
	case s[0] != '.':
		return step, 0, 0, fmt.Errorf("expected . or [")
	}
	end := 1 + strings.IndexFunc(s[1:]+"\x00", func(r rune) bool { return !nameRune(r) })
	if end == 1 {
		return step, 0, 1, fmt.Errorf("expected the name of a field or * behind the dot")
	}
	return FieldStep{Name: s[1:end]}, end, 0, nil
}

// quotedStep reads `["name"]`, whose name is a JSON string.
func quotedStep(s string) (step FieldStep, size, bad int, err error) {
	end := 2
	for end < len(s) && s[end] != '"' {
		if s[end] == '\\' {
			end++
		}
		end++
	}
	switch {
	case end >= len(s):
		return step, 0, 1, fmt.Errorf("the name in quotes does not end")
	case json.Unmarshal([]byte(s[1:end+1]), &step.Name) != nil:
		return step, 0, 1, fmt.Errorf("%s is no text as JSON has it", shorten(s[1:end+1]))
	case !strings.HasPrefix(s[end+1:], "]"):
		return step, 0, end + 1, fmt.Errorf("expected ] behind the name")
	}
	return step, end + 2, 0, nil
}

// nameRune reports whether a rune may stand in a name without quotes.
func nameRune(r rune) bool {
	return r == '_' || r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
