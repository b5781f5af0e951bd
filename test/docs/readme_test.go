package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/render/translate"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// block is the first fenced block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n```"+language+"\n")
	code, _, end := strings.Cut(rest, "\n```\n")
	if !ok || !end {
		t.Fatalf("found no %s block", language)
	}
	return code + "\n"
}

func readmePlan(t *testing.T) *plan.Plan {
	t.Helper()
	doc, problems := plan.Decode("README.md", []byte(block(t, read(t, "README.md"), "yaml")))
	for _, p := range slices.Concat(problems, gates.Check(doc), lint.Check(doc)) {
		t.Errorf("the plan of the README has a problem:\n%s", p.Render())
	}
	return doc.Plan
}

// TestTheReadmeSaysWhatEachGatewayCan as validation does: there is one table of
// it.
func TestTheReadmeSaysWhatEachGatewayCan(t *testing.T) {
	var want strings.Builder
	want.WriteString("| A gateway can | nginx | nginx with bridge | bridge | gatewayAPI | gatewayAPI with bridge |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range plan.Capabilities() {
		want.WriteString("| " + c.Does)
		for _, gateway := range []string{"nginx", "nginx with bridge", "bridge", "gatewayAPI", "gatewayAPI with bridge"} {
			want.WriteString(map[bool]string{true: " | yes", false: " | no"}[slices.Contains(c.Gateways, gateway)])
		}
		want.WriteString(" |\n")
	}
	if !strings.Contains(read(t, "README.md"), want.String()) {
		t.Errorf("the README has not this table:\n%s", want.String())
	}
}

func TestThePlanOfTheReadmeIsGood(t *testing.T) {
	if p := readmePlan(t); len(p.Itinerary()) != 6 {
		t.Errorf("got stops %v, want six", p.Itinerary())
	}
}

func TestTheTranslationsOfTheReadmeAreGood(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "README.md"), "a route names a translation")
	if !ok {
		t.Fatal("found nothing about translations")
	}
	doc, problems := plan.Decode("README.md", []byte(block(t, section, "yaml")))
	for _, p := range slices.Concat(problems, gates.Check(doc), translate.Check(doc)) {
		t.Errorf("the plan has a problem:\n%s", p.Render())
	}
	if n := len(doc.Plan.Spec.Translations); n != 2 {
		t.Errorf("got %d translations, want two", n)
	}
}

func TestTheEntitiesOfTheReadmeAreGood(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "README.md"), "**Long-lived things stay with their owner.**")
	if !ok {
		t.Fatal("found nothing about entities")
	}
	doc, problems := plan.Decode("README.md", []byte(block(t, section, "yaml")))
	for _, p := range slices.Concat(problems, gates.Check(doc)) {
		t.Errorf("the plan has a problem:\n%s", p.Render())
	}
	if doc.Plan.Spec.Entities == nil {
		t.Error("the plan has no entities")
	}
}

// TestTheComparisonOfTheReadmeIsGood: its routes, as those of a plan's phase.
func TestTheComparisonOfTheReadmeIsGood(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "README.md"), "**Compare answers.**")
	routes := strings.ReplaceAll(block(t, section, "yaml"), "\n", "\n      ")
	_, below, _ := strings.Cut(section, "Gates read the metrics:")
	signals := strings.ReplaceAll(block(t, below, "yaml"), "\n", "\n  ")
	src := `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: validation}
  backends: {legacy: {url: "http://127.0.0.1:8080"}, modern: {url: "http://127.0.0.1:8000"}}
  gateway: {bridge: {}}
  ` + signals + `
  phases:
    - name: validation
      gates: {advance: [{name: same, expr: signal.matchRate > 0.995}, {name: enough, expr: signal.coverage > 0.5}]}
      ` + routes + "\n"
	doc, problems := plan.Decode("README.md", []byte(src))
	for _, p := range slices.Concat(problems, gates.Check(doc), lint.Check(doc)) {
		t.Errorf("the comparison of the README has a problem:\n%s", p.Render())
	}
	if c := doc.Plan.Spec.Phases[0].Routes[0].Mirror; c == nil || c.Compare == nil || len(c.Compare.Rules) != 6 {
		t.Errorf("got %+v", c)
	}
}

func TestTheKubernetesPlanOfTheReadmeIsGood(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "README.md"), "\n## Kubernetes\n")
	if !ok {
		t.Fatal("found no section Kubernetes")
	}
	doc, problems := plan.Decode("README.md", []byte(block(t, section, "yaml")))
	for _, p := range slices.Concat(problems, gates.Check(doc), gatewayapi.Check(doc), lint.Check(doc)) {
		t.Errorf("the plan has a problem:\n%s", p.Render())
	}
	if n := len(doc.Plan.Itinerary()); n != 5 {
		t.Errorf("got %d stops, want five", n)
	}
}

