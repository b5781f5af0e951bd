package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

const goodApproval = `apiVersion: changeover.dev/v1alpha1
kind: Approval
spec:
  plan: migrations/onap-so
  stop: gradual@25
  raise: 0123456789abcdef0123456789abcdef01234567
  role: operations
  item: Dashboards reviewed
  by: Ann
`

func TestApprovalsAreDecodedStrictly(t *testing.T) {
	a, ps := plan.DecodeApproval("ann.yaml", []byte(goodApproval))
	if len(ps) > 0 || a.Spec.Stop != "gradual@25" || a.Spec.Item != "Dashboards reviewed" || a.Spec.Plan != "migrations/onap-so" {
		t.Errorf("got %+v, %v", a, ps)
	}
	for _, c := range []struct{ old, new, want string }{
		{"kind: Approval", "kind: Assent", `ann.yaml:2:7: kind: kind "Assent" is not an approval`},
		{"v1alpha1", "v2", `ann.yaml:1:13: api-version: apiVersion "changeover.dev/v2" is not known`},
		{"migrations/onap-so", "a/b/c", `ann.yaml:4:9: name: "b/c" cannot be the name of a plan`},
		{"gradual@25", "gradual@x", `ann.yaml:5:9: position: "gradual@x" is not a stop`},
		{"0123456789abcdef0123456789abcdef01234567", "HEAD", `ann.yaml:6:10: raise: "HEAD" is not the name of a commit`},
		{"  role: operations\n", "", `ann.yaml:3:1: missing-field: field "spec.role" is missing`},
		{"by: Ann", "bye: Ann", `ann.yaml:9:3: unknown-field: unknown field "bye"`},
		{"  item:", "\titem:", ""},
	} {
		src := strings.Replace(goodApproval, c.old, c.new, 1)
		_, ps := plan.DecodeApproval("ann.yaml", []byte(src))
		if len(ps) == 0 {
			t.Errorf("%q is taken", c.new)
			continue
		}
		if c.want != "" && cmp.Diff(c.want, ps[0].String()) != "" {
			t.Errorf("got %s, want %s", ps[0], c.want)
		}
	}
}

func FuzzDecodeApproval(f *testing.F) {
	f.Add([]byte(goodApproval))
	f.Add([]byte("{apiVersion: changeover.dev/v1alpha1, kind: Approval, spec: {plan: a}}"))
	f.Add([]byte("kind: Approval\nspec: [1"))
	f.Fuzz(func(_ *testing.T, src []byte) {
		plan.IsApproval(src)
		_, ps := plan.DecodeApproval("a.yaml", src)
		for _, p := range ps {
			_ = p.Render()
		}
	})
}
