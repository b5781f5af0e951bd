package nginx

import (
	"bytes"
	"fmt"
	"strings"
)

// writer writes directives, indented. It takes tokens that were quoted.
type writer struct {
	b     bytes.Buffer
	depth int
}

func (w *writer) line(s string) {
	for range w.depth {
		w.b.WriteString("    ")
	}
	w.b.WriteString(s)
	w.b.WriteByte('\n')
}

// comment writes text of our own; never a value of a plan.
func (w *writer) comment(s string) { w.line("# " + s) }

func (w *writer) open(format string, args ...any) {
	w.line(fmt.Sprintf(format, args...) + " {")
	w.depth++
}

func (w *writer) directive(tokens ...string) { w.line(strings.Join(tokens, " ") + ";") }

func (w *writer) close() {
	w.depth--
	w.line("}")
	if w.depth == 0 {
		w.b.WriteByte('\n')
	}
}

// bytes is what was written, without the blank line at its end.
func (w *writer) bytes() []byte {
	return append(bytes.TrimRight(w.b.Bytes(), "\n"), '\n')
}
