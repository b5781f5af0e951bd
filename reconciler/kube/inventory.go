package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

const (
	inventoryPrefix = "changeover-inventory-"
	inventoryField  = "objects"
	// maxInventory bounds what the inventory lists, in bytes. A ConfigMap holds
	// at most 1 MiB, of which the names of other things need some.
	maxInventory = 1000 << 10
	// writeAttempts is how often the inventory is written when others write it
	// at the same time.
	writeAttempts = 5
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func inventoryID(key plan.Key) render.ID {
	return render.ID{Kind: "ConfigMap", Namespace: key.Namespace, Name: inventoryPrefix + key.Name}
}

// inventory is what was or will have been applied for a plan. It is not written
// to once it was read.
type inventory struct {
	ids      map[render.ID]bool
	finished map[string]string // Jobs, see fleeting
	mark     *reconciler.Mark
	version  string // resourceVersion; empty: there is none
}

// listing is the form in which the inventory is kept: names by namespace, by
// kind. Thousands of objects fit.
type listing map[string]map[string][]string

func encodeIDs(ids map[render.ID]bool) (string, error) {
	l := listing{}
	for id := range ids {
		kind := id.Kind
		if id.Group != "" {
			kind += "." + id.Group
		}
		if l[kind] == nil {
			l[kind] = map[string][]string{}
		}
		l[kind][id.Namespace] = append(l[kind][id.Namespace], id.Name)
	}
	for _, namespaces := range l {
		for _, names := range namespaces {
			slices.Sort(names)
		}
	}
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode the inventory: %w", err)
	}
	if len(b) > maxInventory {
		return "", fmt.Errorf("write the inventory: a list of %d objects takes %d bytes, and a ConfigMap holds %d: split the plan, or its kustomization", len(ids), len(b), maxInventory)
	}
	return string(b), nil
}

func decodeIDs(text string) (map[render.ID]bool, error) {
	var l listing
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, errors.New("its list of objects was changed and cannot be read")
	}
	ids := map[render.ID]bool{}
	for kind, namespaces := range l {
		kind, group, _ := strings.Cut(kind, ".")
		for namespace, names := range namespaces {
			for _, name := range names {
				ids[render.ID{Group: group, Kind: kind, Namespace: namespace, Name: name}] = true
			}
		}
	}
	return ids, nil
}

// readInventory asks the API server; one that is not there is empty.
func (c *Cluster) readInventory(ctx context.Context, key plan.Key) (inventory, *unstructured.Unstructured, error) {
	id := inventoryID(key)
	o, err := c.o.Client.Dynamic().Resource(configMaps).Namespace(id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return inventory{ids: map[render.ID]bool{}}, nil, nil
	case err != nil:
		return inventory{}, nil, fmt.Errorf("read the inventory: %s: %w", title(id), client.Explain(err))
	}
	text, _, _ := unstructured.NestedString(o.Object, "data", inventoryField)
	ids, err := decodeIDs(cmp.Or(text, "{}"))
	if err != nil {
		return inventory{}, nil, fmt.Errorf("read the inventory: %s: %w; delete it, and it is made anew from what is live", title(id), err)
	}
	done, _, _ := unstructured.NestedString(o.Object, "data", finishedField)
	return inventory{
		ids: ids, finished: decodeFinished(done), mark: markOf(key, o.GetAnnotations()), version: o.GetResourceVersion(),
	}, o, nil
}

