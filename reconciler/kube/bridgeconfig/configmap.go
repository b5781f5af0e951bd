package bridgeconfig

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render/bridge"
)

// fieldManager owns the one key that is written.
const fieldManager = "changeover"

// maxData is what an API server takes in one ConfigMap, in bytes.
const maxData = 1 << 20

// ConfigMap is the Store of package bridge in a ConfigMap, under
// bridge.ConfigMapKey; the rest of the object is left alone. Writing needs the
// rights to patch and to create it. Its methods may be called from any
// goroutine.
type ConfigMap struct {
	namespace, name string
	client          *client.Client
	maps            dynamic.ResourceInterface
}

// NewConfigMap makes no call.
func NewConfigMap(c *client.Client, namespace, name string) *ConfigMap {
	maps := c.Dynamic().Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(namespace)
	return &ConfigMap{namespace: namespace, name: name, client: c, maps: maps}
}

// String names the ConfigMap.
func (m *ConfigMap) String() string {
	return fmt.Sprintf("the bridge's ConfigMap %q", m.namespace+"/"+m.name)
}

// Read returns nil where there is no such object, or no config in it.
func (m *ConfigMap) Read(ctx context.Context) ([]byte, error) {
	o, err := m.maps.Get(ctx, m.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m, client.Explain(err))
	}
	text, found, err := unstructured.NestedString(o.Object, "data", bridge.ConfigMapKey)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m, err)
	}
	if !found {
		return nil, nil
	}
	return []byte(text), nil
}

// Write applies the config. It takes the key over from whoever has edited it:
// that must not stand in the way of a rollback.
func (m *ConfigMap) Write(ctx context.Context, src []byte) error {
	if len(src) > maxData {
		return fmt.Errorf("write %s: the config has %d bytes, and a ConfigMap holds at most %d: use fewer or shorter routes, or a file (--bridge-config)", m, len(src), maxData)
	}
	return m.apply(ctx, "write", map[string]string{bridge.ConfigMapKey: string(src)})
}

// Remove takes the key away, and leaves the object.
func (m *ConfigMap) Remove(ctx context.Context) error { return m.apply(ctx, "empty", nil) }

func (m *ConfigMap) apply(ctx context.Context, what string, data map[string]string) error {
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"namespace": m.namespace, "name": m.name}}
	if data != nil {
		object["data"] = data
	}
	body, err := json.Marshal(object)
	if err == nil {
		force := true
		_, err = m.maps.Patch(ctx, m.name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: fieldManager, Force: &force, DryRun: m.client.DryRun()})
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, m, client.Explain(err))
	}
	return nil
}
