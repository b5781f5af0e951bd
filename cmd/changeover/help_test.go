package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandExplainsItself: one sentence, a description, and an example that
// is a command line of its own. The commands of cobra are its own.
func TestEveryCommandExplainsItself(t *testing.T) {
	a := &app{getenv: func(string) string { return "" }}
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.HasSubCommands() {
			return // its subcommands have the examples
		}
		seen++
		path := cmd.CommandPath()
		if s := cmd.Short; s == "" || strings.HasSuffix(s, ".") || strings.Contains(s, "\n") {
			t.Errorf("%s: the summary is %q, want one sentence without a full stop", path, s)
		}
		if cmd.Long == "" {
			t.Errorf("%s has no description", path)
		}
		if !strings.Contains(cmd.Example, path) {
			t.Errorf("%s has no example of itself: %q", path, cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: the example %q is not indented by two", path, line)
			}
		}
	}
	walk(a.rootCommand())
	if seen < 30 {
		t.Errorf("found only %d commands", seen)
	}
}