func TestTheNginxConfigurationOfTheReadmeLoads(t *testing.T) {
	const (
		inREADME = "/etc/nginx/managed"
		last     = "changeover/*.locations.conf"
		named    = "changeover/onap-so.locations.con[f]"
	)
	text := read(t, "README.md")
	conf := block(t, text, "nginx")
	if !strings.Contains(conf, inREADME) || !strings.Contains(conf, last) || !strings.Contains(text, named) {
		t.Fatal("the README has other includes than this test looks for")
	}
	p := readmePlan(t)
	files := map[string][]byte{}
	for _, stop := range p.Itinerary() {
		f, err := nginx.Render(p, stop)
		if err != nil {
			t.Fatal(err)
		}
		files["upstreams"], files["maps"], files["locations"] = f.Upstreams, f.Maps, f.Locations
	}
	for _, c := range []string{conf, strings.Replace(conf, last, named, 1)} {
		dir := t.TempDir()
		c = strings.ReplaceAll(c, inREADME, dir)
		c = "pid " + dir + "/pid;\nerror_log stderr;\nevents {}\n" + strings.Replace(c, "listen 80;", "listen unix:"+dir+"/socket;", 1)
		write(t, filepath.Join(dir, "nginx.conf"), []byte(c))
		loads(t, dir) // as it is before the daemon's first visit
		for kind, b := range files {
			write(t, filepath.Join(dir, "changeover", "onap-so."+kind+".conf"), b)
		}
		loads(t, dir)
	}
}

func loads(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nginx", "-t", "-c", filepath.Join(dir, "nginx.conf")).CombinedOutput()
	if err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	command = regexp.MustCompile("(?:^    |`)(changeover(?:-bridge)?)((?: [^`\n#]+)?)")
	target  = regexp.MustCompile("(?:^    |`)make ([^`\n#]*)")
	flag    = regexp.MustCompile(`(?:^|[\s(` + "`" + `])(--?[a-z][a-z-]*)`)
)

// TestTheCommandsInDocumentsExist builds the programs and looks every
// subcommand and flag up in their help.
func TestTheCommandsInDocumentsExist(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/changeover", "./cmd/changeover-bridge")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	seen := 0
	for _, doc := range []string{"README.md", "CONTRIBUTING.md"} {
		text := strings.ReplaceAll(read(t, doc), " \\\n", " ") // joins continued lines
		for _, line := range strings.Split(text, "\n") {
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				seen++
				checkCommand(t, bin, doc, m[1], m[2])
			}
		}
	}
	if seen < 20 {
		t.Errorf("found only %d commands: does this test still read the documents right?", seen)
	}
}

func checkCommand(t *testing.T, bin, doc, program, args string) {
	t.Helper()
	var sub []string
	if words := strings.Fields(args); program == "changeover" && len(words) > 0 {
		sub = words[:1]
		if len(words) > 1 && regexp.MustCompile(`^[a-z]+$`).MatchString(words[1]) {
			sub = words[:2] // such as `shadow report`
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), append(sub, "--help")...)
	out, err := cmd.CombinedOutput()
	if err != nil && program == "changeover" {
		t.Errorf("%s: `%s%s`: %v\n%s", doc, program, args, err, out)
		return
	}
	for _, f := range flag.FindAllStringSubmatch(args, -1) {
		name := strings.TrimLeft(f[1], "-")
		if name != "help" && !regexp.MustCompile(`(^|[\s,])--?`+name+`\b`).Match(out) {
			t.Errorf("%s: `%s%s`: the help does not know %s", doc, program, args, f[1])
		}
	}
}

func TestTheMakeTargetsInDocumentsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, m[1])
	}
	for _, doc := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, line := range strings.Split(read(t, doc), "\n") {
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				for _, word := range strings.Fields(m[1]) {
					if !strings.Contains(word, "=") && !slices.Contains(targets, word) {
						t.Errorf("%s: `make %s`: there is no target %s", doc, m[1], word)
					}
				}
			}
		}
	}
	for _, want := range strings.Fields("help build test race lint fuzz golden generate verify demo cluster components accept deps clean") {
		if !slices.Contains(targets, want) {
			t.Errorf("the Makefile has no target %s", want)
		}
	}
	help, err := exec.CommandContext(t.Context(), "make", "-C", "../..", "help").CombinedOutput()
	if err != nil || !bytes.Contains(help, []byte("  test ")) {
		t.Errorf("make help: %v\n%s", err, help)
	}
}
