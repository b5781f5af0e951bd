package bridge_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readPlan reads an input file as it stands; what is legal in a plan is tested
// with its decoder.
func readPlan(t testing.TB, name string) *plan.Plan {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata", name+".in.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := new(plan.Plan)
	if err := yaml.UnmarshalStrict(src, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func rendered(t testing.TB, name string) bridge.Config {
	t.Helper()
	p := readPlan(t, name)
	c, err := bridge.Render(p, p.Spec.Position)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encoded(t testing.TB, c bridge.Config) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRenderIsGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) < 3 {
		t.Fatalf("inputs %v, error %v: want at least three", inputs, err)
	}
	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			c := rendered(t, name)
			got := encoded(t, c)
			golden := filepath.Join("testdata", name+".out.json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("config (-want +got), -update writes it anew:\n%s", d)
			}
			back, err := bridge.ParseConfig(got)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c, back); d != "" {
				t.Errorf("what is read back differs (-rendered +read):\n%s", d)
			}
		})
	}
}

func TestRenderOfEqualPlansIsByteEqual(t *testing.T) {
	first := encoded(t, rendered(t, "sunset"))
	for range 50 {
		if again := encoded(t, rendered(t, "sunset")); !bytes.Equal(first, again) {
			t.Fatalf("two renders differ:\n%s\n%s", first, again)
		}
	}
}

func TestTheMarkDoesNotCountForTheHash(t *testing.T) {
	c := rendered(t, "split")
	c.Mark = &bridge.Mark{Since: time.Unix(1700000000, 0).UTC(), Revision: "abc", Holds: []plan.Revision{"def"}}
	back, err := bridge.ParseConfig(encoded(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, back); d != "" {
		t.Errorf("the mark is lost (-want +got):\n%s", d)
	}
	if bare := rendered(t, "split"); back.Hash != bare.Hash {
		t.Errorf("hash %s with a mark, %s without: want them equal", back.Hash, bare.Hash)
	}
}

func TestWhatRoutesCountsForTheHash(t *testing.T) {
	base := rendered(t, "split").Hash
	for name, change := range map[string]func(p *plan.Plan){
		"stop":     func(p *plan.Plan) { p.Spec.Position.Percent = 50 },
		"percent":  func(p *plan.Plan) { *p.Spec.Phases[1].Routes[1].Percent = 1 },
		"backend":  func(p *plan.Plan) { p.Spec.Backends.Modern.URL = "http://127.0.0.1:8001/api" },
		"salt":     func(p *plan.Plan) { p.Spec.Identity.Cohort = "other" },
		"identity": func(p *plan.Plan) { p.Spec.Identity.Header = "X-Other" },
		"match":    func(p *plan.Plan) { p.Spec.Phases[1].Routes[0].Match.Path = "/other" },
		"plan":     func(p *plan.Plan) { p.Metadata.Namespace = "other" },
	} {
		p := readPlan(t, "split")
		change(p)
		c, err := bridge.Render(p, p.Spec.Position)
		if err != nil {
			t.Fatal(err)
		}
		if c.Hash == base {
			t.Errorf("a changed %s leaves the hash at %s", name, base)
		}
	}
	p := readPlan(t, "split")
	p.Spec.Phases[0].Routes = nil
	p.Spec.Signals = map[string]plan.Signal{"x": {Query: "up"}}
	if c, err := bridge.Render(p, p.Spec.Position); err != nil || c.Hash != base {
		t.Errorf("another phase and a signal change the hash to %s (error %v), want %s", c.Hash, err, base)
	}
}

func TestRenderRefusesWhatABridgeCouldNotServe(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(p *plan.Plan)
	}{
		{"not on its itinerary", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 11} }},
		{"without user, query and fragment", func(p *plan.Plan) { p.Spec.Backends.Legacy.URL = "http://u:secret@h/" }},
		{"absolute http or https URL", func(p *plan.Plan) { p.Spec.Backends.Modern.URL = "" }},
		{"exactly one of header, cookie, query and clientIP", func(p *plan.Plan) { p.Spec.Identity.ClientIP = true }},
		{"error parsing regexp", func(p *plan.Plan) { p.Spec.Phases[1].Routes[2].Match.PathRegex = "(" }},
	} {
		p := readPlan(t, "split")
		c.change(p)
		_, err := bridge.Render(p, p.Spec.Position)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("error %q shows a password", err)
		}
	}
}

func TestACohortAloneNamesNoKey(t *testing.T) {
	p := readPlan(t, "split")
	p.Spec.Identity = &plan.Identity{Cohort: "so"}
	c, err := bridge.Render(p, p.Spec.Position)
	if err != nil {
		t.Fatal(err)
	}
	if c.Identity != nil || c.Salt != "so" {
		t.Errorf("identity %v and salt %q, want none and so", c.Identity, c.Salt)
	}
}

func TestTheLargestPhaseOfAPlanIsRendered(t *testing.T) {
	p := readPlan(t, "split")
	phase := &p.Spec.Phases[1]
	phase.Routes = nil
	for range 1000 {
		phase.Routes = append(phase.Routes, plan.Route{
			Match:   &plan.Match{Path: "/" + strings.Repeat("x", 100)},
			Respond: &plan.Respond{Status: 410, Body: strings.Repeat("\x01", 900)},
		})
	}
	c, err := bridge.Render(p, p.Spec.Position)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bridge.ParseConfig(encoded(t, c)); err != nil {
		t.Error(err)
	}
}

func BenchmarkRender(b *testing.B) {
	p := readPlan(b, "split")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bridge.Render(p, p.Spec.Position); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseConfig(b *testing.B) {
	src := encoded(b, rendered(b, "split"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bridge.ParseConfig(src); err != nil {
			b.Fatal(err)
		}
	}
}
