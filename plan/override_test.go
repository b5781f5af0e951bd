package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

func TestAnOverrideIsAppliedAtOnce(t *testing.T) {
	p, q := good(t, base), good(t, base)
	q.Spec.Override = &plan.Override{Header: "X-Force", From: []string{"10.0.0.0/8"}}
	if c := plan.Compare(p, q); !c.Live || !cmp.Equal(c.Fields, []string{"spec.override"}) {
		t.Errorf("change %+v", c)
	}
}

func TestNetworksAreInTheirOneForm(t *testing.T) {
	for _, bad := range []string{"", "10.0.0.0", "10.0.0.1/8", "::ffff:10.0.0.0/104", "fd00::1/8", "10.0.0.0/33", "a/8", "fe80::%eth0/64"} {
		if got, err := (&plan.Override{From: []string{"10.0.0.0/8", bad}}).Networks(); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
