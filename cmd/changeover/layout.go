package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/record"
)

// A state directory has the records of its one source in itself, or those of
// several in a folder for each.

// sourcesFolder of the state directory has one folder for each source.
const sourcesFolder = "sources"

// sourceNames are those of the folders.
func sourceNames(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, sourcesFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the sources in the state directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && sourceName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// recorded counts the plans with a record in a directory, which need not exist.
func recorded(ctx context.Context, dir string) (int, error) {
	d, err := record.OpenReadOnly(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	keys, err := d.Keys(ctx)
	return len(keys), errors.Join(err, d.Close())
}

// checkLayout refuses a state directory with records that this daemon would not
// find: its plans would be taken for new ones.
func checkLayout(ctx context.Context, stateDir string, several bool) error {
	if several {
		n, err := recorded(ctx, stateDir)
		if err == nil && n > 0 {
			to := filepath.Join(stateDir, sourcesFolder, "NAME")
			err = fmt.Errorf("start with --sources: %q has the records of %d plans of a daemon with --repo; make the folder %s for the source that is this repository, and move plans, git and daemon-id there", stateDir, n, to)
		}
		return err
	}
	names, err := sourceNames(stateDir)
	for _, name := range names {
		dir := filepath.Join(stateDir, sourcesFolder, name)
		n, err := recorded(ctx, dir)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("start with --repo: %q has the records of %d plans of a daemon with --sources; go on with --sources, or move plans, git and daemon-id of the one source that is left from there to %s", dir, n, stateDir)
		}
	}
	return err
}

// left are the sources with records that are not watched any more.
func left(ctx context.Context, stateDir string, watched []*sourceFlags) ([]string, error) {
	names, err := sourceNames(stateDir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if slices.ContainsFunc(watched, func(f *sourceFlags) bool { return f.name == name }) {
			continue
		}
		n, err := recorded(ctx, filepath.Join(stateDir, sourcesFolder, name))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out = append(out, name)
		}
	}
	return out, nil
}

// dirViews are what a daemon wrote last of each of its sources; the one without
// a name is that of a daemon with one.
type dirViews map[string]dirView

// openDirs opens the state directory for reading.
func openDirs(stateDir string) (dirViews, error) {
	d, err := record.OpenReadOnly(stateDir)
	if err != nil {
		return nil, err
	}
	views := dirViews{"": dirView{d}}
	names, err := sourceNames(stateDir)
	for _, name := range names {
		var d *record.Dir
		if d, err = record.OpenReadOnly(filepath.Join(stateDir, sourcesFolder, name)); err != nil {
			break
		}
		views[name] = dirView{d}
	}
	if err != nil {
		views.close()
		return nil, err
	}
	return views, nil
}

func (v dirViews) close() {
	for _, d := range v {
		_ = d.Close() // it was only read
	}
}

// Statuses of all plans, sorted by key.
func (v dirViews) Statuses(ctx context.Context) ([]reconciler.Status, error) {
	out := []reconciler.Status{}
	for name, d := range v {
		all, err := d.Statuses(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			all[i].Source = name
		}
		out = append(out, all...)
	}
	slices.SortFunc(out, func(a, b reconciler.Status) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name), cmp.Compare(a.Source, b.Source))
	})
	return out, nil
}

// History of a plan: of the source that has one.
func (v dirViews) History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	for _, d := range v {
		if entries, err := d.History(ctx, key, n); err != nil || len(entries) > 0 {
			return entries, err
		}
	}
	return nil, nil
}
