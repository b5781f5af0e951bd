package route

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
)

func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: gatewayapi.Group, Version: gatewayapi.Version, Resource: name}
}

// routes are the HTTPRoutes.
var routes = resource("httproutes")

// place is where the route of a plan is, or would be.
type place struct {
	key             plan.Key
	namespace, name string
	account         string
	dynamic         dynamic.Interface
	dry             []string    // see client.DryRun
	note            func(*live) // of everything that is read or written
}

// String is the route's name as people read it.
func (at *place) String() string { return "HTTPRoute " + at.namespace + "/" + at.name }

func (at *place) client() dynamic.ResourceInterface {
	return at.dynamic.Resource(routes).Namespace(at.namespace)
}

// read returns nil where there is no route.
func (at *place) read(ctx context.Context) (*live, error) {
	o, err := at.client().Get(ctx, at.name, metav1.GetOptions{})
	switch {
	case notServed(err):
		return nil, notInstalled()
	case apierrors.IsNotFound(err):
		at.note(nil)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", at, client.Explain(err))
	}
	l := &live{o}
	at.note(l)
	return l, nil
}

// write applies the spec with its marks. An object that has taken the place of
// old meanwhile is left alone.
func (at *place) write(ctx context.Context, spec map[string]any, annotations map[string]string, old *live) (*live, error) {
	meta := map[string]any{
		"name": at.name, "namespace": at.namespace,
		"labels": map[string]string{render.ManagedLabel: "true"}, "annotations": annotations,
	}
	force := false
	if old != nil {
		meta["uid"] = old.GetUID()
		force = old.GetAnnotations()[render.ForceConflictsAnnotation] == "true"
	}
	src, err := json.Marshal(map[string]any{
		"apiVersion": gatewayapi.Group + "/" + gatewayapi.Version, "kind": gatewayapi.Kind, "metadata": meta, "spec": spec,
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", at, err)
	}
	o, err := at.client().Patch(ctx, at.name, types.ApplyPatchType, src, metav1.PatchOptions{FieldManager: render.FieldManager, Force: &force, DryRun: at.dry})
	if onlyMarks(err) {
		force = true
		o, err = at.client().Patch(ctx, at.name, types.ApplyPatchType, src, metav1.PatchOptions{FieldManager: render.FieldManager, Force: &force, DryRun: at.dry})
	}
	if err != nil {
		return nil, at.refusal(err)
	}
	l := &live{o}
	at.note(l)
	return l, nil
}

// onlyMarks reports whether an apply was refused for the sake of Changeover's own
// annotations and label alone. They are nobody else's, whoever has written them,
// and must not keep traffic from going back.
func onlyMarks(err error) bool {
	var st apierrors.APIStatus
	if !errors.As(err, &st) || st.Status().Details == nil {
		return false
	}
	causes := st.Status().Details.Causes
	return len(causes) > 0 && !slices.ContainsFunc(causes, func(c metav1.StatusCause) bool {
		name, ok := strings.CutPrefix(c.Field, ".metadata.annotations.")
		if !ok {
			name, ok = strings.CutPrefix(c.Field, ".metadata.labels.")
		}
		return c.Type != metav1.CauseTypeFieldManagerConflict || !ok || name != render.ManagedLabel && !slices.Contains(marks, name)
	})
}

// refusal puts in words why nothing was written.
func (at *place) refusal(err error) error {
	if notServed(err) {
		return notInstalled()
	}
	err = client.Explain(err)
	var f *client.Failure
	if errors.As(err, &f) && len(f.Managers) > 0 {
		return fmt.Errorf("write %s: fields of it are owned by another manager: %q; nothing was forced: undo what it has changed, or let Changeover take them: kubectl annotate httproute -n %s %s %s=true",
			at, f.Managers, at.namespace, at.name, render.ForceConflictsAnnotation)
	}
	return fmt.Errorf("write %s: %w", at, err)
}

// remove deletes the route that was written, unless it was changed since.
func (at *place) remove(ctx context.Context, l *live) error {
	uid, version := l.GetUID(), l.version()
	err := at.client().Delete(ctx, at.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, DryRun: at.dry})
	if err != nil && !apierrors.IsNotFound(err) {
		return client.Explain(err)
	}
	at.note(nil)
	return nil
}

// notServed tells the 404 for a kind from that for an object: the first is no
// Status of the API server but plain text.
func notServed(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func notInstalled() error {
	return fmt.Errorf("%w: the API server serves no HTTPRoute of %s/%s; install its CustomResourceDefinitions and a controller", ErrNotInstalled, gatewayapi.Group, gatewayapi.Version)
}

// capable refuses what the class of a parent says that it does not support. A
// class that does not say what it supports is believed to do everything.
func (at *place) capable(ctx context.Context, p *plan.Plan) error {
	need := gatewayapi.Features(p)
	if len(need) == 0 {
		return nil
	}
	asked := map[string]bool{}
	for _, ref := range p.Spec.Gateway.GatewayAPI.ParentRefs {
		gateway := parentOf(map[string]any{"name": ref.Name, "namespace": ref.Namespace}, at.namespace)
		if asked[gateway.String()] {
			continue
		}
		asked[gateway.String()] = true
		class, has, err := at.features(ctx, gateway)
		if err != nil {
			return err
		}
		lack := slices.DeleteFunc(slices.Clone(need), func(f string) bool { return len(has) == 0 || slices.Contains(has, f) })
		if len(lack) > 0 {
			return fmt.Errorf("%w: GatewayClass %q of %s does not support %q: use a class that does, leave out of the plan what needs it, or route by changeover-bridge (gateway: {bridge: {}}) where that can do it",
				ErrLacking, class, gateway, lack)
		}
	}
	return nil
}

// features of a Gateway's class; none where nothing is known.
func (at *place) features(ctx context.Context, gateway parent) (class string, has []string, err error) {
	o, err := at.dynamic.Resource(resource("gateways")).Namespace(gateway.namespace).Get(ctx, gateway.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil, fmt.Errorf("%s %w: create it, or mend the plan's parentRefs", gateway, ErrNoGateway)
	case err != nil:
		return "", nil, fmt.Errorf("read %s: %w", gateway, client.Explain(err))
	}
	class = text(specOf(o.Object), "gatewayClassName")
	o, err = at.dynamic.Resource(resource("gatewayclasses")).Get(ctx, class, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return class, nil, nil
	case err != nil:
		return "", nil, fmt.Errorf("read GatewayClass %q: %w", class, client.Explain(err))
	}
	status, _ := o.Object["status"].(map[string]any)
	list, _ := status["supportedFeatures"].([]any)
	for _, f := range list {
		switch f := f.(type) {
		case string: // before version 1.2 of the Gateway API
			has = append(has, f)
		case map[string]any:
			has = append(has, text(f, "name"))
		}
	}
	return class, has, nil
}
