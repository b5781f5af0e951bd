package migrationreport

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"
)

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Markdown writes the report for a chat, a wiki or a pull request. Nothing of
// what people wrote into commits or plans is markup in it.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	d := r.document()
	fmt.Fprintf(&b, "# %s\n\n", escape(d.Title))
	for _, line := range d.Lead {
		fmt.Fprintf(&b, "%s\n\n", escape(line))
	}
	for i, s := range d.Sections {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "## %s\n", escape(s.Title))
		for _, text := range s.Text {
			fmt.Fprintf(&b, "\n%s\n", escape(text))
		}
		if len(s.List) > 0 {
			b.WriteString("\n")
		}
		for _, item := range s.List {
			fmt.Fprintf(&b, "- %s\n", escape(item))
		}
		if len(s.Rows) > 0 {
			fmt.Fprintf(&b, "\n|%s\n|%s\n", row(s.Head), strings.Repeat("---|", len(s.Head)))
		}
		for _, cells := range s.Rows {
			fmt.Fprintf(&b, "|%s\n", row(cells))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func row(cells []string) string {
	var b strings.Builder
	for _, c := range cells {
		b.WriteString(" " + escape(c) + " |")
	}
	return b.String()
}

// special are the characters that mean something to Markdown within a line.
const special = "\\`*_[]<>|~&"

// escape makes one line that reads as it stands. A dash, a number or a # that
// begins a line is never text of others: a word of ours is before it, or a cell.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			r = ' '
		case !unicode.IsGraphic(r):
			r = '?'
		case strings.ContainsRune(special, r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// HTML writes the report as a page that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	if err := page.Execute(w, r.document()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
