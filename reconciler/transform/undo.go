package transform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// undo removes what the transform created and nobody has changed since.
func (j *job) undo(ctx context.Context, task string) error {
	if j.s.head.Undone == task {
		return nil
	}
	j.w.tellOne(j.t.Plan.Name, 0, 0, 0)
	keys := slices.Sorted(maps.Keys(j.s.records))
	j.total = len(keys)
	report := j.s.head.Report
	report.Removed, report.Kept, report.KeptWhy = 0, 0, nil
	for len(keys) > 0 && ctx.Err() == nil {
		n := min(len(keys), j.t.Plan.BatchSize)
		if err := j.undoBatch(ctx, keys[:n], &report); err != nil {
			return err
		}
		keys = keys[n:]
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was paused: who asks again goes on
	}
	if err := j.unknown(ctx, &report); err != nil {
		return err
	}
	// What is transformed next begins anew.
	j.s.head.Task, j.s.head.Undone, j.s.head.Report = "", task, report
	if err := j.s.saveHead(); err != nil {
		return err
	}
	j.w.known(j.t.Plan.Name)
	return nil
}

// undoBatch removes the targets of sources, and keeps which are left.
func (j *job) undoBatch(ctx context.Context, keys []string, report *Report) error {
	var g errgroup.Group
	g.SetLimit(j.t.Plan.Parallelism)
	next := make([]*record, len(keys))
	kept := make([][]string, len(keys))
	errs := make([]error, len(keys))
	for i, key := range keys {
		rec := *j.s.records[key]
		// It has to be transformed anew, whatever is kept.
		rec.Read, next[i] = "", &rec
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
			defer cancel()
			rec.Targets, kept[i], errs[i] = j.undoTargets(ctx, rec.Targets)
			return nil
		})
	}
	_ = g.Wait() // each error stands with its source
	for i, key := range keys {
		report.Removed += len(j.s.records[key].Targets) - len(next[i].Targets)
		report.Kept += len(kept[i])
		report.KeptWhy = append(report.KeptWhy, kept[i][:min(len(kept[i]), max(0, maxNamed-len(report.KeptWhy)))]...)
		if len(next[i].Targets) == 0 {
			next[i].Gone = true // nothing of it is left to know
		}
	}
	j.mu.Lock()
	err := j.s.add(next)
	j.mu.Unlock()
	j.w.set(progressOf(j, report))
	return errors.Join(err, errors.Join(errs...))
}

func (j *job) undoTargets(ctx context.Context, targets []written) (rest []written, kept []string, err error) {
	for i, t := range targets {
		why, err := j.remove(ctx, t)
		if err != nil {
			return append(rest, targets[i:]...), kept, fmt.Errorf("remove %s: %w", t.ID, err)
		}
		if why != "" {
			rest, kept = append(rest, t), append(kept, t.ID.String()+" "+why)
		}
	}
	return rest, kept, nil
}

// remove deletes one target, or says why it is kept.
func (j *job) remove(ctx context.Context, t written) (kept string, err error) {
	m, err := j.mapping(t.APIVersion, t.ID.Kind)
	if errors.Is(err, client.ErrNoKind) {
		return "", nil // with its definition it is gone
	}
	if err != nil {
		return "", err
	}
	live, err := j.get(ctx, m, t.ID)
	if err != nil || live == nil {
		return "", err
	}
	u := unstructured.Unstructured{Object: live}
	switch {
	case !t.Created:
		return "was there before the transform", nil
	case string(u.GetUID()) != t.UID:
		return "is another of that name, which others created since", nil
	case liveHash(live) != t.Live:
		return "was changed since" + byWhom(&u), nil
	}
	uid, version := u.GetUID(), u.GetResourceVersion()
	err = j.acc.Resource(m, t.ID.Namespace).Delete(ctx, t.ID.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, PropagationPolicy: new(metav1.DeletePropagationBackground), DryRun: j.acc.DryRun(),
	})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	return "", client.Explain(err)
}

// byWhom names the other managers of an object.
func byWhom(u *unstructured.Unstructured) string {
	var names []string
	for _, m := range u.GetManagedFields() {
		if m.Manager != render.FieldManager && m.Subresource != "status" && !slices.Contains(names, m.Manager) {
			names = append(names, m.Manager)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return " by " + strings.Join(names, ", ")
}

// unknown counts targets that no record tells of: whether somebody changed them
// cannot be known, so they are kept.
func (j *job) unknown(ctx context.Context, report *Report) error {
	live, err := j.readIndex(ctx)
	if errors.Is(err, client.ErrNoKind) {
		return nil
	}
	if err != nil {
		return err
	}
	known := map[render.ID]bool{}
	for _, rec := range j.s.records {
		for _, t := range rec.Targets {
			known[t.ID] = true
		}
	}
	var names []string
	for id, o := range live {
		if o.mine && !known[id] && !j.deleting(ctx, id) {
			names = append(names, id.String()+" is not in the records, so whether it was changed is not known")
		}
	}
	slices.Sort(names)
	report.Kept += len(names)
	report.KeptWhy = append(report.KeptWhy, names[:min(len(names), max(0, maxNamed-len(report.KeptWhy)))]...)
	return nil
}

// deleting reports whether an object is only waiting for its finalizers.
func (j *job) deleting(ctx context.Context, id render.ID) bool {
	for _, gvk := range j.t.Kinds() {
		m, err := j.mapping(gvk.APIVersion, gvk.Kind)
		if err != nil || m.GroupVersionKind.Group != id.Group || m.GroupVersionKind.Kind != id.Kind {
			continue
		}
		o, err := j.get(ctx, m, id)
		return err == nil && (o == nil || (&unstructured.Unstructured{Object: o}).GetDeletionTimestamp() != nil)
	}
	return false
}
