package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

func TestAnnotationsEscapeWhatTheRunnerReads(t *testing.T) {
	got := annotations([]plan.Problem{
		{File: "a,b:c%.yaml", Line: 3, Column: 7, Severity: plan.SeverityError, Code: "x:y,z", Message: "100% of\r\nit: a, b\x1b[2J", Hint: "::error::no"},
		{File: "plan.yaml", Severity: plan.SeverityWarning, Code: "whole", Message: "m"},
		{File: stdinName, Line: 1, Severity: plan.SeverityError, Code: "c", Message: "m"},
	}, "")
	want := "::error file=a%2Cb%3Ac%25.yaml,line=3,col=7,title=x%3Ay%2Cz::100%25 of%0D%0Ait: a, b?[2J%0Ahint: ::error::no\n" +
		"::warning file=plan.yaml,title=whole::m\n" +
		"::error line=1,col=1,title=c::m\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// readAnnotation parses one as the runner does.
func readAnnotation(line string) (properties map[string]string, message string, ok bool) {
	head, message, ok := strings.Cut(strings.TrimPrefix(line, "::error "), "::")
	properties = map[string]string{}
	back := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	for p := range strings.SplitSeq(head, ",") {
		name, value, _ := strings.Cut(p, "=")
		properties[name] = back.Replace(value)
	}
	return properties, strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(message), ok
}

func TestAnnotationsReadBack(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab:,%\r\n=|2ACD0 é")), 1, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		p := plan.Problem{File: text.Draw(t, "file"), Line: 2, Column: 3, Severity: plan.SeverityError, Code: text.Draw(t, "code"), Message: text.Draw(t, "message")}
		out := annotations([]plan.Problem{p}, "")
		if strings.Count(out, "\n") != 1 {
			t.Fatalf("more than a line: %q", out)
		}
		props, message, ok := readAnnotation(strings.TrimSuffix(out, "\n"))
		if !ok || props["file"] != p.File || props["title"] != p.Code || message != p.Message || len(props) != 4 {
			t.Fatalf("%q was read as %q, %q", out, props, message)
		}
	})
}
