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
// drain; a second one ends it at once. SIGUSR2 lets it start the program that is
// on disk now in its place, without a dropped connection.
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
	if err := o.handover(args); err != nil {
		fmt.Fprintf(stderr, "changeover-bridge: %v\n", err)
		return exitFailed
	}
	handOver := make(chan os.Signal, 1)
	signal.Notify(handOver, syscall.SIGUSR2)
	defer signal.Stop(handOver)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal has its default effect
	if err := Run(ctx, o, handOver, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "changeover-bridge: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// handover fills in how another bridge takes this one's place, and whether this
// one does.
func (o *Options) handover(args []string) (err error) {
	if o.program, err = os.Executable(); err != nil {
		return fmt.Errorf("find the own program: %w", err)
	}
	o.args, o.notifySocket = args, os.Getenv("NOTIFY_SOCKET")
	for _, e := range os.Environ() {
		if e == handoverEnv+"=1" {
			o.inherit = true
		} else {
			o.env = append(o.env, e)
		}
	}
	return nil
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
