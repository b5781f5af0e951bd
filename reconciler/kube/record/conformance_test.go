package record

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
)

// withSpec knows the spec of every plan before its record is saved, as a daemon
// does from its second evaluation on.
type withSpec struct {
	*daemon
	t testing.TB
}

func (w withSpec) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	if mirrored(key) {
		p := w.object(key)
		p.mu.Lock()
		err := p.setSpec(reconciler.Status{Plan: sample(w.t, key), Head: commit})
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return w.daemon.Save(ctx, key, rec)
}

// fromCluster loads by a recorder that has an empty journal.
type fromCluster struct{ withSpec }

func (f fromCluster) Load(ctx context.Context, key plan.Key) (decide.Record, bool, error) {
	if !mirrored(key) {
		return f.withSpec.Load(ctx, key)
	}
	r, err := New(Options{Inner: &fakes.Recorder{}, Client: f.o.Client, Log: f.o.Log, Now: f.o.Now})
	if err != nil {
		return decide.Record{}, false, err
	}
	return r.Load(ctx, key)
}

func TestRecorderConforms(t *testing.T) {
	conforms(t, func(w withSpec) reconciler.Recorder { return w })
}

func TestTheCopyInTheClusterConforms(t *testing.T) {
	conforms(t, func(w withSpec) reconciler.Recorder { return fromCluster{w} })
}

func conforms(t *testing.T, wrap func(withSpec) reconciler.Recorder) {
	k := install(t)
	namespaces := []string{"migrations", "migrations-onap", "other", "a"} // of the suite
	for _, ns := range namespaces {
		k.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+"}}")
	}
	conformance.Recorder(t, func(t *testing.T) reconciler.Recorder {
		d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
		t.Cleanup(func() {
			d.end()
			for _, ns := range namespaces {
				plans := k.Dynamic.Resource(api.Resource).Namespace(ns)
				must(t, plans.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}))
			}
		})
		return wrap(withSpec{d, t})
	})
}
