package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitUsage  = 2
	exitFailed = 3 // could not run
)

// Main runs the command and returns its exit code. SIGTERM or SIGINT lets it
// drain; a second one ends it at once.
func Main(args []string, stdout, stderr io.Writer) int {
	o, version, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "changeover-bridge: %v (--help lists the flags)\n", err)
		return exitUsage
	case err != nil:
		fmt.Fprintf(stderr, "changeover-bridge: %v\n", err)
		return exitFailed
	case version:
		fmt.Fprintf(stdout, "changeover-bridge %s\n", buildVersion())
		return exitOK
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal has its default effect
	if err := Run(ctx, o, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "changeover-bridge: %v\n", err)
		return exitFailed
	}
	return exitOK
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
