package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildFacts are what `changeover version` prints.
type buildFacts struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() buildFacts {
	f := buildFacts{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if f.Version == "" {
			f.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				f.Commit = s.Value
			case "vcs.time":
				f.Time = s.Value
			case "vcs.modified":
				f.Modified = s.Value == "true"
			}
		}
	}
	if f.Version == "" {
		f.Version = "(devel)"
	}
	return f
}

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version and how it was built", Args: noArguments,
		Long: "Print the version, the commit and the Go version of this program. `changeover doctor` compares it with the daemon's.",
		Example: `  changeover version
  changeover version -o json`,
	}
	out := addOutput(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = a.does(func(_ context.Context, _ []string) error {
		f := readBuild()
		if out.structured() {
			return out.write(a.stdout, f)
		}
		a.printf("changeover %s\n", f.Version)
		if f.Commit != "" {
			changed := ""
			if f.Modified {
				changed = ", with changes that are not committed"
			}
			a.printf("commit     %s (%s%s)\n", f.Commit, f.Time, changed)
		}
		a.printf("built with %s for %s\n", f.Go, f.Platform)
		return nil
	})
	return cmd
}
