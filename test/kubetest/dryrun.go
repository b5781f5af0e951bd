package kubetest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/render"
)

const applyPatch = types.ApplyPatchType

// ours is how labels and annotations begin that Changeover adds when it
// applies; a render has none of them.
const ours = "changeover.dev/"

// DryRunDiff says what would change if these objects were applied as
// "changeover": the API server merges each of them in a dry run, without force,
// and the outcome is compared with the live object. It is empty where nothing
// would change. The marks that Changeover adds when it applies (labels and
// annotations of changeover.dev) are taken from the live object where the
// render says nothing of them. Values of Secrets are shown as hashes.
func (k *Kube) DryRunDiff(t testing.TB, objects []render.Object) string {
	t.Helper()
	if len(objects) == 0 {
		t.Fatal("compare with the live objects: there is no object to compare, which is no agreement")
	}
	var b strings.Builder
	for _, o := range objects {
		diff, err := k.dryRun(o)
		if err != nil {
			diff = err.Error()
		}
		if diff != "" {
			fmt.Fprintf(&b, "%s: %.4000s\n", o.ID(), diff)
		}
	}
	return b.String()
}

func (k *Kube) dryRun(object render.Object) (diff string, err error) {
	wanted := (&unstructured.Unstructured{Object: object}).DeepCopy()
	mapping, err := k.mapping(wanted.GroupVersionKind().GroupKind(), wanted.GroupVersionKind().Version)
	if err != nil {
		return "", err
	}
	namespaced := mapping.Scope.Name() == meta.RESTScopeNameNamespace
	if namespaced != (wanted.GetNamespace() != "") {
		return "", fmt.Errorf("its namespace is %q, which does not fit its kind", wanted.GetNamespace())
	}
	ctx, cancel := within()
	defer cancel()
	live, err := k.Dynamic.Resource(mapping.Resource).Namespace(wanted.GetNamespace()).Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "it is not there", nil
	}
	if err != nil {
		return "", err
	}
	wanted.SetLabels(withMarks(wanted.GetLabels(), live.GetLabels()))
	wanted.SetAnnotations(withMarks(wanted.GetAnnotations(), live.GetAnnotations()))
	merged, err := k.apply(wanted, "", metav1.PatchOptions{FieldManager: render.FieldManager, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return "", err
	}
	return cmp.Diff(content(live), content(merged)), nil
}

// withMarks adds what only the live object has of ours.
func withMarks(wanted, live map[string]string) map[string]string {
	for key, value := range live {
		if _, has := wanted[key]; has || !strings.HasPrefix(key, ours) {
			continue
		}
		if wanted == nil {
			wanted = map[string]string{}
		}
		wanted[key] = value
	}
	return wanted
}

// content is what counts of an object: not its version, nor who last wrote
// which field, and no value of a Secret.
func content(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	o.SetManagedFields(nil)
	o.SetResourceVersion("")
	if o.GetKind() != "Secret" {
		return o.Object
	}
	for _, field := range []string{"data", "stringData"} {
		values, _, _ := unstructured.NestedMap(o.Object, field)
		for name, v := range values {
			values[name] = fmt.Sprintf("hidden, %x", sha256.Sum256(fmt.Append(nil, v)))[:20]
		}
		if values != nil {
			o.Object[field] = values
		}
	}
	return o.Object
}
