package kube

import (
	"testing"

	"github.com/changeover-dev/changeover/test/conformance"
)

func TestConformance(t *testing.T) {
	site := func(watch bool) func(t *testing.T) conformance.Site {
		return func(t *testing.T) conformance.Site {
			r := setup(t)
			if watch {
				r.watch()
			}
			return conformance.Site{
				Cluster: r.c, Key: r.key,
				Live: func(_ *testing.T, kind, name string) map[string]any {
					if o := r.get(kind + "/" + name); o != nil {
						return o.Object
					}
					return nil
				},
				Remove: func(_ *testing.T, kind, name string) { r.kubectl("delete", kind+"/"+name) },
				Annotate: func(_ *testing.T, kind, name, annotation, value string) {
					r.kubectl("annotate", kind+"/"+name, annotation+"="+value)
				},
			}
		}
	}
	t.Run("reading", func(t *testing.T) { conformance.Cluster(t, site(false)) })
	t.Run("watching", func(t *testing.T) { conformance.Cluster(t, site(true)) })
}
