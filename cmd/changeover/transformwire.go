package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/transform"
)

// transformsDir of a source's state directory has the records of transforms.
const transformsDir = "transforms"

// wireTransforms adds what carries out a source's transforms. It has a client of
// its own: tens of thousands of objects are not to delay what the loops ask.
func (w *wired) wireTransforms(s *source, o *reconciler.Options) ([]func(context.Context) error, error) {
	if w.kube == nil {
		return nil, nil
	}
	f := &w.daemon.flags.kube
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.qps, Burst: f.burst, UserAgent: "changeover-transforms/" + readBuild().Version, Now: w.daemon.now, Fence: o.Fence})
	if err != nil {
		return nil, err
	}
	r, err := transform.New(transform.Options{Client: c, Dir: filepath.Join(s.flags.dir, transformsDir), Log: s.log, Now: w.daemon.now, Wake: w.daemon.wake, Registerer: s.metrics})
	if err != nil {
		return nil, err
	}
	o.Transforms, o.TransformFacts = r, r
	return []func(context.Context) error{r.Run}, nil
}

// transformProblems refuses transforms where the daemon has no cluster.
func transformProblems(doc *plan.Document, o reconciler.Options, add func(path, message, hint string), hint string) {
	for i, ph := range doc.Plan.Spec.Phases {
		if len(ph.Transforms) > 0 && o.Transforms == nil {
			add(fmt.Sprintf("spec.phases[%d].transforms", i), "the daemon has no cluster whose objects it could transform", hint)
		}
	}
}
