package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/status"
	"github.com/changeover-dev/changeover/render"
)

// apply applies all items, stage by stage, and in a stage turn by turn. Where
// one fails the others of its stage are still applied, but no later stage is.
// With raise, no replicas are lowered.
func (p *pass) apply(ctx context.Context, raise bool) error {
	for stage := range stages {
		var failed []error
		for turn := range 2 {
			list := p.at(step{stage, turn})
			failed = append(failed, each(ctx, p.c.o.Log, list, func(ctx context.Context, it *item) error {
				if err := p.applyOne(ctx, it, raise); err != nil {
					return fmt.Errorf("%s: %w", title(it.id), err)
				}
				return nil
			})...)
		}
		if stage == stageDefinitions {
			failed = append(failed, p.establish(ctx, failed)...)
		}
		if err := joined(failed); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) at(s step) []*item {
	var list []*item
	for _, it := range p.items {
		if it.step == s {
			list = append(list, it)
		}
	}
	return list
}

// applyOne brings one object to what is desired, and does nothing where it is.
func (p *pass) applyOne(ctx context.Context, it *item, raise bool) error {
	if it.err != nil {
		return it.err
	}
	if p.quiet(it) {
		return nil
	}
	unlock, err := p.c.held.lock(ctx, it.id)
	if err != nil {
		return err
	}
	defer unlock()
	live, err := p.read(ctx, it)
	if err != nil {
		return err
	}
	if live == nil && p.isFinished(it) {
		return nil
	}
	want, sent := it.object, it.digest
	if live != nil {
		if err := p.mayTouch(live); err != nil {
			return err
		}
		if raise {
			want, sent = raised(it, live)
		}
		if p.compare(it, want, sent, live) == "" {
			return nil
		}
	}
	p.s.unknown(it.id)
	applied, err := p.patch(ctx, it, want)
	if err != nil {
		return err
	}
	p.s.set(it.id, known{sent: sent, live: projection(want, applied), version: versionOf(applied)})
	return nil
}

// mayTouch says why a live object is not this plan's to change.
func (p *pass) mayTouch(live map[string]any) error {
	if owner := render.Object(live).Annotation(render.PlanAnnotation); owner != "" && owner != p.s.key.String() {
		return fmt.Errorf("it belongs to plan %s and is not touched: take it out of one of the two kustomizations", owner)
	}
	if isDeleted(live) {
		return errors.New(status.Deleted(live) + "; it is applied once it is gone")
	}
	return nil
}

// raised is the object with no fewer replicas than are live. Replicas that
// Changeover set and does not mention any more are kept too: given up, they
// would fall back to one.
func raised(it *item, live map[string]any) (map[string]any, digest) {
	n := replicasOf(live)
	if n == status.Unsaid || it.replicas >= n || it.replicas == status.Unsaid && !ownsReplicas(live) {
		return it.object, it.digest
	}
	out, _ := clone(it.object).(map[string]any)
	spec, ok := out["spec"].(map[string]any)
	if !ok {
		spec = map[string]any{}
		out["spec"] = spec
	}
	spec["replicas"] = n
	return out, digestOf(out)
}

// replicasOf is spec.replicas; status.Unsaid where there is no such number.
func replicasOf(o map[string]any) int64 {
	spec, _ := o["spec"].(map[string]any)
	if f, ok := float(spec["replicas"]); ok {
		return int64(f)
	}
	return status.Unsaid
}

// compare is the path of what differs between a live object and a form of the
// item, and notes it where nothing does. Once an object was applied in a form,
// what the API server made of it then is what counts.
func (p *pass) compare(it *item, want map[string]any, sent digest, live map[string]any) string {
	k, ok := p.s.get(it.id)
	now := projection(want, live)
	if ok && k.sent == sent && k.live == now {
		k.version = versionOf(live)
		p.s.set(it.id, k)
		return ""
	}
	at := differs(want, live)
	if at == "" {
		at = surplus(want, live)
	}
	if at != "" {
		return at
	}
	p.s.set(it.id, known{sent: sent, live: now, version: versionOf(live)})
	return ""
}

// forceAttempts is how often a field is taken back while others change the
// object, as controllers do in a rollout.
const forceAttempts = 5

// patch applies a form of the item on the server's side. Fields of others are
// taken only where the object says so, or where people changed by hand what was
// Changeover's.
func (p *pass) patch(ctx context.Context, it *item, want map[string]any) (map[string]any, error) {
	force := render.Object(want).Annotation(render.ForceConflictsAnnotation) == "true"
	got, err := p.send(ctx, it, want, force)
	for attempt := 1; editedByHand(err); attempt++ {
		live, late := p.read(ctx, it)
		if late != nil {
			return nil, late
		}
		if !p.isOurs(live) {
			break
		}
		// Only what was read may be overwritten.
		at, _ := clone(want).(map[string]any)
		at["metadata"].(map[string]any)["resourceVersion"] = versionOf(live)
		if got, late = p.send(ctx, it, at, true); !apierrors.IsConflict(late) || attempt == forceAttempts || !pause(ctx) {
			return got, client.Explain(late)
		}
		// Whose the fields are now is asked anew.
		got, err = p.send(ctx, it, want, false)
	}
	return got, client.Explain(err)
}

// isOurs reports whether a live object was applied for the plan, and may be
// again.
func (p *pass) isOurs(live map[string]any) bool {
	return live != nil && !isDeleted(live) && wasApplied(live) &&
		render.Object(live).Annotation(render.PlanAnnotation) == p.s.key.String()
}

func (p *pass) send(ctx context.Context, it *item, want map[string]any, force bool) (map[string]any, error) {
	body, err := json.Marshal(want)
	if err != nil {
		return nil, errors.New("encode it: it holds a value that JSON cannot")
	}
	// Unknown fields are refused: kept silently or dropped, a typing error
	// would not be noticed.
	o, err := p.acc.Resource(it.mapping, it.id.Namespace).Patch(ctx, it.id.Name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: render.FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: p.acc.DryRun()})
	if err != nil {
		return nil, err
	}
	return o.Object, nil
}

