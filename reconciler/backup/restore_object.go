package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// establishing bounds the wait for definitions that were restored.
const establishing = time.Minute

// one is an object on its way back.
type one struct {
	found
	at     dynamic.ResourceInterface
	status bool // it has the subresource status
	want   map[string]any
	force  bool
}

// gone reports whether an error says that something is not there.
func gone(err error) bool { return apierrors.IsNotFound(err) }

func noKind(err error) bool { return errors.Is(err, client.ErrNoKind) }

// item is what becomes of an object for which there is an error.
func (r *restorer) item(f found, err error) Item {
	if client.Unreachable(err) {
		r.mu.Lock()
		r.down = client.Explain(err)
		r.mu.Unlock()
	}
	i := Item{ID: f.ID, Result: Failed}
	err = client.Explain(err)
	i.Message = err.Error()
	var why *client.Failure
	if errors.As(err, &why) {
		i.Managers = why.Managers
		// The words are those for manifests in Git.
		i.Message = strings.ReplaceAll(i.Message, "leave them out of the manifest, ", "restore with --force-conflicts, ")
	}
	return i
}

// open finds where an object is served, and its owners.
func (r *restorer) open(f found) (*one, error) {
	m, err := r.o.Client.Mapping(f.gvk())
	if err != nil {
		return nil, err
	}
	x := &one{found: f, at: r.o.Client.Resource(m, f.Namespace)}
	if x.status, err = r.hasStatus(m); err != nil {
		return nil, err
	}
	x.force = r.o.Force || render.Object(f.object).Annotation(render.ForceConflictsAnnotation) == "true"
	x.want = f.object
	if x.status {
		x.want = without(f.object, "status")
	}
	return x, nil
}

// hasStatus reports whether a resource has the subresource status.
func (r *restorer) hasStatus(m *meta.RESTMapping) (bool, error) {
	for again := range 2 {
		d := r.o.Client.Discovery()
		list, err := d.ServerResourcesForGroupVersion(m.Resource.GroupVersion().String())
		if err != nil && (again == 1 || !gone(err)) {
			return false, client.Explain(err)
		}
		served := false
		if list != nil {
			for _, a := range list.APIResources {
				if a.Name == m.Resource.Resource+"/status" {
					return true, nil
				}
				served = served || a.Name == m.Resource.Resource
			}
		}
		if served {
			return false, nil
		}
		d.Invalidate() // the definition is new
	}
	return false, nil
}

// tryOne asks the API server whether it would take an object.
func (r *restorer) tryOne(ctx context.Context, f found) Item {
	would := Item{ID: f.ID, Result: WouldDo}
	r.mu.Lock()
	defined, made := r.definitions[f.gvk().GroupKind()], r.namespaces[f.Namespace]
	r.mu.Unlock()
	x, err := r.open(f)
	switch {
	case errors.Is(err, client.ErrNoKind) && defined:
		return Item{ID: f.ID, Result: NotTried, Message: "its definition is restored first"}
	case err != nil:
		return r.item(f, err)
	}
	live, err := x.read(ctx)
	if err != nil {
		return r.item(f, err)
	}
	if live != nil && live.GetDeletionTimestamp() != nil {
		return Item{ID: f.ID, Result: Failed, Message: deleting}
	}
	got, err := x.apply(ctx, ownerless(x.want), true)
	switch {
	case gone(err) && made:
		return Item{ID: f.ID, Result: NotTried, Message: "its namespace is restored first"}
	case err != nil:
		return r.item(f, err)
	}
	if paths := x.lasting(got.Object); len(paths) > 0 {
		return Item{ID: f.ID, Result: Failed, Message: unlikeWords(paths)}
	}
	return would
}

// lasting are the paths at which an object that was tried would not become as in
// the backup. Its status comes later, and so do its owners.
func (x *one) lasting(tried map[string]any) []string {
	if x.force {
		return nil // it is replaced then
	}
	a, b := ownerless(strip(x.want)), ownerless(strip(tried))
	if x.status {
		b = without(b, "status")
	}
	return differences(a, b)
}

func unlikeWords(paths []string) string {
	return "it is not as in the backup: " + strings.Join(paths, ", ") + "; others own these fields, or the API server changes them"
}

const deleting = "it is being deleted: it can be restored once it is gone"

// ownerless is an object for a dry run, as its owners may have to be made first.
func ownerless(o map[string]any) map[string]any {
	m, _ := o["metadata"].(map[string]any)
	if m["ownerReferences"] == nil {
		return o
	}
	out := without(o, "metadata")
	out["metadata"] = without(m, "ownerReferences")
	return out
}

// read gets the live object; nil where it is not there.
func (x *one) read(ctx context.Context) (*unstructured.Unstructured, error) {
	for attempt := 1; ; attempt++ {
		o, err := x.at.Get(ctx, x.Name, metav1.GetOptions{})
		switch {
		case gone(err):
			return nil, nil
		case err == nil:
			return o, nil
		case !passing(err) || attempt >= attempts || !pause(ctx, attempt):
			return nil, err
		}
	}
}

// apply applies an object on the server's side.
func (x *one) apply(ctx context.Context, o map[string]any, dry bool) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, errors.New("encode it: it holds a value that JSON cannot")
	}
	po := metav1.PatchOptions{FieldManager: render.FieldManager, Force: &x.force, FieldValidation: metav1.FieldValidationStrict}
	if dry {
		po.DryRun = []string{metav1.DryRunAll}
	}
	for attempt := 1; ; attempt++ {
		got, err := x.at.Patch(ctx, x.Name, types.ApplyPatchType, body, po)
		if err == nil || !passing(err) || attempt >= attempts || !pause(ctx, attempt) {
			return got, err
		}
	}
}

