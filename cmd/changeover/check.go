package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
	"github.com/changeover-dev/changeover/render/entity"
	"github.com/changeover-dev/changeover/render/flagd"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/render/kustomize"
	"github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/render/transform"
	"github.com/changeover-dev/changeover/render/translate"
)

// check finds what validation alone cannot: expressions and queries, and what
// the plan's gateway cannot do. The daemon and `validate` ask the same.
func check(doc *plan.Document) []plan.Problem {
	return slices.Concat(gates.Check(doc), translate.Check(doc), entity.Check(doc), transform.Check(doc), nginx.Check(doc), gatewayapi.Check(doc), flagd.Check(doc))
}

// withCluster also refuses what needs a cluster where the daemon has none.
func withCluster(check func(*plan.Document) []plan.Problem, o reconciler.Options) func(*plan.Document) []plan.Problem {
	return func(doc *plan.Document) []plan.Problem {
		problems := check(doc)
		if o.GatewayAPI != nil {
			return problems
		}
		const hint = "start the daemon with --kubeconfig FILE or --in-cluster"
		add := func(path, message, hint string) {
			problems = append(problems, doc.Problem(path, 0, "no-cluster", message, hint))
		}
		transformProblems(doc, o, add, hint)
		if len(doc.Plan.Spec.Flags) > 0 && o.Flags == nil {
			add("spec.flags", "the daemon has nowhere to put the flags", hint+", or with --flags-dir DIR or --ofrep-listen ADDRESS")
		}
		for i, ph := range doc.Plan.Spec.Phases {
			if ph.Backup != nil && o.Backup == nil {
				add(fmt.Sprintf("spec.phases[%d].backup", i), "the daemon has no cluster whose objects it could save", hint)
			}
			if ph.Cluster != nil && o.Cluster == nil {
				add(fmt.Sprintf("spec.phases[%d].cluster", i), "the daemon has no cluster to apply this to", hint+", or with --rendered DIR where another engine applies")
			}
		}
		if g := doc.Plan.Spec.Gateway; g != nil && g.GatewayAPI != nil {
			add("spec.gateway.gatewayAPI", "the daemon has no cluster in which the HTTPRoute would be", hint)
		}
		if sidelabel.Wants(doc.Plan) {
			add("spec.entities.owner", "the daemon has no cluster in which the objects would be labelled", hint)
		}
		if len(doc.Plan.Spec.Objects) > 0 && o.Cluster == nil {
			add("spec.objects", "the daemon has no cluster from which the gates could read objects", hint)
		}
		return problems
	}
}

// checkOverlays looks into the kustomizations that a plan's file on disk names.
// Paths in its problems are as the user wrote the plan's.
func checkOverlays(name string, doc *plan.Document) []plan.Problem {
	if !slices.ContainsFunc(doc.Plan.Spec.Phases, func(ph plan.Phase) bool { return ph.Cluster != nil }) {
		return nil
	}
	root, rel, err := repositoryOf(name)
	if err != nil {
		return []plan.Problem{doc.Problem("", 0, "unreadable", fmt.Sprintf("find the repository of the file: %v", err), "")}
	}
	inside := *doc
	inside.File = rel
	_, problems := kustomize.Reads(os.DirFS(root), &inside)
	for i := range problems {
		problems[i].File = shownPath(name, filepath.Join(root, filepath.FromSlash(problems[i].File)))
	}
	return problems
}

// shownPath writes an absolute path as the user wrote the plan's: absolute, or
// from the working directory.
func shownPath(like, path string) string {
	if filepath.IsAbs(like) {
		return path
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil {
			return rel
		}
	}
	return path
}

// repositoryOf finds the root of the Git repository in which a file lies, and
// the file's path in it. Outside of any it is the file's own folder: nothing
// above that can be trusted to belong to it.
func repositoryOf(name string) (root, rel string, err error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", "", err
	}
	root = filepath.Dir(abs)
	for dir := root; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			root = dir
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	rel, err = filepath.Rel(root, abs)
	return root, filepath.ToSlash(rel), err
}
