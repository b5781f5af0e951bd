package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	calls "github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

// entityFlags say where the table of owners is, and whom plans may have called.
type entityFlags struct {
	ownership, passwordFile, secrets string
	allow                            []string
}

func (f *entityFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.ownership, "ownership", "", "URL of the table of entities and their owners, as the bridge has it: sqlite:///PATH or postgres://USER@HOST:PORT/DATABASE")
	flags.StringVar(&f.passwordFile, "ownership-password-file", "", "file with the password for --ownership, read for each connection")
	flags.StringVar(&f.secrets, "secrets-dir", "", "folder of the files that plans name for tokens and databases; nothing outside of it is read")
	flags.StringArrayVar(&f.allow, "allow-host", nil, "HOST or HOST:PORT that plans may have called, for inventories and entities (repeatable; default: none)")
}

func (f *entityFlags) check() error {
	if ownership.HasPassword(f.ownership) {
		return usageError("--ownership holds a password, which everybody could read in the list of processes: give --ownership-password-file")
	}
	if f.passwordFile != "" && f.ownership == "" {
		return usageError("--ownership-password-file is for --ownership, which is not given")
	}
	return nil
}

// entityTools are what entities are listed, called and owned with.
type entityTools struct {
	store   ownership.Store
	caller  *calls.Caller
	secrets calls.Secrets
	kube    inventory.Kube // nil: no cluster
	dir     string         // where large lists are sorted
}

// open opens the table and makes a caller.
func (f *entityFlags) open(kube inventory.Kube, dir string) (*entityTools, error) {
	t := &entityTools{secrets: calls.Secrets{Dir: f.secrets}, kube: kube, dir: dir}
	var err error
	if t.caller, err = calls.New(calls.Options{AllowHosts: f.allow, Secrets: t.secrets, UserAgent: "changeover/" + version}); err != nil {
		return nil, usageError("--allow-host: %v", err)
	}
	if f.ownership == "" {
		return nil, usageError("entities need the table of their owners: give --ownership URL, as the bridge has it")
	}
	var password func() (string, error)
	if f.passwordFile != "" {
		password = func() (string, error) {
			b, err := os.ReadFile(f.passwordFile)
			if err != nil {
				return "", fmt.Errorf("read the password of --ownership: %w", err)
			}
			return strings.TrimSpace(string(b)), nil
		}
	}
	t.store, err = ownership.Open(f.ownership, password)
	return t, err
}

func (t *entityTools) close() error {
	t.caller.Close()
	return t.store.Close()
}

// options are those of a plan.
func (t *entityTools) options(p *plan.Plan) (entities.Options, error) {
	e := p.Spec.Entities
	program, err := entity.Compile(e)
	if err != nil {
		return entities.Options{}, err
	}
	o := entities.Options{Plan: p.Key(), Entities: e, Store: t.store, Program: program, Caller: t.caller, Dir: t.dir}
	with := inventory.Options{Caller: t.caller, Secrets: t.secrets, Kube: t.kube}
	var err1, err2 error
	o.Legacy, err1 = inventory.Open("source", e.Source, program.Legacy, with)
	if e.Modern != nil {
		o.Modern, err2 = inventory.Open("modern.source", &e.Modern.Source, program.Modern, with)
	}
	return o, errors.Join(err1, err2)
}

// wireEntities has the entities of plans compared and synced, where the daemon
// knows the table of their owners.
func (w *wired) wireEntities() error {
	f := w.daemon.flags
	if f.entity.ownership == "" {
		return nil
	}
	dir := filepath.Join(f.stateDir, "entities")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for lists of entities: %w", err)
	}
	var kube inventory.Kube
	if c := w.client(); c != nil {
		kube = c
	}
	t, err := f.entity.open(kube, dir)
	if err != nil {
		return err
	}
	locks := &entities.Locks{}
	watcher := entities.NewWatcher(entities.WatchOptions{
		Open: t.options, Locks: locks, Log: w.daemon.log, Now: w.daemon.now, Metrics: entities.NewMetrics(w.daemon.metrics),
	})
	engine := w.handOver(t, locks)
	w.entities.engine, w.entities.watcher = engine, watcher
	w.beside = append(w.beside, func(ctx context.Context) error {
		return errors.Join(engine.Run(ctx), watcher.Run(ctx), t.close())
	})
	return nil
}
