package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// A client for dry runs sends no request that would write, as whoever it acts.
func TestAClientForDryRunsNeverWrites(t *testing.T) {
	var writes, reads atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reads.Add(1)
		} else {
			writes.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}`))
	}))
	defer srv.Close()
	c, err := client.New(client.Options{Config: &rest.Config{Host: srv.URL}, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	as, err := c.As("b", "migration")
	if err != nil {
		t.Fatal(err)
	}
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	object := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "b"}}}
	}
	calls := map[string]func(r dynamic.ResourceInterface, dry []string) error{
		"patch": func(r dynamic.ResourceInterface, dry []string) error {
			_, err := r.Patch(t.Context(), "a", "application/apply-patch+yaml", []byte(`{"dryRun":["All"]}`), metav1.PatchOptions{FieldManager: "x", DryRun: dry})
			return err
		},
		"create": func(r dynamic.ResourceInterface, dry []string) error {
			_, err := r.Create(t.Context(), object(), metav1.CreateOptions{DryRun: dry})
			return err
		},
		"update": func(r dynamic.ResourceInterface, dry []string) error {
			_, err := r.Update(t.Context(), object(), metav1.UpdateOptions{DryRun: dry})
			return err
		},
		"delete": func(r dynamic.ResourceInterface, dry []string) error {
			return r.Delete(t.Context(), "a", metav1.DeleteOptions{DryRun: dry})
		},
	}
	for _, c := range []*client.Client{c, as} {
		r := c.Dynamic().Resource(maps).Namespace("b")
		for name, call := range calls {
			before := writes.Load()
			if err := call(r, nil); !errors.Is(err, client.ErrNotDry) || !strings.Contains(err.Error(), "nothing is sent") {
				t.Errorf("%s: %v", name, err)
			}
			if writes.Load() != before {
				t.Errorf("%s went through", name)
			}
			if err := call(r, c.DryRun()); err != nil || writes.Load() != before+1 {
				t.Errorf("%s as a dry run: %v, %d requests", name, err, writes.Load()-before)
			}
		}
		if _, err := r.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	if reads.Load() != 2 {
		t.Errorf("%d reads", reads.Load())
	}
}

func TestAClientThatWritesSaysSo(t *testing.T) {
	c, err := client.New(client.Options{Config: &rest.Config{Host: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.DryRun(); got != nil {
		t.Errorf("got %q", got)
	}
}
