package nginx

import (
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	render "github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// rehearsed renders a plan of one split by the host of its modern backend.
func rehearsed(t *testing.T, host string) render.Files {
	t.Helper()
	doc, problems := plan.Decode("shop.yaml", []byte(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: gradual, percent: 10}
  backends: {legacy: {url: "http://127.0.0.1:1"}, modern: {url: "http://`+host+`:2"}}
  gateway: {nginx: {}}
  identity: {header: X-User}
  phases: [{name: gradual, percents: [10, 50], routes: [{match: {pathPrefix: /a/}, to: modern}, {to: split}]}]
`))
	if plan.HasErrors(problems) {
		t.Fatal(problems)
	}
	f, err := render.Render(doc.Plan, plan.Position{Phase: "gradual", Percent: 50})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNginxTestsAStopByItself(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := Rehearse(t.Context(), nginxtest.Bin, rehearsed(t, "127.0.0.1")); err != nil {
		t.Error(err)
	}
	err := Rehearse(t.Context(), nginxtest.Bin, rehearsed(t, "nowhere.invalid"))
	if err == nil || !strings.Contains(err.Error(), "the host of a backend does not resolve on this machine") || !strings.Contains(err.Error(), "nowhere.invalid") {
		t.Errorf("got %v", err)
	}
	broken := rehearsed(t, "127.0.0.1")
	broken.Locations = append(broken.Locations, "nonsense on;\n"...)
	if err := Rehearse(t.Context(), nginxtest.Bin, broken); err == nil || !strings.Contains(err.Error(), `unknown directive "nonsense"`) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
