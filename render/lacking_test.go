package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/render"
)

func TestLackingAreTheWorkloadsThatAreGoneOrFewer(t *testing.T) {
	deployment := func(name string, replicas any) render.Object {
		o := render.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name}, "spec": map[string]any{}}
		if replicas != nil {
			o["spec"] = map[string]any{"replicas": replicas}
		}
		return o
	}
	service := render.Object{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "web"}}
	settings := render.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"}}
	elsewhere := render.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "a", "namespace": "other"}}
	beta := render.Object{"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"replicas": int64(3)}}
	foreign := render.Object{"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": map[string]any{"name": "a"}}
	for _, c := range []struct {
		name             string
		have, want, lack []render.Object
	}{
		{"nothing", nil, nil, nil},
		{"the same", []render.Object{deployment("a", int64(3)), service}, []render.Object{deployment("a", int64(3)), service}, nil},
		{"more than wanted", []render.Object{deployment("a", int64(5))}, []render.Object{deployment("a", int64(3))}, nil},
		{"fewer than wanted", []render.Object{deployment("a", int64(2))}, []render.Object{deployment("a", int64(3))}, []render.Object{deployment("a", int64(3))}},
		{"none, where one goes without saying", []render.Object{deployment("a", int64(0))}, []render.Object{deployment("a", nil)}, []render.Object{deployment("a", nil)}},
		{"one goes without saying", []render.Object{deployment("a", nil)}, []render.Object{deployment("a", int64(1))}, nil},
		{"none is wanted", []render.Object{deployment("a", int64(0))}, []render.Object{deployment("a", int64(0))}, nil},
		{"gone, in order", []render.Object{settings}, []render.Object{deployment("b", nil), settings, service, deployment("a", nil)}, []render.Object{deployment("b", nil), service, deployment("a", nil)}},
		{"gone, though none was running", nil, []render.Object{deployment("a", int64(0))}, []render.Object{deployment("a", int64(0))}},
		{"no workload", nil, []render.Object{settings, foreign}, nil},
		{"in another namespace", []render.Object{elsewhere}, []render.Object{deployment("a", nil)}, []render.Object{deployment("a", nil)}},
		{"in another version", []render.Object{beta}, []render.Object{deployment("a", int64(3))}, nil},
		{"other forms of numbers", []render.Object{deployment("a", 2.0), deployment("b", 2)}, []render.Object{deployment("a", 3), deployment("b", 3.0)}, []render.Object{deployment("a", 3), deployment("b", 3.0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.lack, render.Lacking(c.have, c.want)); d != "" {
				t.Errorf("lacking (-want +got):\n%s", d)
			}
		})
	}
}

func TestEveryKindThatAnswersRequestsCanBeLacking(t *testing.T) {
	for _, k := range []struct{ version, kind string }{
		{"apps/v1", "Deployment"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "ReplicaSet"}, {"apps/v1", "DaemonSet"}, {"v1", "ReplicationController"}, {"v1", "Pod"}, {"v1", "Service"},
	} {
		o := render.Object{"apiVersion": k.version, "kind": k.kind, "metadata": map[string]any{"name": "a"}}
		if len(render.Lacking(nil, []render.Object{o})) != 1 {
			t.Errorf("a %s that is gone is not lacking", k.kind)
		}
	}
	for _, k := range []struct{ version, kind string }{{"batch/v1", "Job"}, {"v1", "ConfigMap"}, {"apps/v1", "Pod"}, {"v1", "Deployment"}} {
		o := render.Object{"apiVersion": k.version, "kind": k.kind, "metadata": map[string]any{"name": "a"}}
		if len(render.Lacking(nil, []render.Object{o})) != 0 {
			t.Errorf("a %s %s answers no requests", k.version, k.kind)
		}
	}
}
