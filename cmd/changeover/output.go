package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/reconciler/web"
)

// The output formats.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"

	formatMarkdown = "markdown"
	formatGitHub   = "github"
)

// outputFlag is -o of one subcommand.
type outputFlag struct {
	value   string
	allowed []string
}

func addOutput(cmd *cobra.Command, allowed ...string) *outputFlag {
	o := &outputFlag{allowed: allowed}
	cmd.Flags().VarP(o, "output", "o", "output format: "+strings.Join(allowed, "|"))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	o.value = allowed[0]
	return o
}

// String, Set and Type make it a flag value.
func (o *outputFlag) String() string { return o.value }

// Set takes one of the allowed formats.
func (o *outputFlag) Set(s string) error {
	if !slices.Contains(o.allowed, s) {
		return fmt.Errorf("want one of %s", strings.Join(o.allowed, ", "))
	}
	o.value = s
	return nil
}

// Type is what help shows for the value.
func (o *outputFlag) Type() string { return "format" }

// structured reports whether a program reads the output.
func (o *outputFlag) structured() bool { return o.value == formatJSON || o.value == formatYAML }

// write prints v as JSON or YAML.
func (o *outputFlag) write(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	b = append(b, '\n')
	if o.value == formatYAML {
		if b, err = yaml.JSONToYAML(b); err != nil {
			return fmt.Errorf("encode output: %w", err)
		}
	}
	_, err = w.Write(b)
	return err
}

// wantsColour: only where a person looks, and has not said no (no-color.org).
func wantsColour(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// The colours. Each word stands for itself without them.
const (
	plain  = ""
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	bold   = "1"
)

var toneColours = map[web.Tone]string{web.Good: green, web.Calm: blue, web.Warn: yellow, web.Bad: red}

func (a *app) paint(colour, s string) string {
	if !a.colour || colour == plain {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// cell of a table.
type cell struct{ text, colour string }

func cells(texts ...string) []cell {
	out := make([]cell, len(texts))
	for i, t := range texts {
		out[i] = cell{text: t}
	}
	return out
}

// table prints rows in columns that are three blanks apart, as kubectl does. A
// column is at least as wide as in least; the widths are returned, for rows
// that come later. Control characters in a cell are shown as '?': text of a
// plan must not move the cursor.
func (a *app) table(w io.Writer, indent string, rows [][]cell, least ...int) (widths []int) {
	widths = slices.Clone(least)
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, c := range row {
			line.WriteString(a.paint(c.colour, printable(c.text)))
			if i+1 < len(row) {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+3))
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	return widths
}

// printable makes one line of text that a terminal shows as it stands: no
// control character, nor one that reorders or hides what is beside it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsGraphic(r):
			return '?'
		}
		return r
	}, s)
}

// printableLines is printable for text of several lines, which may have tabs.
func printableLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, s)
}
