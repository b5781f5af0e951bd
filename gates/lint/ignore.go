package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/plan"
)

// ignoreComment is `# changeover:ignore CODE REASON`.
var ignoreComment = regexp.MustCompile(`(?:^|\s)(#\s*changeover:ignore\b)[ \t]*(\S*)[ \t]*(.*)`)

// comment is one ignore comment.
type comment struct {
	line, column int // from 1, the column in runes
	source       string
	code, reason string
	// of is the line that it speaks of; 0: the whole file.
	of   int
	used bool
}

// ignoreComments finds the comments of a file. One behind something speaks of
// its own line, one on a line of its own of the next line that is no comment.
// One above everything speaks of the whole file.
func ignoreComments(src []byte) []*comment {
	var found, waiting []*comment
	content := false
	for i, raw := range bytes.Split(src, []byte("\n")) {
		line := strings.TrimSuffix(string(raw), "\r")
		alone := strings.HasPrefix(strings.TrimSpace(line), "#")
		blank := strings.TrimSpace(line) == "" || strings.TrimSpace(line) == "---"
		if !alone && !blank {
			for _, c := range waiting {
				c.of = i + 1
				if !content {
					c.of = 0
				}
			}
			waiting, content = nil, true
		}
		m := ignoreComment.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		c := &comment{line: i + 1, column: utf8.RuneCountInString(line[:m[2]]) + 1, source: line,
			code: line[m[4]:m[5]], reason: strings.TrimSpace(line[m[6]:m[7]]), of: i + 1}
		found = append(found, c)
		if alone {
			c.of = -1
			waiting = append(waiting, c)
		}
	}
	return found
}

// fault says what is wrong with a comment, if anything.
func (c *comment) fault() (message, hint string) {
	const form = "write # changeover:ignore CODE REASON"
	known, ok := codeOf(c.code)
	switch {
	case c.code == "":
		return "the comment does not say what to ignore", form
	case !ok:
		return fmt.Sprintf("%q is no code of a warning", c.code), "errors cannot be ignored; `changeover validate --codes` lists the warnings"
	case known.Fixed:
		return fmt.Sprintf("%q cannot be ignored", c.code), "mend the comment that it speaks of"
	case c.reason == "":
		return fmt.Sprintf("the comment does not say why to ignore %q", c.code), form + ": the next reader wants to know"
	}
	return "", ""
}

// ignore drops the warnings that the comments of the file name, and adds those
// of the comments themselves. Of the codes in unknown there may be warnings that
// nobody looked for.
func ignore(doc *plan.Document, ps []plan.Problem, unknown map[string]bool) []plan.Problem {
	comments := ignoreComments(doc.Source)
	if len(comments) == 0 {
		return ps
	}
	var out []plan.Problem
	for _, p := range ps {
		ignored := false
		for _, c := range comments {
			if message, _ := c.fault(); message == "" && c.code == p.Code && (c.of == 0 || c.of == p.Line) {
				ignored, c.used = true, true
			}
		}
		if !ignored {
			out = append(out, p)
		}
	}
	for _, c := range comments {
		message, hint := c.fault()
		switch {
		case message != "":
			out = append(out, c.problem(doc.File, BadIgnore, message, hint))
		case !c.used && !unknown[c.code]:
			out = append(out, c.problem(doc.File, UnusedIgnore, fmt.Sprintf("there is no %s here to ignore", c.code), c.where()))
		}
	}
	return out
}

func (c *comment) where() string {
	switch c.of {
	case 0:
		return "above everything a comment speaks of the whole file; remove it"
	case c.line:
		return "a comment speaks of its own line, or alone on a line of the next; move or remove it"
	}
	return "a comment alone on a line speaks of the next line; move or remove it"
}

func (c *comment) problem(file, code, message, hint string) plan.Problem {
	p := plan.Problem{File: file, Line: c.line, Column: c.column, Severity: plan.SeverityWarning, Code: code, Message: message, Hint: hint}
	if len(c.source) <= 1000 {
		p.Source = c.source
	}
	return p
}
