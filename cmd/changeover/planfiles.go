package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// maxPlanFile is more than any plan needs. A larger YAML file below a folder
// is none; one that was named is refused.
const maxPlanFile = 1 << 20

// stdinName is how standard input is called in problems.
const stdinName = "<stdin>"

// planFiles are the plans that were found, each with its problems.
type planFiles struct {
	docs     []*plan.Document
	problems []plan.Problem
	// failed are the paths that could not be read.
	failed []error
	// folders is set where folders were searched: what is in none of the files
	// may be taken not to be there.
	folders bool
}

// readPlans reads the files named, the YAML files below the folders named, and
// standard input for "-". A path without any plan is a problem of its own.
func (a *app) readPlans(paths []string) planFiles {
	var f planFiles
	seen := map[string]bool{}
	for _, path := range paths {
		switch fi, err := os.Stat(path); {
		case path == "-":
			src, err := io.ReadAll(io.LimitReader(a.stdin, maxPlanFile+1))
			if err != nil {
				f.failed = append(f.failed, fmt.Errorf("read standard input: %w", err))
				continue
			}
			f.addNamed(stdinName, src)
		case err != nil:
			f.failed = append(f.failed, fmt.Errorf("read %q: %w", path, plainCause(err)))
		case fi.IsDir():
			f.addFolder(path, seen)
		case !seen[filepath.Clean(path)]:
			seen[filepath.Clean(path)] = true
			src, err := readBounded(path)
			if err != nil {
				f.failed = append(f.failed, err)
				continue
			}
			f.addNamed(path, src)
		}
	}
	f.findDuplicates()
	f.problems = append(f.problems, plan.Connect(f.docs)...)
	plan.Sort(f.problems)
	return f
}

// plainCause drops the system call and the path, which the caller names.
func plainCause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readBounded reads at most one byte more than a plan may have.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, plainCause(err))
	}
	defer func() { _ = file.Close() }()
	src, err := io.ReadAll(io.LimitReader(file, maxPlanFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, plainCause(err))
	}
	return src, nil
}

// addNamed adds a file that the user named: it must be a plan.
func (f *planFiles) addNamed(name string, src []byte) {
	switch {
	case len(src) > maxPlanFile:
		f.whole(name, "too-large", fmt.Sprintf("the file is larger than %d bytes; no plan is", maxPlanFile), "")
	case plan.IsApproval(src):
		f.addApproval(name, src)
	case !plan.IsPlan(src):
		f.whole(name, "no-plan", "this is no MigrationPlan", fmt.Sprintf("a plan begins with `apiVersion: %s` and `kind: %s`", plan.APIVersion, plan.Kind))
	default:
		f.add(name, src)
	}
}

// addFolder adds the plans below a folder. Other files are ignored, and so are
// folders whose name begins with a dot.
func (f *planFiles) addFolder(root string, seen map[string]bool) {
	f.folders = true
	looked, plans := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			f.failed = append(f.failed, fmt.Errorf("read %q: %w", path, plainCause(err)))
			return nil
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.Type().IsRegular() || !isYAML(path):
			return nil
		}
		looked++
		src, err := readBounded(path)
		if err != nil {
			f.failed = append(f.failed, err)
			return nil
		}
		if len(src) <= maxPlanFile && plan.IsApproval(src) && !seen[filepath.Clean(path)] {
			seen[filepath.Clean(path)] = true
			f.addApproval(path, src)
			return nil
		}
		if len(src) > maxPlanFile || !plan.IsPlan(src) {
			return nil
		}
		plans++
		if !seen[filepath.Clean(path)] {
			seen[filepath.Clean(path)] = true
			f.add(path, src)
		}
		return nil
	})
	if err != nil {
		f.failed = append(f.failed, fmt.Errorf("read %q: %w", root, err))
	}
	if plans == 0 {
		f.whole(root, "no-plan", fmt.Sprintf("no MigrationPlan below this folder (%d YAML files looked at)", looked),
			fmt.Sprintf("a plan is a *.yaml or *.yml file that begins with `apiVersion: %s` and `kind: %s`", plan.APIVersion, plan.Kind))
	}
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

func (f *planFiles) add(name string, src []byte) {
	doc, problems := plan.Decode(name, src)
	f.docs = append(f.docs, doc)
	f.problems = append(f.problems, problems...)
	f.problems = append(f.problems, check(doc)...)
	if name != stdinName {
		f.problems = append(f.problems, checkOverlays(name, doc)...)
	}
}

func (f *planFiles) addApproval(name string, src []byte) {
	_, problems := plan.DecodeApproval(name, src)
	f.problems = append(f.problems, problems...)
}

// whole adds a problem of a whole file or folder.
func (f *planFiles) whole(name, code, message, hint string) {
	f.problems = append(f.problems, plan.Problem{File: name, Severity: plan.SeverityError, Code: code, Message: message, Hint: hint})
}

// findDuplicates: two plans of one name in one namespace are an error of both.
func (f *planFiles) findDuplicates() {
	byKey := map[plan.Key][]*plan.Document{}
	for _, d := range f.docs {
		if d.Plan.Metadata.Name != "" {
			byKey[d.Plan.Key()] = append(byKey[d.Plan.Key()], d)
		}
	}
	for _, d := range f.docs {
		same := byKey[d.Plan.Key()]
		if i := slices.IndexFunc(same, func(o *plan.Document) bool { return o != d }); i >= 0 {
			f.problems = append(f.problems, d.Problem("metadata.name", 0, "duplicate-plan",
				fmt.Sprintf("plan %q is also in %s", d.Plan.Key(), same[i].File), "a plan is known by namespace and name, wherever its file is: rename or remove one"))
		}
	}
}

// keys of the plans that were found.
func (f *planFiles) keys() []plan.Key {
	var out []plan.Key
	for _, d := range f.docs {
		if d.Plan.Metadata.Name != "" {
			out = append(out, d.Plan.Key())
		}
	}
	return out
}

// of returns the problems of one file.
func (f *planFiles) of(file string) []plan.Problem {
	return slices.DeleteFunc(slices.Clone(f.problems), func(p plan.Problem) bool { return p.File != file })
}
