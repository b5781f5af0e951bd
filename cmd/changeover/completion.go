package main

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/changeover-dev/changeover/plan"
)

// maxCompleted bounds how many YAML files are looked at for one press of a key.
const maxCompleted = 2000

// complete lets shells complete plans and stops, by what is in the folders that
// are named, or in this one. The help of a command and of a flag says what it
// takes: PLAN, and a stop as PHASE@PERCENT.
func complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
	words := strings.Fields(cmd.Use)
	if len(words) < 2 || strings.Trim(words[1], "[]{}") != "PLAN" {
		return
	}
	paths := strings.Contains(cmd.Use, "PATH")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return planNames(quickPlans(nil)), cobra.ShellCompDirectiveNoFileComp
		case paths:
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(f.Usage, "PHASE@PERCENT") {
			return
		}
		// An error is that it is registered twice.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return stopNames(args), cobra.ShellCompDirectiveNoFileComp
		})
	})
}

// planNames are as PLAN arguments take them: with a namespace where a name is
// there twice.
func planNames(plans []*plan.Plan) (out []string) {
	count := map[string]int{}
	for _, p := range plans {
		count[p.Metadata.Name]++
	}
	for _, p := range plans {
		name := p.Metadata.Name
		if count[name] > 1 {
			name = p.Key().String()
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// stopNames are those of the plan that the arguments name, in the order of its
// way; of all plans where they name none.
func stopNames(args []string) (out []string) {
	var paths []string
	if len(args) > 1 {
		paths = args[1:]
	}
	for _, p := range quickPlans(paths) {
		if len(args) > 0 {
			if ref, err := parsePlan(args[0], ""); err != nil || !ref.matches(p.Key()) {
				continue
			}
		}
		for _, stop := range p.Itinerary() {
			if !slices.Contains(out, stop.String()) {
				out = append(out, stop.String())
			}
		}
	}
	return out
}

// quickPlans are those of the files and folders, or of this folder, as far as they
// can be read. What is wrong with them is for other commands to say.
func quickPlans(paths []string) (out []*plan.Plan) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	looked := 0
	for _, root := range paths {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil //nolint:nilerr // what cannot be read has nothing to complete
			case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case !d.Type().IsRegular() || !isYAML(path):
				return nil
			}
			if looked++; looked > maxCompleted {
				return filepath.SkipAll
			}
			src, err := readBounded(path)
			if err != nil || len(src) > maxPlanFile || !plan.IsPlan(src) {
				return nil //nolint:nilerr // as above
			}
			if doc, _ := plan.Decode(path, src); doc.Plan.Metadata.Name != "" {
				out = append(out, doc.Plan)
			}
			return nil
		})
	}
	return out
}
