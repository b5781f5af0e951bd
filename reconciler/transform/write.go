package transform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/transform"
)

// wanted is one target as it is to be.
type wanted struct {
	name    string
	object  map[string]any
	id      render.ID
	mapping *meta.RESTMapping
}

// want makes the targets of a source, with their marks.
func (j *job) want(ctx context.Context, u *unstructured.Unstructured, read map[string]any) ([]wanted, error) {
	made, err := j.t.Map(ctx, read, j.key)
	if err != nil {
		return nil, err
	}
	from := transform.Origin{UID: string(u.GetUID()), Namespace: u.GetNamespace(), Name: u.GetName(), Transform: j.t.Plan.Name}
	var out []wanted
	for _, m := range made {
		w := wanted{name: m.Target, object: m.Object}
		if w.mapping, err = j.mapping(render.Object(m.Object).APIVersion(), render.Object(m.Object).Kind()); err != nil {
			return nil, err
		}
		if err := j.place(u, &w); err != nil {
			return nil, fmt.Errorf("target %s: %w", m.Target, err)
		}
		if m.OwnerReference {
			if err := own(u, &w); err != nil {
				return nil, fmt.Errorf("target %s: %w", m.Target, err)
			}
		}
		transform.Mark(m.Object, from, j.key)
		w.id = render.Object(m.Object).ID()
		if i := slices.IndexFunc(out, func(o wanted) bool { return o.id == w.id }); i >= 0 {
			return nil, fmt.Errorf("targets %s and %s are both %s", out[i].name, w.name, w.id)
		}
		out = append(out, w)
	}
	return out, nil
}

// place gives a target its namespace: that of its source where the map names none.
func (j *job) place(u *unstructured.Unstructured, w *wanted) error {
	o := unstructured.Unstructured{Object: w.object}
	if w.mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		unstructured.RemoveNestedField(w.object, "metadata", "namespace")
		return nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(u.GetNamespace())
	}
	switch limit := j.t.Plan.From.Namespace; {
	case o.GetNamespace() == "":
		return errors.New("it has no namespace, and neither has its source: give metadata.namespace")
	case limit != "" && o.GetNamespace() != limit:
		return fmt.Errorf("it would be in namespace %q, and the transform is limited to %q by from.namespace", o.GetNamespace(), limit)
	}
	return nil
}

func own(u *unstructured.Unstructured, w *wanted) error {
	o := unstructured.Unstructured{Object: w.object}
	if u.GetNamespace() != "" && u.GetNamespace() != o.GetNamespace() {
		return errors.New("its source is in another namespace and cannot be its owner: remove ownerReference")
	}
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Name: u.GetName(), UID: u.GetUID()}})
	return nil
}

// write brings the targets of a source to what they are to be, and says in rec how
// they are.
func (j *job) write(ctx context.Context, u *unstructured.Unstructured, read map[string]any, old, rec *record) error {
	want, err := j.want(ctx, u, read)
	if err != nil {
		return err
	}
	var errs []error
	for i := range want {
		var before *written
		if old != nil {
			before = old.target(want[i].id)
		}
		got, err := j.writeOne(ctx, &want[i], before, rec.key())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", want[i].id, err))
			continue
		}
		rec.Targets = append(rec.Targets, got)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if old != nil { // what it gives no longer
		for _, t := range old.Targets {
			if rec.target(t.ID) == nil {
				t.Former = true
				rec.Targets = append(rec.Targets, t)
				j.release(t.ID, rec.key())
			}
		}
	}
	return nil
}

// claim takes a target for a source; another source may have it.
func (j *job) claim(id render.ID, source string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if other, ok := j.claims[id]; ok && other != source {
		return fmt.Errorf("source %s becomes the same object: give targets names that hang on their source's", strings.TrimPrefix(other, "/"))
	}
	j.claims[id] = source
	return nil
}

func (j *job) release(id render.ID, source string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.claims[id] == source {
		delete(j.claims, id)
	}
}

func (j *job) writeOne(ctx context.Context, w *wanted, before *written, source string) (written, error) {
	if err := j.claim(w.id, source); err != nil {
		return written{}, err
	}
	out := written{Target: w.name, APIVersion: render.Object(w.object).APIVersion(), ID: w.id, Sent: hash(w.object), Created: true}
	now, there := j.index[w.id]
	if there {
		if err := j.mayWrite(now, w, source); err != nil {
			j.release(w.id, source)
			return written{}, err
		}
		live, err := j.get(ctx, w.mapping, w.id)
		if err != nil {
			return written{}, err
		}
		if live != nil {
			out.Created = createdBefore(before, live)
			same := before != nil && before.UID == uidOf(live) && before.Sent == out.Sent && before.Live == liveHash(live)
			if same || differs(w.object, live, "") == "" {
				return out.of(live), nil
			}
		}
	}
	live, err := j.patch(ctx, w)
	if err != nil {
		return written{}, err
	}
	j.r.metrics.objects.WithLabelValues(j.key.String(), j.t.Plan.Name, w.name).Inc()
	return out.of(live), nil
}

// createdBefore reports whether a live object was created by the transform: it says
// so in the record, or, where that is lost, nobody else has a hand in it.
func createdBefore(before *written, live map[string]any) bool {
	if before != nil {
		return before.Created && before.UID == uidOf(live)
	}
	u := unstructured.Unstructured{Object: live}
	return !slices.ContainsFunc(u.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager != render.FieldManager && m.Subresource != "status"
	})
}

func (w written) of(live map[string]any) written {
	u := unstructured.Unstructured{Object: live}
	w.UID, w.Version, w.Live = string(u.GetUID()), u.GetResourceVersion(), liveHash(live)
	return w
}

func uidOf(o map[string]any) string {
	return string((&unstructured.Unstructured{Object: o}).GetUID())
}

// mayWrite says why a live object is not to be written.
func (j *job) mayWrite(now seen, w *wanted, source string) error {
	switch {
	case now.from == (transform.Origin{}):
		return errors.New("it is there already and no transform made it; it is not touched: delete it, or give the target another name")
	case now.from.Transform != j.t.Plan.Name || !now.mine:
		return fmt.Errorf("it was made by another transform, from %s, and is not touched", now.from)
	case now.from.Namespace+"/"+now.from.Name == source:
		return nil
	}
	// An orphan of a source that is gone may be taken over; claims know of all
	// others.
	other := now.from.Namespace + "/" + now.from.Name
	j.mu.Lock()
	rec := j.s.records[other]
	j.mu.Unlock()
	if rec != nil && rec.Gone {
		return nil
	}
	if rec != nil {
		if t := rec.target(w.id); t != nil && t.Former {
			return nil
		}
	}
	return fmt.Errorf("it was made from source %s and is not touched: give targets names that hang on their source's, or delete it", strings.TrimPrefix(other, "/"))
}

// get reads a live object; nil where it is not there.
func (j *job) get(ctx context.Context, m *meta.RESTMapping, id render.ID) (map[string]any, error) {
	o, err := j.acc.Resource(m, id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, client.Explain(err)
	}
	return o.Object, nil
}

// patch applies a target on the server's side. Nothing is forced.
func (j *job) patch(ctx context.Context, w *wanted) (map[string]any, error) {
	body, err := json.Marshal(w.object)
	if err != nil {
		return nil, errors.New("encode it: it holds a value that JSON cannot")
	}
	force := false
	o, err := j.acc.Resource(w.mapping, w.id.Namespace).Patch(ctx, w.id.Name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: render.FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: j.acc.DryRun()})
	if err != nil {
		return nil, client.Explain(err)
	}
	return o.Object, nil
}
