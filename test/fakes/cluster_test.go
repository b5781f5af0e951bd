package fakes_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
)

var shop = plan.Key{Namespace: "default", Name: "shop"}

func idOf(kind, name string) render.ID {
	id := render.ID{Kind: kind, Namespace: shop.Namespace, Name: name}
	if kind == "Deployment" {
		id.Group = "apps"
	}
	return id
}

func TestCluster(t *testing.T) {
	conformance.Cluster(t, func(*testing.T) conformance.Site {
		c := &fakes.Cluster{}
		return conformance.Site{
			Cluster: c, Key: shop,
			Live:   func(_ *testing.T, kind, name string) map[string]any { return c.Live(idOf(kind, name)) },
			Remove: func(_ *testing.T, kind, name string) { c.Remove(idOf(kind, name)) },
			Annotate: func(_ *testing.T, kind, name, annotation, value string) {
				c.Edit(idOf(kind, name), func(o render.Object) {
					o["metadata"].(map[string]any)["annotations"].(map[string]any)[annotation] = value
				})
			},
		}
	})
}

func TestAClusterFailsHoldsAndWakes(t *testing.T) {
	c := &fakes.Cluster{}
	var woken []plan.Key
	c.WakeWith(func(k plan.Key) { woken = append(woken, k) })
	d := reconciler.Desired{Mark: reconciler.Mark{Key: shop, Stop: plan.Position{Phase: "setup"}}, Objects: []render.Object{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "one"}},
	}}
	down := errors.New("down")
	c.FailWith(func(method string) error {
		if method == "Expand" {
			return down
		}
		return nil
	})
	ctx := t.Context()
	if err := c.Expand(ctx, d); !errors.Is(err, down) {
		t.Errorf("Expand: %v", err)
	}
	c.FailWith(nil)
	if err := c.Expand(ctx, d); err != nil {
		t.Error(err)
	}
	c.Hold(idOf("ConfigMap", "one"), "because")
	if ok, why, _ := c.Healthy(ctx, d); ok || why != "ConfigMap default/one: because" {
		t.Errorf("Healthy: %v, %q", ok, why)
	}
	c.Hold(idOf("ConfigMap", "one"), "")
	if ok, _, _ := c.Healthy(ctx, d); !ok {
		t.Error("it is held for ever")
	}
	c.Remove(idOf("ConfigMap", "one"))
	c.Lose(shop)
	if len(woken) != 2 || woken[0] != shop {
		t.Errorf("woken: %v", woken)
	}
	c.Lack("something")
	if unmet, _ := c.Unmet(ctx, nil); !slices.Equal(unmet, []string{"something"}) {
		t.Errorf("Unmet: %v", unmet)
	}
	if log := c.Log(); !slices.Equal(log, []string{"expand setup"}) {
		t.Errorf("Log: %v", log)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Observe(done, d); err == nil {
		t.Error("a call without time is answered")
	}
}
