package schemas_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/schemas"
)

const goodApproval = `# yaml-language-server: $schema=approval.schema.json
apiVersion: changeover.dev/v1alpha1
kind: Approval
spec:
  plan: migrations/onap-so
  stop: gradual@25
  raise: 0123456789abcdef0123456789abcdef01234567
  role: operations
  item: Dashboards reviewed
  by: Ann
  note: all green
`

func TestApprovalsFitTheSchemaWhereTheyDecode(t *testing.T) {
	s := load(t, schemas.Approval)
	for _, c := range []struct {
		old, new string
		good     bool
	}{
		{"", "", true},
		{"migrations/onap-so", "onap-so", true},
		{"gradual@25", "gradual", true},
		{"gradual@25", "gradual@0.5", true},
		{"gradual@25", "gradual@100", true},
		{"0123456789abcdef0123456789abcdef01234567", "0123456789ab", true},
		{"  item: Dashboards reviewed\n  by: Ann\n  note: all green\n", "", true},

		{"v1alpha1", "v2", false},
		{"kind: Approval", "kind: MigrationPlan", false},
		{"kind: Approval\n", "", false},
		{"migrations/onap-so", "a/b/c", false},
		{"migrations/onap-so", "/onap-so", false},
		{"migrations/onap-so", "Onap", false},
		{"migrations/onap-so", strings.Repeat("a", 64), false},
		{"gradual@25", "gradual@x", false},
		{"gradual@25", "gradual@101", false},
		{"gradual@25", "gradual@100.5", false},
		{"gradual@25", "gradual@-1", false},
		{"gradual@25", "gradual@", false},
		{"gradual@25", `"@25"`, false},
		{"gradual@25", "25", false},
		{"gradual@25", "{phase: gradual, percent: 25}", false},
		{"0123456789abcdef0123456789abcdef01234567", "HEAD", false},
		{"0123456789abcdef0123456789abcdef01234567", "0123456789a", false},
		{"0123456789abcdef0123456789abcdef01234567", "123456789012", false},
		{"0123456789abcdef0123456789abcdef01234567", "0123456789ABCDEF", false},
		{"role: operations", "role: Operations", false},
		{"  role: operations\n", "", false},
		{"item: Dashboards reviewed", `item: ""`, false},
		{"by: Ann", `by: [Ann]`, false},
		{"by: Ann", "bye: Ann", false},
	} {
		src := strings.Replace(goodApproval, c.old, c.new, 1)
		var v any
		if err := yaml.Unmarshal([]byte(src), &v); err != nil {
			t.Fatalf("%q: %v", c.new, err)
		}
		_, problems := plan.DecodeApproval("a.yaml", []byte(src))
		misfits := check("", s, v)
		if decodes, fits := !plan.HasErrors(problems), len(misfits) == 0; decodes != c.good || fits != c.good {
			t.Errorf("%q instead of %q: it decodes: %v (%v); it fits the schema: %v (%v)", c.new, c.old, decodes, problems, fits, misfits)
		}
	}
}
