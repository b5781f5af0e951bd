package celtext

import (
	"fmt"
	"slices"
	"strings"
)

// Mismatch rewords what the type checker says of a value at which something does
// not fit. Other messages stay as they are.
func Mismatch(msg string) (message, hint string) {
	m := NoOverload.FindStringSubmatch(msg)
	switch {
	case m == nil && strings.HasSuffix(msg, "does not support field selection"):
		return "a value has no fields: nothing can follow its name with a dot", ""
	case m == nil:
		return msg, ""
	}
	operands := strings.Split(m[3], ", ")
	if m[2] != "" {
		operands = append([]string{m[2]}, operands...)
	}
	message = fmt.Sprintf("%s does not apply to %s", strings.Trim(m[1], "_"), strings.Join(operands, " and "))
	switch {
	case m[1] == "_?_:_":
		return fmt.Sprintf("? : wants a condition and two values of one type, not %s", strings.Join(operands, ", ")), "write dyn(...) around one of the two where they differ"
	case m[1] == "_+_" && slices.Contains(operands, "string"):
		hint = "make text of the other: string(...)"
	}
	return message, hint
}
