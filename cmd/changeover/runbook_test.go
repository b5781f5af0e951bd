package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestTheRunbookNamesCommandsThatExist parses each command in the runbook of a
// full plan as the command line does.
func TestTheRunbookNamesCommandsThatExist(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"runbook", "so", "runbook/testdata/full.yaml"}, nil, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	commands := regexp.MustCompile("`changeover ([^`]*)`").FindAllStringSubmatch(out.String(), -1)
	if len(commands) < 15 {
		t.Fatalf("it names %d commands only", len(commands))
	}
	for _, m := range commands {
		args := strings.Fields(strings.ReplaceAll(m[1], "'...'", "why"))
		root := (&app{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}).rootCommand()
		cmd, rest, err := root.Find(args)
		if err != nil {
			t.Errorf("%q: %v", m[0], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%q: %v", m[0], err)
			continue
		}
		if cmd.Args != nil {
			if err := cmd.Args(cmd, cmd.Flags().Args()); err != nil {
				t.Errorf("%q: %v", m[0], err)
			}
		}
	}
}