// read gets the live object; nil where it is not there.
func (p *pass) read(ctx context.Context, it *item) (map[string]any, error) {
	if it.mapping == nil {
		m, err := mapping(ctx, p.acc, it.gvk)
		if err != nil {
			return nil, err
		}
		it.mapping = m
	}
	o, err := p.acc.Resource(it.mapping, it.id.Namespace).Get(ctx, it.id.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, client.Explain(err)
	}
	return o.Object, nil
}

// hands are the commands of kubectl with which people change live objects. What
// applies or creates whole manifests is not among them: behind that stands
// another source of truth.
var hands = []string{"kubectl-edit", "kubectl-patch", "kubectl-set", "kubectl-label", "kubectl-annotate", "kubectl"}

// editedByHand reports whether a conflict is with such edits alone.
func editedByHand(err error) bool {
	var st apierrors.APIStatus
	if !errors.As(err, &st) || st.Status().Details == nil {
		return false
	}
	found := false
	for _, c := range st.Status().Details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		// conflict with "MANAGER" [with subresource "NAME"] using VERSION: only
		// updates have a version.
		_, rest, _ := strings.Cut(c.Message, `"`)
		manager, rest, _ := strings.Cut(rest, `"`)
		if !slices.Contains(hands, manager) || !strings.Contains(rest, " using ") {
			return false
		}
		found = true
	}
	return found
}

// establish waits until the definitions among the items are served, and finds
// the resources of the kinds that they define.
func (p *pass) establish(ctx context.Context, failed []error) []error {
	if joined(failed) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, establishing)
	defer cancel()
	for _, it := range p.items {
		if it.id.Group != groupCRD || it.id.Kind != kindCRD || p.quiet(it) {
			continue
		}
		if err := p.established(ctx, it); err != nil {
			return []error{fmt.Errorf("%s: %w", title(it.id), err)}
		}
	}
	for _, it := range p.items {
		if it.mapping != nil || it.err != nil {
			continue
		}
		if err := p.find(ctx, it); err != nil {
			return []error{fmt.Errorf("%s: %w", title(it.id), err)}
		}
	}
	return nil
}

func (p *pass) established(ctx context.Context, it *item) error {
	for {
		live, err := p.read(ctx, it)
		if err != nil {
			return err
		}
		ok, why := live != nil, "it is not there"
		if live != nil {
			ok, why = status.Of(live, status.Unsaid)
		}
		if ok {
			return nil
		}
		if !pause(ctx) {
			return fmt.Errorf("it was applied, but is not served after %s: %s; it is tried again", establishing, why)
		}
	}
}

// find looks for the resource of a kind that was just defined.
func (p *pass) find(ctx context.Context, it *item) error {
	for {
		p.acc.Forget()
		m, err := mapping(ctx, p.acc, it.gvk)
		if err == nil {
			it.mapping = m
			return nil
		}
		if !errors.Is(err, client.ErrNoKind) || !pause(ctx) {
			return err
		}
	}
}

// pause waits a little and reports whether there is time left.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// noNamespace reports whether an error says that the namespace is not there.
func noNamespace(err error) bool {
	var st apierrors.APIStatus
	return errors.As(err, &st) && st.Status().Reason == metav1.StatusReasonNotFound &&
		st.Status().Details != nil && st.Status().Details.Kind == "namespaces"
}
