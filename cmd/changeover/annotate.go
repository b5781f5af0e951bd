package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// annotations are problems as workflow commands of GitHub Actions, one a line:
// the runner shows them at their places in the pull request. Workspace is the
// folder from which GitHub counts paths; where it is empty they stay as they are.
func annotations(ps []plan.Problem, workspace string) string {
	var b strings.Builder
	for _, p := range ps {
		level := "error"
		if p.Severity == plan.SeverityWarning {
			level = "warning"
		}
		var at []string
		if p.File != stdinName {
			at = append(at, "file="+property(fromWorkspace(p.File, workspace)))
		}
		if p.Line > 0 {
			at = append(at, fmt.Sprintf("line=%d", p.Line), fmt.Sprintf("col=%d", max(p.Column, 1)))
		}
		text := p.Message
		if p.Hint != "" {
			text += "\nhint: " + p.Hint
		}
		fmt.Fprintf(&b, "::%s %s::%s\n", level, strings.Join(append(at, "title="+property(p.Code)), ","), commandText(text))
	}
	return b.String()
}

// fromWorkspace is the path from the folder, where it is below.
func fromWorkspace(name, workspace string) string {
	if workspace == "" {
		return name
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	rel, err := filepath.Rel(workspace, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return name
	}
	return filepath.ToSlash(rel)
}

// The escapes of workflow commands: those of their text, and those of their
// properties, which end at a comma or a colon.
var (
	commandEscapes  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// What is left of control characters is not for a log.
func commandText(s string) string { return printable(commandEscapes.Replace(s)) }
func property(s string) string    { return printable(propertyEscapes.Replace(s)) }
