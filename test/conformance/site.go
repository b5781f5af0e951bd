package conformance

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Site is a reconciler.Cluster with a plan for which nothing was applied yet, in
// a namespace that is there and empty.
type Site struct {
	Cluster reconciler.Cluster
	Key     plan.Key
	// Live is an object of the plan's namespace as it is live; nil where it is
	// not there.
	Live func(t *testing.T, kind, name string) map[string]any
	// Remove deletes an object behind the back of the Cluster.
	Remove func(t *testing.T, kind, name string)
	// Annotate sets an annotation of a live object, as a person does.
	Annotate func(t *testing.T, kind, name, annotation, value string)
}

func (s Site) want(t *testing.T, docs ...string) reconciler.Desired {
	t.Helper()
	d := reconciler.Desired{
		Mark:  reconciler.Mark{Key: s.Key, Stop: at10, Since: entered, Revision: "0123456789abcdef0123456789abcdef01234567"},
		Prune: true, MaxPrune: 3,
	}
	for _, doc := range docs {
		var o map[string]any
		must(t, yaml.Unmarshal([]byte(doc), &o))
		d.Objects = append(d.Objects, integers(o).(map[string]any))
	}
	return d
}

// integers makes numbers what the port promises: int64 where they are whole.
func integers(v any) any {
	switch v := v.(type) {
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	case map[string]any:
		for k, e := range v {
			v[k] = integers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = integers(e)
		}
	}
	return v
}

func settingsOf(name string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + "}, data: {mode: a}}"
}

// web is a Deployment. Pods may have more fields.
func web(replicas, pods string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: " + replicas +
		`, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {` + pods + `containers: [{name: web, image: "web:1"}]}}}}`
}

const nowhere = "nodeSelector: {no: where}, "

// patience is how long a Deployment may take to become ready on a busy machine.
const patience = 2 * time.Minute

func (s Site) bring(t *testing.T, d reconciler.Desired) {
	t.Helper()
	s.expand(t, d)
	s.healthy(t, d)
	if err := s.Cluster.Contract(within(t), d); err != nil {
		t.Fatalf("Contract: %v", err)
	}
}

func (s Site) expand(t *testing.T, d reconciler.Desired) {
	t.Helper()
	if err := s.Cluster.Expand(within(t), d); err != nil {
		t.Fatalf("Expand: %v", err)
	}
}

func (s Site) healthy(t *testing.T, d reconciler.Desired) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ok, why, err := s.Cluster.Healthy(within(t), d)
		switch {
		case err != nil:
			t.Fatalf("Healthy: %v", err)
		case ok && why == "":
			return
		case ok || why == "":
			t.Fatalf("Healthy: %v, %q", ok, why)
		case time.Now().After(end):
			t.Fatalf("not healthy after %s: %s", patience, why)
		}
	}
}

func (s Site) observe(t *testing.T, d reconciler.Desired) reconciler.ClusterState {
	t.Helper()
	st, err := s.Cluster.Observe(within(t), d)
	if err != nil {
		t.Fatalf("Observe: %v", err)
	}
	return st
}

// is fails where the cluster is not as desired, with nothing to say about it.
func (s Site) is(t *testing.T, d reconciler.Desired) {
	t.Helper()
	s.healthy(t, d) // controllers see a change a moment later
	if st := s.observe(t, d); !st.InSync || !st.Healthy || st.Message != "" {
		t.Errorf("Observe: %+v, want it in sync and healthy", st)
	}
}

// differs fails where the cluster is as desired, or does not name what is not.
func (s Site) differs(t *testing.T, d reconciler.Desired, kind, name string) {
	t.Helper()
	if st := s.observe(t, d); st.InSync || !strings.Contains(st.Message, kind+" "+s.Key.Namespace+"/"+name) {
		t.Errorf("Observe: %+v, want it not in sync for %s %s", st, kind, name)
	}
}

func (s Site) replicas(t *testing.T) int64 {
	t.Helper()
	o := s.Live(t, "Deployment", "web")
	spec, _ := o["spec"].(map[string]any)
	n, _ := spec["replicas"].(int64)
	return n
}

func (s Site) there(t *testing.T, kind, name string, want bool) {
	t.Helper()
	if is := s.Live(t, kind, name) != nil; is != want {
		t.Errorf("%s %s is there: %v", kind, name, is)
	}
}
