package nephoran

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/flagd"
)

// The mistakes of the document: each is refused with a message, or cannot be made.

// shares is how many of n intents have a flag, by its percent and the plan's buckets.
func shares(p *plan.Plan, stop plan.Position, flag string, n int) int {
	on := 0
	for _, s := range p.FlagsAt(stop, time.Unix(0, 0)) {
		if s.Flag.Name != flag || s.Off != "" {
			continue
		}
		for i := range n {
			if plan.OnModern(plan.Bucket(p.Spec.Identity.Cohort, fmt.Sprintf("intent-%d", i)), s.Percent) {
				on++
			}
		}
	}
	return on
}

// TestAScheduledFlagIsOnForItsShare: the document's flag has percentage 0 beside its
// schedule, so `hash % 100 >= 0` keeps everybody off at every stage. Here the stages are
// stops, and a flag that nobody ever has is a finding.
func TestAScheduledFlagIsOnForItsShare(t *testing.T) {
	t.Parallel()
	p := decoded(t, "llm")
	const n = 20000
	for _, stop := range p.Itinerary() {
		got, want := shares(p, stop, "microservices.llm.enabled", n), float64(stop.Percent)*n/100
		if d := float64(got) - want; d > 0.01*n || d < -0.01*n || want == 0 && got > 0 {
			t.Errorf("at %s %d of %d intents have the flag, want about %.0f", stop, got, n, want)
		}
	}
	text := strings.Replace(read(t, example+"/llm.yaml"), "flags: {microservices.llm.enabled: position, migration.validation.llm: 0}", "flags: {microservices.llm.enabled: 0}", 1)
	text = strings.Replace(text, "flags: {microservices.llm.enabled: position, migration.validation.llm: 0, ", "flags: {microservices.llm.enabled: 0, ", 1)
	if out := validated(t, 1, "llm.yaml", text, "--strict"); !strings.Contains(out, "flag-never-on") || !strings.Contains(out, `"microservices.llm.enabled"`) {
		t.Errorf("validate says of a flag at 0 %%:\n%s", out)
	}
}

// validated writes a plan beside copies of the example's files, and validates it.
func validated(t *testing.T, code int, name, text string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return changeover(t, code, slices.Concat([]string{"validate"}, flags, []string{file})...)
}

// TestTheHashIsSalted: the document hashes the intent alone, so every flag has the same
// intents. Here the cohort goes into the hash: two migrations choose on their own, and the
// five steps of one agree, as they say so.
func TestTheHashIsSalted(t *testing.T) {
	t.Parallel()
	const n = 20000
	both, one := 0, 0
	for i := range n {
		key := fmt.Sprintf("intent-%d", i)
		a, b := plan.OnModern(plan.Bucket("nephoran", key), 10), plan.OnModern(plan.Bucket("another", key), 10)
		if a {
			one++
		}
		if a && b {
			both++
		}
	}
	if one < n/12 || one > n/8 || both > one/6 {
		t.Errorf("at 10 %% %d of %d intents are on modern, and %d of them in another cohort too, want about a tenth", one, n, both)
	}
	for _, name := range append([]string{"nephoran"}, steps...) {
		if c := decoded(t, name).Spec.Identity.Cohort; c != "nephoran" {
			t.Errorf("%s has the cohort %q", name, c)
		}
	}
}

// TestAWeightOnATargetingRuleIsRefused: it has no meaning that two readers share.
func TestAWeightOnATargetingRuleIsRefused(t *testing.T) {
	t.Parallel()
	text := strings.Replace(read(t, example+"/llm.yaml"), "values: [deployment]}", "values: [deployment], weight: 0.8}", 1)
	if out := validated(t, 1, "llm.yaml", text); !strings.Contains(out, `"weight"`) || !strings.Contains(out, "hint: ") {
		t.Errorf("validate says of a weight:\n%s", out)
	}
}

// TestARollbackKeepsTheOtherFlags: each rollback of the document overwrites the whole
// flags file with one flag. Here the file of a plan is rendered whole at every stop, and
// each plan has its own.
func TestARollbackKeepsTheOtherFlags(t *testing.T) {
	t.Parallel()
	names := map[string][]string{}
	for _, name := range append([]string{"nephoran"}, steps...) {
		p := decoded(t, name)
		for _, stop := range p.Itinerary() {
			set, err := flagd.Compile(p, stop, time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			var file struct{ Flags map[string]json.RawMessage }
			if err := json.Unmarshal(set.Definitions(), &file); err != nil {
				t.Fatal(err)
			}
			if len(file.Flags) != len(p.Spec.Flags) {
				t.Errorf("%s at %s has %d of its %d flags", name, stop, len(file.Flags), len(p.Spec.Flags))
			}
			for flag := range file.Flags {
				if !slices.Contains(names[flag], name) {
					names[flag] = append(names[flag], name)
				}
			}
		}
	}
	for flag, plans := range names {
		if len(plans) > 1 {
			t.Errorf("flag %s is in the files of %v", flag, plans)
		}
	}
}

// TestARestoreOfNoBackupIsRefused: the document's restore reads a ConfigMap that its
// backup never writes.
func TestARestoreOfNoBackupIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"backup", "verify", "intents"}, {"backup", "verify", "intents", "20270101T000000Z-microservices-0"}} {
		out := changeover(t, 1, append(args, "--state-dir", t.TempDir())...)
		if !strings.Contains(out, "backup") || !strings.Contains(out, "intents") {
			t.Errorf("%v says: %s", args, out)
		}
	}
}

// TestNoRoleHasAStar: the document's ClusterRole may do everything to everything.
func TestNoRoleHasAStar(t *testing.T) {
	t.Parallel()
	roles := 0
	err := fs.WalkDir(os.DirFS(example), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text := read(t, filepath.Join(example, path))
		roles += strings.Count(text, "\nrules:\n")
		if strings.Contains(text, "kind: ClusterRole") || strings.Contains(text, "kind: Role") {
			for line := range strings.Lines(text) {
				line, _, _ = strings.Cut(line, "#")
				if strings.Contains(line, "*") {
					t.Errorf("%s: a right has a star: %s", path, line)
				}
			}
		}
		return nil
	})
	if err != nil || roles < 2 {
		t.Errorf("%d roles were found, %v", roles, err)
	}
}

// TestAPartialRollbackTakesWhatDependsOnIt: the document's partial rollbacks run in forward
// order, so that what depends on a step outlives it. Here the order is that of dependsOn,
// and a circle is refused. TestFiveDependentPlansGoBackInOrder shows it live.
func TestAPartialRollbackTakesWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	for i, name := range steps[1:] {
		d := decoded(t, name).Spec.DependsOn
		if len(d) != 1 || d[0].Plan != steps[i] || d[0].Phase != plan.PhaseComplete {
			t.Errorf("%s depends on %v", name, d)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(read(t, example+"/llm.yaml"), "  identity:", "  dependsOn: [{plan: verification, phase: complete}]\n  identity:", 1)
	if err := os.WriteFile(filepath.Join(dir, "llm.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := changeover(t, 1, "validate", dir); !strings.Contains(out, "depends on itself by way of") {
		t.Errorf("validate says of a circle:\n%s", out)
	}
}