// writeOne restores an object and its status, and compares what the API server
// made of it.
func (r *restorer) writeOne(ctx context.Context, f found) Item {
	x, err := r.open(f)
	if err != nil {
		return r.item(f, err)
	}
	want, missing, err := r.owned(ctx, x)
	switch {
	case err != nil:
		return r.item(f, err)
	case missing != "":
		r.mu.Lock()
		r.late[f.ID] = true
		r.mu.Unlock()
		return Item{ID: f.ID, Result: Failed, Message: fmt.Sprintf("its owner %s is not there: the API server would delete it at once; restore the owner first", missing)}
	}
	live, err := x.apply(ctx, want, false)
	if err == nil {
		live, err = x.exactly(ctx, want, live)
	}
	if err != nil {
		return r.item(f, err)
	}
	if f.rank() == 2 && x.status {
		if live, err = x.writeStatus(ctx, live); err != nil {
			return r.item(f, fmt.Errorf("its status: %w", client.Explain(err)))
		}
	}
	if why := x.unlike(live.Object); why != "" {
		return Item{ID: f.ID, Result: Failed, Message: why}
	}
	r.mu.Lock()
	r.written[f.ID] = true
	r.mu.Unlock()
	return Item{ID: f.ID, Result: Done}
}

// unlike says how an object is not as in the backup.
func (x *one) unlike(live map[string]any) string {
	got := strip(live)
	_, s, err := encode(got)
	if err != nil {
		return err.Error()
	}
	want := x.live()
	if s.whole == want.whole || x.rank() < 2 && s.body == want.body {
		return ""
	}
	a, b := x.object, got
	if x.rank() < 2 {
		a, b = without(a, "status"), without(b, "status")
	}
	return unlikeWords(differences(a, b))
}

// exactly replaces an object that has more than the backup, where force asks
// for it: applying removes nothing of others.
func (x *one) exactly(ctx context.Context, want map[string]any, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	got := strip(live.Object)
	if x.status {
		got = without(got, "status")
	}
	line, _, err := encode(got)
	if err != nil {
		return nil, err
	}
	wanted, _, err := encode(strip(want))
	if err != nil || string(line) == string(wanted) || !x.force {
		return live, err
	}
	o := &unstructured.Unstructured{Object: want}
	o = o.DeepCopy()
	o.SetResourceVersion(live.GetResourceVersion())
	return x.at.Update(ctx, o, metav1.UpdateOptions{FieldManager: render.FieldManager, FieldValidation: metav1.FieldValidationStrict})
}

// writeStatus replaces the status, until nobody else writes between.
func (x *one) writeStatus(ctx context.Context, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	want, has := x.object["status"]
	for attempt := 1; ; attempt++ {
		if x.unlike(live.Object) == "" {
			return live, nil
		}
		o := live.DeepCopy()
		delete(o.Object, "status")
		if has {
			o.Object["status"] = want
		}
		got, err := x.at.UpdateStatus(ctx, o, metav1.UpdateOptions{FieldManager: render.FieldManager, FieldValidation: metav1.FieldValidationStrict})
		switch {
		case err == nil:
			return got, nil
		case !apierrors.IsConflict(err) && !passing(err), attempt >= attempts, !pause(ctx, attempt):
			return nil, err
		}
		next, err := x.read(ctx)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, errors.New("it was deleted meanwhile")
		}
		live = next
	}
}

// verifyOne looks at an object that was listed as other than in the backup, or
// not listed, as one that lost the label by which it was selected.
func (r *restorer) verifyOne(ctx context.Context, f found, wrote bool) Item {
	x, err := r.open(f)
	if err != nil {
		return r.item(f, err)
	}
	live, err := x.read(ctx)
	switch {
	case err != nil:
		return r.item(f, err)
	case live == nil || live.GetDeletionTimestamp() != nil:
		return Item{ID: f.ID, Result: Failed, Message: "it was restored, and is gone again"}
	}
	why := x.unlike(live.Object)
	_, s, err := encode(strip(live.Object))
	switch {
	case err != nil:
		return r.item(f, err)
	case why == "" && wrote:
		return Item{ID: f.ID, Result: Done}
	case why == "":
		return Item{ID: f.ID, Result: Unchanged}
	case wrote && s.body == f.live().body:
		return Item{ID: f.ID, Result: Overtaken, Message: "its status was restored, and a controller has written another since"}
	}
	return Item{ID: f.ID, Result: Failed, Message: why}
}

// established waits, once the definitions are restored, until they are served.
func (r *restorer) established(ctx context.Context, rank int) error {
	if rank != 1 || len(r.definitions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, establishing)
	defer cancel()
	for gk := range r.definitions {
		for attempt := 1; ; attempt++ {
			r.o.Client.Forget()
			_, err := r.o.Client.Mapping(schema.GroupVersionKind{Group: gk.Group, Kind: gk.Kind})
			if err == nil {
				break
			}
			if !errors.Is(err, client.ErrNoKind) && !passing(err) || !pause(ctx, min(attempt, 3)) {
				return fmt.Errorf("wait until kind %s.%s is served: %w", gk.Kind, gk.Group, err)
			}
		}
	}
	return nil
}
