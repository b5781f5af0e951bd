package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/cmd/changeover/strictyaml"
	"github.com/changeover-dev/changeover/plan"
)

// maxSources of a daemon.
const maxSources = 256

// sourceName is that of a folder, a label's value, and what people type.
var sourceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// userInURL finds a URL with a user, whose name may be a token.
var userInURL = regexp.MustCompile(`://[^/\s]*@`)

// ofOne are the flags that would mean the same thing for every source, and so
// are no defaults.
var ofOne = []string{"repo", "git-dir", "rendered", "rendered-branch", "forge-project"}

// sourcesError is all that is wrong in a sources file.
type sourcesError struct{ problems []plan.Problem }

func (e *sourcesError) Error() string {
	var b strings.Builder
	for _, p := range e.problems {
		b.WriteString("\n" + strings.TrimRight(p.Render(), "\n"))
	}
	return "--sources: the file cannot be taken:" + b.String()
}

// sources that the flags name, checked: one, or those of the file.
func (f *runFlags) sources(given *pflag.FlagSet, getenv func(string) string) ([]*sourceFlags, error) {
	if f.sourcesFile == "" {
		f.dir = f.stateDir
		return []*sourceFlags{&f.sourceFlags}, f.sourceFlags.check()
	}
	for _, name := range ofOne {
		if given.Changed(name) {
			return nil, usageError("--%s goes without --sources: give it to each source in %s", name, f.sourcesFile)
		}
	}
	src, err := readBounded(f.sourcesFile)
	if err != nil {
		return nil, usageError("--sources: %w", err)
	}
	if len(src) > maxPlanFile {
		return nil, usageError("--sources: %q is larger than %d bytes", f.sourcesFile, maxPlanFile)
	}
	r := &sourcesReader{given: given, getenv: getenv, stateDir: f.stateDir}
	var root *yaml.Node
	if r.File, root = strictyaml.Read(f.sourcesFile, "sources", src); root != nil {
		r.read(root)
	}
	if problems := r.Problems(); len(problems) > 0 {
		for i := range problems {
			if userInURL.MatchString(problems[i].Source) {
				problems[i].Source = "" // it may hold a token
			}
		}
		return nil, &exitError{exitUsage, &sourcesError{problems}}
	}
	return r.found, nil
}

// sourcesReader reads a sources file: a list of objects whose fields are named
// as the daemon's flags, which are the defaults.
type sourcesReader struct {
	*strictyaml.File
	given    *pflag.FlagSet
	getenv   func(string) string
	stateDir string
	found    []*sourceFlags
}

func (r *sourcesReader) read(root *yaml.Node) {
	r.Fields(root, "the file", map[string]func(key, value *yaml.Node){
		"sources": func(_, list *yaml.Node) {
			r.List(list, r.source)
			if n := len(r.found); n == 0 && len(r.Problems()) == 0 {
				r.Add(list, "empty", "the list has no source", "a source has at least a name and a repo")
			} else if n > maxSources {
				r.Add(list, "too-many", fmt.Sprintf("%d sources: a daemon takes at most %d", n, maxSources), "run several daemons")
			}
		},
	}, "sources")
}

func (r *sourcesReader) source(n *yaml.Node) {
	s := &sourceFlags{}
	cmd := &cobra.Command{}
	s.add(cmd, r.getenv)
	own := cmd.Flags()
	r.given.Visit(func(f *pflag.Flag) {
		if to := own.Lookup(f.Name); to != nil {
			set(to, values(f)...) //nolint:errcheck // it was taken on the command line
		}
	})
	known := map[string]func(key, value *yaml.Node){"name": func(_, v *yaml.Node) { s.name = r.nameOf(v) }}
	own.VisitAll(func(f *pflag.Flag) {
		known[f.Name] = func(_, v *yaml.Node) {
			if err := set(f, r.valuesOf(f, v)...); err != nil {
				r.Add(v, "bad-value", err.Error(), f.Usage)
			}
		}
	})
	before := len(r.Problems())
	r.Fields(n, "a source", known, "name", "repo")
	if len(r.Problems()) > before {
		return
	}
	s.dir = filepath.Join(r.stateDir, sourcesFolder, s.name)
	if err := s.check(); err != nil {
		r.Add(n, "bad-source", err.Error(), "the fields are named as the flags, without --")
		return
	}
	if i := slices.IndexFunc(r.found, func(o *sourceFlags) bool {
		return o.repo == s.repo && o.branch == s.branch && filepath.Clean(o.path) == filepath.Clean(s.path)
	}); i >= 0 {
		r.Add(n, "duplicate-source", fmt.Sprintf("source %q watches the same folder of the same branch", r.found[i].name), "drop one of the two")
		return
	}
	if i := slices.IndexFunc(r.found, func(o *sourceFlags) bool {
		return s.rendered.dir != "" && o.rendered.dir != "" && filepath.Clean(o.rendered.dir) == filepath.Clean(s.rendered.dir)
	}); i >= 0 {
		r.Add(n, "duplicate-folder", fmt.Sprintf("source %q has its rendered manifests in the same folder", r.found[i].name), "give each a folder of its own")
		return
	}
	r.found = append(r.found, s)
}

func (r *sourcesReader) nameOf(v *yaml.Node) string {
	name := r.Text(v)
	switch {
	case name == "":
	case !sourceName.MatchString(name):
		r.Add(v, "bad-name", fmt.Sprintf("%q is no name of a source", name), "want lower case letters, digits and -, at most 63")
	case slices.ContainsFunc(r.found, func(o *sourceFlags) bool { return o.name == name }):
		r.Add(v, "duplicate-name", fmt.Sprintf("another source has the name %q", name), "a source's records are kept by its name")
	}
	return name
}

// valuesOf a field, as on the command line.
func (r *sourcesReader) valuesOf(f *pflag.Flag, v *yaml.Node) (out []string) {
	switch f.Value.Type() {
	case "bool":
		return []string{fmt.Sprint(r.Bool(v))}
	case "stringArray":
		r.List(v, func(n *yaml.Node) { out = append(out, r.Text(n)) })
		return out
	default:
		return []string{r.Text(v)}
	}
}

// values of a flag.
func values(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

// set replaces what a flag has.
func set(f *pflag.Flag, values ...string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(values)
	}
	if len(values) != 1 {
		return errors.New("want one value")
	}
	return f.Value.Set(values[0])
}
