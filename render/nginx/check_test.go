package nginx_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/nginx"
)

const checked = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: p}
spec:
  position: {phase: a}
  backends: {legacy: {url: "http://127.0.0.1:1"}, modern: {url: "http://127.0.0.1:2"}}
  gateway: {GATEWAY: {}}
  phases:
    - name: a
      routes: [{to: legacy}]
    - name: b
      percents: [10, 20]
      routes:
        - match: {path: /x}
          to: split
        - match: {pathRegex: '\pL'}
          to: split
        - to: legacy
`

func TestCheckLocatesWhatNGINXCannotDo(t *testing.T) {
	doc, problems := plan.Decode("p.yaml", []byte(strings.Replace(checked, "GATEWAY", "nginx", 1)))
	for _, p := range problems {
		t.Error(p.String())
	}
	got := nginx.Check(doc)
	if len(got) != 1 || got[0].Line != 16 || got[0].Code != "capability" || !strings.Contains(got[0].Message, "too large for nginx") {
		t.Errorf("got %v", got)
	}
	doc, _ = plan.Decode("p.yaml", []byte(strings.Replace(checked, "GATEWAY", "bridge", 1)))
	if got := nginx.Check(doc); len(got) != 0 {
		t.Errorf("of a bridge's plan it says %v", got)
	}
}
