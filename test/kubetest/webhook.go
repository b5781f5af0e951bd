package kubetest

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// WebhookOptions say what the API server asks a webhook about.
type WebhookOptions struct {
	// Namespace whose objects it is about; no other test is disturbed.
	Namespace string
	// Resources as "deployments"; all where empty, with their subresources.
	Resources []string
	// Operations as "UPDATE"; CREATE and UPDATE where empty.
	Operations []string
	// TimeoutSeconds after which the API server gives up; 1 where zero, at most
	// 30.
	TimeoutSeconds int
}

// Webhook is an admission webhook on a loopback port that is asked before
// anything is written (failurePolicy: Fail), dry runs as well. It allows all
// until it is told otherwise.
type Webhook struct {
	mu    sync.Mutex
	deny  string
	hang  bool
	calls int
	probe int
	quit  chan struct{} // closed when the test ends
}

// Webhook starts one and returns when the API server asks it.
func (k *Kube) Webhook(t testing.TB, o WebhookOptions) *Webhook {
	t.Helper()
	if o.Namespace == "" {
		t.Fatal("start a webhook: want a namespace: one for all would stop the cluster's own controllers")
	}
	w := &Webhook{quit: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/probe", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.probe++
		w.mu.Unlock()
		answer(rw, r, "")
	})
	mux.HandleFunc("/", w.serve)
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // calls that the API server gave up
	srv.StartTLS()
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(w.quit) })
	name := o.Namespace + "." + strings.TrimPrefix(srv.URL, "https://127.0.0.1:") + ".kubetest.changeover.dev"
	if _, err := k.apply(w.configuration(name, srv, o), "", metav1.PatchOptions{FieldManager: Manager}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Delete(t, "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "", name) })
	// The API server learns of it by a watch.
	WaitFor(t, "the API server asks the webhook", func() bool {
		probe := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": "kubetest-probe", "labels": map[string]any{probeLabel: "true"}}}}
		if _, err := k.apply(probe, o.Namespace, metav1.PatchOptions{FieldManager: Manager, DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.probe > 0
	})
	w.mu.Lock()
	w.calls = 0 // those about the probe
	w.mu.Unlock()
	return w
}

// probeLabel is on the object by which the webhook is waited for.
const probeLabel = "kubetest.changeover.dev/probe"

func (w *Webhook) configuration(name string, srv *httptest.Server, o WebhookOptions) *unstructured.Unstructured {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if len(o.Resources) == 0 {
		o.Resources = []string{"*/*"}
	}
	if len(o.Operations) == 0 {
		o.Operations = []string{"CREATE", "UPDATE"}
	}
	hook := func(kind, path string, resources, operations []string, selector map[string]any) map[string]any {
		return map[string]any{
			"name": kind + ".kubetest.changeover.dev", "sideEffects": "None", "admissionReviewVersions": []any{"v1"},
			"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": int64(cmp.Or(o.TimeoutSeconds, 1)),
			"clientConfig":      map[string]any{"url": srv.URL + path, "caBundle": ca},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": o.Namespace}},
			"objectSelector":    selector,
			"rules":             []any{map[string]any{"apiGroups": []any{"*"}, "apiVersions": []any{"*"}, "resources": resources, "operations": operations}},
		}
	}
	is := func(operator string) map[string]any {
		return map[string]any{"matchExpressions": []any{map[string]any{"key": probeLabel, "operator": operator}}}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": map[string]any{"name": name},
		"webhooks": []any{
			hook("probe", "/probe", []string{"configmaps"}, []string{"CREATE"}, is("Exists")),
			hook("fault", "/fault", o.Resources, o.Operations, is("DoesNotExist")),
		},
	})
	u := &unstructured.Unstructured{}
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		panic(err) // only strings and lists of them
	}
	return u
}

// Allow lets all pass; calls that hang go on until the API server gives up.
func (w *Webhook) Allow() { w.set("", false) }

// Deny refuses all with a message.
func (w *Webhook) Deny(message string) { w.set(message, false) }

// Hang lets calls wait until the API server gives up, which then says "failed
// calling webhook".
func (w *Webhook) Hang() { w.set("", true) }

func (w *Webhook) set(deny string, hang bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deny, w.hang = deny, hang
}

// Calls is how often it was asked.
func (w *Webhook) Calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *Webhook) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.calls++
	deny, hang := w.deny, w.hang
	w.mu.Unlock()
	if hang {
		_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is seen
		select {
		case <-r.Context().Done():
		case <-w.quit:
		}
		return
	}
	answer(rw, r, deny)
}

// answer allows where there is no reason to deny.
func answer(rw http.ResponseWriter, r *http.Request, deny string) {
	var review struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(rw, fmt.Sprintf("read the review: %v", err), http.StatusBadRequest)
		return
	}
	response := map[string]any{"uid": review.Request.UID, "allowed": deny == ""}
	if deny != "" {
		response["status"] = map[string]any{"message": deny, "code": http.StatusForbidden}
	}
	rw.Header().Set("Content-Type", "application/json")
	writeJSON(rw, map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

// writeJSON answers; where that fails there is nobody left to tell.
func writeJSON(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }
