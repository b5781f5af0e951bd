// Package flagsconfig keeps the flag definitions of plans in ConfigMaps, from which
// flagd reads them. It uses the daemon's own account, not that of a plan.
package flagsconfig

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/flagd"
)

// HashAnnotation has the hash of the definitions.
const HashAnnotation = "changeover.dev/hash"

// suffix of the name of a plan's ConfigMap.
const suffix = "-flags"

// Name of the ConfigMap of a plan, in the plan's namespace.
func Name(key plan.Key) string { return key.Name + suffix }

// ConfigMaps is the Store of package flags in ConfigMaps, one for each plan: PLAN-flags
// in its namespace, whose key flags.flagd.json is Changeover's. Its methods may be
// called from any goroutine.
type ConfigMaps struct{ client *client.Client }

// New makes no call.
func New(c *client.Client) *ConfigMaps { return &ConfigMaps{client: c} }

var resource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// Read implements flags.Store.
func (m *ConfigMaps) Read(ctx context.Context, key plan.Key) ([]byte, error) {
	name := Name(key)
	o, err := m.client.Dynamic().Resource(resource).Namespace(key.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", key.Namespace, name, client.Explain(err))
	}
	if owner := o.GetAnnotations()[render.PlanAnnotation]; owner != key.String() {
		return nil, fmt.Errorf("ConfigMap %s/%s is there and is not that of the plan's flags: it has no annotation %s: %s; rename it, or the plan", key.Namespace, name, render.PlanAnnotation, key)
	}
	text, _, err := unstructured.NestedString(o.Object, "data", flagd.Key)
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", key.Namespace, name, err)
	}
	return []byte(text), nil
}

// Write implements flags.Store. It takes the key over from whoever has edited it:
// that must not stand in the way of a rollback.
func (m *ConfigMaps) Write(ctx context.Context, s *flagd.Set) error {
	name := Name(s.Plan)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": s.Plan.Namespace, "name": name, "annotations": map[string]string{
			render.PlanAnnotation: s.Plan.String(), render.StopAnnotation: s.Stop.String(), HashAnnotation: s.Hash,
		}},
		"data": map[string]string{flagd.Key: string(s.Definitions())},
	})
	if err == nil {
		force := true
		_, err = m.client.Dynamic().Resource(resource).Namespace(s.Plan.Namespace).
			Patch(ctx, name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: render.FieldManager, Force: &force, DryRun: m.client.DryRun()})
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", s.Plan.Namespace, name, client.Explain(err))
	}
	return nil
}
