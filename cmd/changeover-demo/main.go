package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/story"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns 0 if every step was observed, 1 if not, 2 for wrong usage.
func run(args []string, stdout *os.File, stderr io.Writer) int {
	o := story.Options{Out: stdout, Colour: terminal(stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	f := flag.NewFlagSet("changeover-demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.BinDir, "bin-dir", "", "folder of changeover and changeover-bridge (default: where this program is)")
	f.StringVar(&o.Dir, "dir", "", "new or empty folder for the repository, state and logs; it is kept (default: a temporary one)")
	f.BoolVar(&o.Keep, "keep", false, "keep the temporary folder")
	f.BoolVar(&o.Stay, "stay", false, "name commands to try at each point, and keep everything up after the story until Ctrl-C")
	f.IntVar(&o.Patience, "patience", 1, "wait this many times as long for each step, on a slow or busy machine")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "changeover-demo: want no arguments, got %q\n", f.Args())
		return 2
	}
	if o.Patience < 1 {
		fmt.Fprintf(stderr, "changeover-demo: -patience is %d, want 1 or more\n", o.Patience)
		return 2
	}
	if o.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			fmt.Fprintf(stderr, "changeover-demo: find the other programs: %v\n", err)
			return 1
		}
		o.BinDir = filepath.Dir(self)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := story.Run(ctx, o); err != nil {
		fmt.Fprintf(stderr, "changeover-demo: %v\n", err)
		return 1
	}
	return 0
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
