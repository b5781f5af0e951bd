package kustomize

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// Build returns what a stop of a plan wants in the cluster, in kustomize's
// order: Namespaces and CustomResourceDefinitions first, webhooks last, unless
// the kustomization has sortOptions. Files is the repository as a whole at the
// revision; where it has symlinks it must be an fs.ReadLinkFS. File is the
// plan's path in it. Numbers are int64 and float64. Objects without a namespace
// are left without one, except the ConfigMap PositionName.
//
// It fails with *Refused for all that Reads reports, where kustomize fails, and
// where nothing but the ConfigMap came of it, an object has no name, or one is
// there twice. No error holds data of a Secret.
//
// It may be called from any goroutine; kustomize runs one build at a time.
func Build(files fs.FS, p *plan.Plan, file string, stop plan.Position, rev plan.Revision) ([]render.Object, error) {
	objects, _, err := build(context.Background(), files, p, file, stop, rev)
	return objects, err
}

// build is Build. Size is that of the objects as JSON, in bytes. The context
// ends the wait for other builds.
func build(ctx context.Context, files fs.FS, p *plan.Plan, file string, stop plan.Position, rev plan.Revision) (out []render.Object, size int, err error) {
	c, err := stopOf(p, stop)
	if err != nil {
		return nil, 0, err
	}
	s := newScan(newStore(files))
	dir := s.phase(file, c.Path, s.whole(file))
	if ps := s.problems(); len(ps) > 0 {
		return nil, 0, &Refused{Problems: ps}
	}
	at, err := position(p, stop, rev)
	if err != nil {
		return nil, 0, fmt.Errorf("build plan %q: %w", p.Metadata.Name, err)
	}
	s.tree.extra(dir, at)
	all, err := run(ctx, s.tree, dir)
	if err == nil {
		out, size, err = objects(all, p.Metadata.Namespace)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("build %q: %w", dir, err)
	}
	return out, size, nil
}

// extra adds a resource to a kustomization, in a file of its own.
func (t *tree) extra(dir string, object []byte) {
	name := PositionName + ".changeover.json"
	for t.files[path.Join(dir, name)] != nil {
		name = "-" + name
	}
	t.files[path.Join(dir, name)] = object
	k := t.units[dir]
	list, _ := k["resources"].([]any)
	k["resources"] = append(list, "./"+name)
}

// turn is held by the one build that runs: kustomize keeps schemas in variables
// of the process.
var turn = make(chan struct{}, 1)

// clean is whether kustomize's schemas are known to be its own: reading them
// takes longer than most builds, so they are read anew only where another could
// have left something. No build here can change them, as `openapi` and `crds`
// are refused. It is guarded by turn.
var clean = false

// run builds a tree. Where that fails, the error is kustomize's own only if it
// holds no data of a Secret.
func run(ctx context.Context, t *tree, dir string) ([][]byte, error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another build: %w", ctx.Err())
	}
	out, err := krustyRun(t, dir)
	if err == nil {
		return out, nil
	}
	if safe, differs := t.redacted(); differs {
		if _, again := krustyRun(safe, dir); again == nil || again.Error() != err.Error() {
			return nil, fmt.Errorf("kustomize failed, and why is left out, as it may hold data of a Secret: run `kustomize build %s` to see it", dir)
		}
	}
	return nil, fmt.Errorf("kustomize: %s", short(err.Error()))
}

// maxError is how much of kustomize's errors is repeated, in bytes: they can
// hold whole objects.
const maxError = 1000

func short(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "") + "..."
	}
	return s
}

// krustyRun runs kustomize on a tree. It must be called by one goroutine at a
// time. Panics are errors.
func krustyRun(t *tree, dir string) (out [][]byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, fmt.Errorf("a defect of kustomize: %v", v)
			clean = false // who knows what it left
		}
	}()
	if !clean {
		openapi.ResetOpenAPI()
		clean = true
	}
	disk, err := t.disk()
	if err != nil {
		return nil, err
	}
	m, err := krusty.MakeKustomizer(&krusty.Options{
		// The order of `kustomize build`.
		Reorder:          krusty.ReorderOptionUnspecified,
		LoadRestrictions: types.LoadRestrictionsRootOnly,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(disk, path.Join("/", dir))
	if err != nil {
		return nil, err
	}
	return export(m)
}

// disk is the tree as a file system in memory.
func (t *tree) disk() (filesys.FileSystem, error) {
	disk := filesys.MakeFsInMemory()
	for p, data := range t.files {
		if err := disk.WriteFile("/"+p, data); err != nil {
			return nil, fmt.Errorf("put %q into memory: %w", p, err)
		}
	}
	for dir, k := range t.units {
		b, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("write the kustomization of %q anew: %w", dir, err)
		}
		if err := disk.WriteFile("/"+path.Join(dir, "kustomization.yaml"), b); err != nil {
			return nil, fmt.Errorf("put the kustomization of %q into memory: %w", dir, err)
		}
	}
	return disk, nil
}
