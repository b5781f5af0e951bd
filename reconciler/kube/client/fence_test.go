package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// Whoever's account is used: nothing is written while the fence is closed, and
// everything can be read.
func TestNothingIsWrittenWhileTheFenceIsClosed(t *testing.T) {
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
	closed := errors.New("the lease was lost")
	var err error
	c, nerr := client.New(client.Options{Config: &rest.Config{Host: srv.URL}, Fence: func() error { return err }})
	if nerr != nil {
		t.Fatal(nerr)
	}
	as, nerr := c.As("b", "migration")
	if nerr != nil {
		t.Fatal(nerr)
	}
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	for _, c := range []*client.Client{c, as} {
		r := c.Dynamic().Resource(maps).Namespace("b")
		err = closed
		before := writes.Load()
		if _, got := r.Patch(t.Context(), "a", "application/apply-patch+yaml", []byte(`{}`), metav1.PatchOptions{FieldManager: "x"}); !errors.Is(got, closed) || !strings.Contains(got.Error(), "nothing is written") {
			t.Errorf("patch: %v", got)
		}
		if got := r.Delete(t.Context(), "a", metav1.DeleteOptions{}); !errors.Is(got, closed) {
			t.Errorf("delete: %v", got)
		}
		if _, got := r.Get(t.Context(), "a", metav1.GetOptions{}); got != nil {
			t.Errorf("get: %v", got)
		}
		if writes.Load() != before {
			t.Error("a write went through")
		}
		err = nil
		if got := r.Delete(t.Context(), "a", metav1.DeleteOptions{}); got != nil || writes.Load() != before+1 {
			t.Errorf("delete with an open fence: %v, %d writes", got, writes.Load()-before)
		}
	}
}
