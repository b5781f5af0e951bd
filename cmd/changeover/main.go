package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set when a release is built; else the build information tells.
var version string

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// app is what every subcommand shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	colour         bool
	// started is set when a subcommand's own work begins: an error before
	// that is a wrong use.
	started bool
	// offline: it was said that no daemon is running.
	offline bool
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, now: time.Now}
	a.colour = wantsColour(stdout, a.getenv)
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return a.finish(cmd, err)
}

// The exit codes.
const (
	exitOK       = 0
	exitFindings = 1 // it ran, and what it looked at is not in order
	exitUsage    = 2 // the command line is wrong
	exitFailed   = 3 // it could not run
)

// exitError carries the code with which an error ends the process. Any other
// error is exitFailed.
type exitError struct {
	code int
	err  error // nil: all was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "findings"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func finding(format string, args ...any) error {
	return &exitError{exitFindings, fmt.Errorf(format, args...)}
}

// errFindings ends with 1 and says nothing more.
var errFindings = &exitError{code: exitFindings}

// finish reports an error and returns the exit code.
func (a *app) finish(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var e *exitError
	switch {
	case errors.As(err, &e):
		code = e.code
	case !a.started:
		code = exitUsage
	}
	if e == nil || e.err != nil {
		_, _ = fmt.Fprintf(a.stderr, "changeover: %s\n", printableLines(strings.TrimSpace(err.Error())))
	}
	if code == exitUsage {
		_, _ = fmt.Fprintf(a.stderr, "See `%s --help`.\n", cmd.CommandPath())
	}
	return code
}

// does wraps a subcommand's work.
func (a *app) does(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return work(cmd.Context(), args)
	}
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "changeover",
		Short: "GitOps for live migrations",
		Long: `Changeover moves live traffic from a legacy system to its replacement.

A Git repository holds MigrationPlans. The daemon (changeover run) watches it, evaluates gates against
Prometheus, and brings the gateway to the phase and percentage that each plan declares. A commit that
raises the position moves a migration forward; a git revert, made by a person or by the daemon when a
rollback gate is breached, moves it back.

Exit codes: 0 in order, 1 findings, 2 wrong use, 3 could not run.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(
		a.runCommand(),
		a.initCommand(),
		a.validateCommand(),
		a.diffCommand(),
		a.renderCommand(),
		a.testCommand(),
		a.translateCommand(),
		a.simulateCommand(),
		a.rehearseCommand(),
		a.backupCommand(),
		a.runbookCommand(),
		a.reportCommand(),
		a.entitiesCommand(),
		a.preflightCommand(),
		a.doctorCommand(),
		a.statusCommand(),
		a.historyCommand(),
		a.gatesCommand(),
		a.clientsCommand(),
		a.shadowCommand(),
		a.transformCommand(),
		a.backtestCommand(),
		a.advanceCommand(),
		a.rollbackCommand(),
		a.approveCommand(),
		a.unholdCommand(),
		a.resumeCommand(),
		a.versionCommand(),
	)
	complete(root)
	return root
}

// printf writes to standard output. A reader that went away is not an error of
// the command.
func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.stdout, format, args...) }

// note writes a line for people to standard error, so that it never mixes with
// output that a program reads.
func (a *app) note(format string, args ...any) { _, _ = fmt.Fprintf(a.stderr, format+"\n", args...) }