// writeInventory changes the inventory as it stands on the API server. Nothing
// is written where change returns false.
func (c *Cluster) writeInventory(ctx context.Context, s *state, change func(inv *inventory, o *unstructured.Unstructured) bool) error {
	id := inventoryID(s.key)
	maps, dry := c.o.Client.Dynamic().Resource(configMaps).Namespace(id.Namespace), c.o.Client.DryRun()
	var err error
	for range writeAttempts {
		inv, o, rerr := c.readInventory(ctx, s.key)
		if rerr != nil {
			return rerr
		}
		fresh := o == nil
		if fresh {
			o = &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
			o.SetName(id.Name)
			o.SetNamespace(id.Namespace)
		}
		if !change(&inv, o) {
			s.setInventory(inv)
			return nil
		}
		if err = inv.into(o, s.key); err != nil {
			return err
		}
		if fresh {
			o, err = maps.Create(ctx, o, metav1.CreateOptions{FieldManager: render.FieldManager, DryRun: dry})
		} else {
			o, err = maps.Update(ctx, o, metav1.UpdateOptions{FieldManager: render.FieldManager, DryRun: dry})
		}
		if err == nil {
			inv.mark, inv.version = markOf(s.key, o.GetAnnotations()), o.GetResourceVersion()
			s.setInventory(inv)
			return nil
		}
		if !apierrors.IsConflict(err) && !(fresh && apierrors.IsAlreadyExists(err)) {
			break
		}
	}
	return fmt.Errorf("write the inventory: %s: %w", title(id), client.Explain(err))
}

func (inv inventory) into(o *unstructured.Unstructured, key plan.Key) error {
	text, err := encodeIDs(inv.ids)
	if err != nil {
		return err
	}
	m, ok := o.Object["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		o.Object["metadata"] = m
	}
	mark(m, "labels", render.ManagedLabel, "true")
	mark(m, "annotations", render.PlanAnnotation, key.String())
	data, ok := o.Object["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
		o.Object["data"] = data
	}
	data[inventoryField] = text
	encodeFinished(data, inv.finished)
	return nil
}

// extend has the inventory list what is about to be applied beside what it
// lists already.
func (c *Cluster) extend(ctx context.Context, s *state, acc *client.Client, items []*item) error {
	inv, err := c.inventoryOf(ctx, s)
	if err != nil {
		return err
	}
	wanted := map[render.ID]bool{}
	for _, it := range items {
		if it.err == nil {
			wanted[it.id] = true
		}
	}
	if inv.version != "" && covers(inv.ids, wanted) {
		return nil
	}
	if inv.version == "" {
		// It is lost, or has never been. What is remembered and what is live
		// and bears the plan's name belongs to it.
		lost, err := c.salvage(ctx, s.key, acc, items)
		if err != nil {
			return err
		}
		maps.Copy(wanted, lost)
		maps.Copy(wanted, s.remembered())
	}
	return c.writeInventory(ctx, s, func(inv *inventory, o *unstructured.Unstructured) bool {
		if o.GetResourceVersion() == "" {
			inv.finished = s.finished(*inv)
		} else if covers(inv.ids, wanted) {
			return false
		}
		maps.Copy(inv.ids, wanted)
		return true
	})
}

func covers(have, want map[render.ID]bool) bool {
	for id := range want {
		if !have[id] {
			return false
		}
	}
	return true
}

// markInto writes the mark into the annotations of the inventory.
func markInto(o *unstructured.Unstructured, m reconciler.Mark) {
	a := o.GetAnnotations()
	if a == nil {
		a = map[string]string{}
	}
	a[render.StopAnnotation] = m.Stop.String()
	a[render.SinceAnnotation] = m.Since.UTC().Format(time.RFC3339Nano)
	a[render.RevisionAnnotation] = string(m.Revision)
	delete(a, render.HoldsAnnotation)
	if len(m.Holds) > 0 {
		holds := make([]string, len(m.Holds))
		for i, h := range m.Holds {
			holds[i] = string(h)
		}
		a[render.HoldsAnnotation] = strings.Join(holds, ",")
	}
	o.SetAnnotations(a)
}

// markOf reads the mark; nil where there is none that can be read.
func markOf(key plan.Key, a map[string]string) *reconciler.Mark {
	stop, err := plan.ParsePosition(a[render.StopAnnotation])
	if err != nil || stop.IsZero() {
		return nil
	}
	since, err := time.Parse(time.RFC3339Nano, a[render.SinceAnnotation])
	if err != nil {
		return nil
	}
	m := &reconciler.Mark{Key: key, Stop: stop, Since: since, Revision: plan.Revision(a[render.RevisionAnnotation])}
	if text := a[render.HoldsAnnotation]; text != "" {
		for _, h := range strings.Split(text, ",") {
			m.Holds = append(m.Holds, plan.Revision(h))
		}
	}
	return m
}
