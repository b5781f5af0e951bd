package monitoring_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the table of metrics anew")

const folder = "../../examples/install/monitoring"

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRulesHoldTheirUnitTests(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "alerts.yaml", "signals.yaml"},
		{"test", "rules", "alerts-unittest.yaml", "signals-unittest.yaml"},
	} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// uses reports metrics in an expression that are none of the daemon's, and labels
// of theirs that they do not have.
func (c catalog) uses(t *testing.T, where, expr string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(strings.NewReplacer("$__rate_interval", "5m", "$plan", ".*").Replace(expr))
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, expr)
		return
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		m, ok := c[v.Name]
		for _, end := range []string{"_bucket", "_count", "_sum"} {
			if h, is := c[strings.TrimSuffix(v.Name, end)]; !ok && is && h.kind == "histogram" {
				m, ok = h, true
			}
		}
		if !ok {
			t.Errorf("%s: the daemon has no metric %s", where, v.Name)
			return nil
		}
		for _, l := range v.LabelMatchers {
			if l.Name != "__name__" && !strings.Contains(" "+strings.Join(m.labels, " ")+" ", " "+l.Name+" ") {
				t.Errorf("%s: %s has no label %s", where, v.Name, l.Name)
			}
		}
		return nil
	})
}

func TestAlertsUseMetricsThatAreThere(t *testing.T) {
	c := daemons(t)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert  string            `yaml:"alert"`
				Expr   string            `yaml:"expr"`
				Labels map[string]string `yaml:"labels"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(read(t, "alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	n := 0
	tested := string(read(t, "alerts-unittest.yaml"))
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			c.uses(t, r.Alert, r.Expr)
			if !strings.Contains(tested, "alertname: "+r.Alert+"\n        exp_alerts:\n") {
				t.Errorf("no unit test has %s fire", r.Alert)
			}
			if s := r.Labels["severity"]; s < "P0" || s > "P3" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
		}
	}
	if n == 0 {
		t.Error("no rule was read")
	}
}

func TestTheDashboardUsesMetricsThatAreThere(t *testing.T) {
	c := daemons(t)
	type origin struct{ Type, UID string }
	var d struct {
		Title, UID    string
		SchemaVersion int
		Annotations   struct{ List []struct{ Name, Expr string } }
		Templating    struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID          int
			Title, Type string
			Datasource  origin
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct {
				RefID, Expr string
				Datasource  origin
			}
		}
	}
	if err := json.Unmarshal(read(t, "dashboard.json"), &d); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q is not whole, or its id is there twice", p.ID, p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%q is out of the grid: %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			c.uses(t, p.Title, q.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		c.uses(t, a.Name, a.Expr)
	}
	if len(d.Panels) < 10 || d.UID == "" || d.SchemaVersion == 0 || len(d.Annotations.List) == 0 || len(d.Templating.List) != 2 {
		t.Errorf("the dashboard is not whole: %d panels", len(d.Panels))
	}
}

func TestTheTableOfMetricsIsCurrent(t *testing.T) {
	want := table(t, daemons(t), bridges(t))
	if *update {
		if err := os.WriteFile(filepath.Join(folder, "METRICS.md"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(read(t, "METRICS.md")); got != want {
		t.Errorf("METRICS.md is not current: go test ./test/monitoring -args -update\n%s", want)
	}
}
