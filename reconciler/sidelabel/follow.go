package sidelabel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

const (
	// pageSize is how many objects are read at once.
	pageSize = 500
	// callTimeout bounds a page and a patch.
	callTimeout = 30 * time.Second
	// judging bounds the plan's expressions over one object.
	judging = time.Second
	// maxWait between two tries to read the objects.
	maxWait = 30 * time.Second
)

// follow keeps what is known of the objects current until ctx ends.
func (j *job) follow(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		connected, err := j.connect(ctx)
		if connected {
			failures = 0
		}
		j.lost(err)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			continue
		}
		j.sleep(ctx, min(time.Second<<min(failures, 5), maxWait))
		failures++
	}
}

var errEnded = errors.New("the API server ended the watch")

// connect lists the objects and then watches them until that fails. Connected: they
// were all read.
func (j *job) connect(ctx context.Context) (connected bool, err error) {
	r, err := j.resource()
	if err != nil {
		return false, err
	}
	version, err := j.list(ctx, r)
	if err != nil {
		return false, err
	}
	for {
		// The server ends watches after some minutes; the next goes on from there.
		if version, err = j.watch(ctx, r, version); err != nil {
			return true, err
		}
	}
}

func (j *job) resource() (dynamic.ResourceInterface, error) {
	gv, err := schema.ParseGroupVersion(j.source.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("read apiVersion %q: %w", j.source.APIVersion, err)
	}
	m, err := j.acc.Mapping(gv.WithKind(j.source.Kind))
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.gvr = m.Resource
	j.mu.Unlock()
	return j.watching.Resource(m.Resource).Namespace(j.source.Namespace), nil
}

func (j *job) list(ctx context.Context, r dynamic.ResourceInterface) (version string, err error) {
	fresh := map[Name]Object{}
	options := metav1.ListOptions{Limit: pageSize, LabelSelector: j.source.Selector}
	for {
		lctx, cancel := context.WithTimeout(ctx, callTimeout)
		l, err := r.List(lctx, options)
		cancel()
		if err != nil {
			return "", err
		}
		for i := range l.Items {
			o := j.judge(ctx, &l.Items[i])
			fresh[o.Name] = o
		}
		if options.Continue = l.GetContinue(); options.Continue == "" {
			j.listed(fresh)
			return l.GetResourceVersion(), nil
		}
	}
}

func (j *job) watch(ctx context.Context, r dynamic.ResourceInterface, version string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Establishing it is bounded; once it stands it may last.
	connecting := time.AfterFunc(callTimeout, cancel)
	events, err := r.Watch(ctx, metav1.ListOptions{LabelSelector: j.source.Selector, ResourceVersion: version, AllowWatchBookmarks: true})
	if !connecting.Stop() && err == nil {
		events.Stop()
		err = context.DeadlineExceeded
	}
	if err != nil {
		return "", err
	}
	defer events.Stop()
	j.setLive()
	begun := j.r.o.Now()
	for e := range events.ResultChan() {
		u, ok := e.Object.(*unstructured.Unstructured)
		if e.Type == apiwatch.Error || !ok {
			return "", apierrors.FromObject(e.Object)
		}
		version = u.GetResourceVersion()
		switch e.Type {
		case apiwatch.Added, apiwatch.Modified:
			j.saw(j.judge(ctx, u))
		case apiwatch.Deleted:
			j.gone(Name{u.GetNamespace(), u.GetName()})
		case apiwatch.Bookmark, apiwatch.Error:
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if j.r.o.Now().Sub(begun) < time.Second {
		return "", errEnded // not again and again without a pause
	}
	return version, nil
}

// judge reads what counts of an object. Nothing else of it is kept.
func (j *job) judge(ctx context.Context, u *unstructured.Unstructured) Object {
	ctx, cancel := context.WithTimeout(ctx, judging)
	defer cancel()
	o := Object{
		Name: Name{u.GetNamespace(), u.GetName()}, Version: u.GetResourceVersion(), Created: u.GetCreationTimestamp().Time,
		Mark: markOf(j.key, u.GetLabels(), u.GetAnnotations()), Judgement: j.objects.Judge(ctx, u.Object),
	}
	o.Mismatched = o.Side == plan.SideValidation && len(j.objects.Compare(ctx, u.Object)) > 0
	return o
}

// markOf reads the mark of a plan. What is no mark counts as none.
func markOf(key plan.Key, labels, annotations map[string]string) (m Mark) {
	switch s := plan.EntitySide(labels[key.SideLabel()]); s {
	case plan.SideLegacy, plan.SideModern, plan.SideValidation:
		m.Side = s
	}
	switch o := ownership.Origin(annotations[key.OriginAnnotation()]); o {
	case ownership.BornLegacy, ownership.BornModern:
		m.Origin = o
	case ownership.Migrated:
		m.Origin = o
		if p, err := strconv.ParseFloat(annotations[key.PercentAnnotation()], 64); err == nil && p > 0 && p <= 100 {
			m.Percent = plan.Percent(p)
		}
	case ownership.Ended: // no object that is there has ended
	}
	return m
}

// patchOf is a merge patch of the metadata of an object that still has a version.
func patchOf(key plan.Key, version string, to Mark) map[string]any {
	annotations := map[string]any{key.OriginAnnotation(): string(to.Origin), key.PercentAnnotation(): nil}
	if to.Origin == ownership.Migrated {
		annotations[key.PercentAnnotation()] = to.Percent.String()
	}
	return map[string]any{"metadata": map[string]any{
		"resourceVersion": version, "labels": map[string]any{key.SideLabel(): string(to.Side)}, "annotations": annotations,
	}}
}

// explained is an error in words.
func explained(err error) string { return client.Explain(err).Error() }
